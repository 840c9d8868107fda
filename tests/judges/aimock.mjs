// aimock as the upstream of the gateway: four wires, and what a guest sees when it
// misbehaves. The guest is the probe, which says what it was told.

import { LLMock } from "@copilotkit/aimock";
import { TOKEN, URL, check, equal, run } from "./check.mjs";

const USAGE = {
  prompt_tokens: 11, completion_tokens: 3, total_tokens: 14, input_tokens: 11, output_tokens: 3,
  promptTokenCount: 11, candidatesTokenCount: 3, totalTokenCount: 14,
};
const LONG = "a long answer that comes in many pieces ".repeat(10).trim();

const mock = new LLMock({ port: Number(process.env.JUDGE_UPSTREAM_PORT), logLevel: "silent" });
mock.onMessage(/hello/, { content: "Hi there, people", usage: USAGE });
mock.onMessage(/weather/, { toolCalls: [{ name: "weather", arguments: '{"city":"Oslo"}' }] });
mock.onMessage(/cut/, { content: LONG }, { truncateAfterChunks: 8, chunkSize: 10, latency: 50 });
await mock.start();

async function ask(text) {
  const response = await fetch(`${URL}/api/v1/agents/probe/messages`, {
    method: "POST",
    headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
    body: JSON.stringify({ text }),
  });
  const body = await response.json();
  return body.text ?? `${body.code}: ${body.detail}`;
}

function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return { text };
  }
}

/** With the alias's upstream misbehaving in this way, what the guest is told. */
async function misbehaves(name, chaos, alias, command, expected) {
  mock.setChaos(chaos);
  const seen = await ask(`${command}:${alias} hello`);
  mock.clearChaos();
  check(`${alias}: ${name}`, expected.test(seen), seen);
  console.log(`      the guest sees: ${seen.slice(0, 160)}`);
}

async function works(alias) {
  const whole = json(await ask(`generate:${alias} hello`));
  equal(`${alias}: whole`, whole.text, "Hi there, people");
  const { usage } = whole;
  // aimock says nothing of tokens in Ollama's words, so they are estimated.
  if (alias === "ollama") check(`${alias}: usage`, usage?.input_tokens > 0, whole);
  else equal(`${alias}: usage`, `${usage?.input_tokens} ${usage?.output_tokens}`, "11 3");
  const streamed = json(await ask(`stream:${alias} hello`));
  equal(`${alias}: streamed`, streamed.text, "Hi there, people");
  const call = await ask(`tool:${alias} how is the weather?`);
  check(`${alias}: tool call`, call.includes("weather") && call.includes("Oslo"), call);
}

for (const alias of ["openai", "anthropic", "gemini", "ollama"]) {
  await run(alias, () => works(alias));
}
// Each upstream misbehaves under an alias of its own, since a model rests after a failure.
for (const kind of ["openai", "anthropic", "gemini", "ollama"]) {
  await run(`${kind}: chaos`, async () => {
    const cut = await ask(`stream:${kind}-cut cut`);
    check(`${kind}: a stream that is cut off is no answer`, cut.includes("stream-interrupted"), cut);
    console.log(`      the guest sees: ${cut.slice(0, 160)}`);
    await misbehaves("429", { rateLimitRate: 1 }, `${kind}-limited`, "generate", /rate-limited/);
    await misbehaves("malformed", { malformedRate: 1 }, `${kind}-malformed`, "generate", /provider|invalid|unavailable|malformed|internal/);
    await misbehaves("disconnect", { disconnectRate: 1 }, `${kind}-gone`, "generate", /unavailable|provider|interrupted/);
  });
}
await mock.stop();
