// Vercel's AI SDK with its provider for OpenAI, over both wires.

import { createOpenAI } from "@ai-sdk/openai";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { TOKEN, URL, equal, run } from "./check.mjs";

const openai = createOpenAI({ baseURL: `${URL}/v1`, apiKey: TOKEN });
const weather = tool({
  description: "How the weather is.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `sunny in ${city}`,
});

for (const [wire, model] of [
  ["chat", openai.chat("assistant")],
  ["responses", openai.responses("assistant")],
]) {
  await run(`${wire}: generateText`, async () => {
    const { text, usage } = await generateText({ model, prompt: "hi" });
    equal(`${wire}: generateText`, text, "You said hi");
    equal(`${wire}: usage`, usage.totalTokens, 12);
  });
  await run(`${wire}: streamText`, async () => {
    const { textStream } = streamText({ model, prompt: "hi" });
    let text = "";
    for await (const piece of textStream) text += piece;
    equal(`${wire}: streamText`, text, "You said hi");
  });
  await run(`${wire}: tool`, async () => {
    const stopWhen = stepCountIs(3);
    const { text } = await generateText({ model, prompt: "how is the weather?", tools: { weather }, stopWhen });
    equal(`${wire}: tool`, text, "The tool said sunny in Oslo");
  });
}
