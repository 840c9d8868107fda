// The host as an app in somebody else's Slack: emulate has its Web API, with the scopes that a token
// has. It sends no events by itself that a host could take, so that they come from here, signed.

import { execFileSync, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebClient } from "@slack/web-api";
import { check, equal, newerNode, run } from "./check.mjs";

const PROGRAM = process.env.JUDGE_PROGRAM;
const SECRET = "secret-of-the-judge";
const BOT = "U000000BOT";
const ADMIN = "U000000001";
const TEAM = "T000000001";
const GENERAL = "C000000001";
const LONG = Array.from({ length: 60 }, (_, at) => `## Part ${at}\n${"Some **words** of \`some\` length. ".repeat(12)}`).join("\n\n");
const SCRIPT = `
[[rules]]
when = { last = { contains = ["long"] } }
reply = { text = ${JSON.stringify(LONG)} }
[[rules]]
when = { last = { contains = ["slow"] } }
reply = { text = "one two three four five six", chunk_delay_ms = 900 }
[fallback]
text = "You said {last}"
`;

const folder = mkdtempSync(join(tmpdir(), "emulate-"));
const children = [];

function start(program, args, options) {
  const child = spawn(program, args, { cwd: folder, stdio: ["ignore", "ignore", "pipe"], ...options });
  children.push(child);
  child.stderr.setEncoding("utf8").on("data", text => { child.log = (child.log ?? "") + text; });
  return child;
}

const free_port = () => new Promise(done => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => done(port));
  });
});

/** Looks again and again. */
async function until(what, look) {
  for (let times = 0; times < 400; times++) {
    const found = await look();
    if (found) return found;
    await new Promise(done => setTimeout(done, 50));
  }
  throw new Error(`never: ${what}`);
}

async function emulate(scopes) {
  const port = await free_port();
  const person = ["channels:manage", "channels:write", "channels:read", "channels:history", "chat:write", "users:read"];
  const app = { app_id: "A000000001", bot_id: "B000000001", bot_user_id: BOT, bot_name: "anchorhold" };
  writeFileSync(join(folder, "seed.json"), JSON.stringify({ slack: {
    strict_scopes: true,
    oauth_apps: [{ ...app, client_id: "1.2", client_secret: "unused", name: "Anchorhold", redirect_uris: [], scopes }],
    tokens: [
      { token: "xoxb-bot", type: "bot", user_id: BOT, app_id: app.app_id, bot_id: app.bot_id, bot_user_id: BOT, scopes },
      { token: "xoxp-admin", type: "user", user_id: ADMIN, scopes: person },
    ],
  } }));
  const program = join(process.cwd(), "node_modules/emulate/dist/index.js");
  const url = `http://127.0.0.1:${port}`;
  const options = ["--service", "slack", "--port", String(port), "--base-url", url, "--seed", "seed.json"];
  const child = start(newerNode(), [program, "start", ...options]);
  await until(`emulate serves: ${child.log}`, () => fetch(url).then(answer => answer.ok, () => false));
  return url;
}

async function host(url) {
  const plugins = join(folder, "plugins");
  mkdirSync(plugins);
  for (const agent of ["assistant", "probe"]) cpSync(join("plugins", `${agent}.wasm`), join(plugins, `${agent}.wasm`));
  writeFileSync(join(folder, "script.toml"), SCRIPT);
  writeFileSync(join(folder, "anchorhold.toml"), '[llm]\nscript = "script.toml"\n');
  const child = start(PROGRAM, ["serve"], { env: {
    PATH: process.env.PATH, ANCHORHOLD_SERVER__LISTEN: "127.0.0.1:0", ANCHORHOLD_STORAGE__DATA_DIR: join(folder, "data"),
    ANCHORHOLD_REGISTRY__PLUGINS_DIR: plugins, SLACK_API_BASE_URL: `${url}/api`, SLACK_BOT_TOKEN: "xoxb-bot", SLACK_SIGNING_SECRET: SECRET,
  } });
  await until("the host serves", () => child.log?.split("a file of the plugins folder answers").length === 3 && child.log.includes("Slack is there"));
  return { child, url: child.log.match(/Serving on (\S+)/)[1] };
}

/** As Slack does. */
async function send(host, path, type, body) {
  const at = String(Math.floor(Date.now() / 1000));
  const signature = `v0=${createHmac("sha256", SECRET).update(`v0:${at}:${body}`).digest("hex")}`;
  const headers = { "content-type": type, "x-slack-request-timestamp": at, "x-slack-signature": signature };
  const answer = await fetch(host.url + path, { method: "POST", headers, body });
  equal(`${path} is acknowledged`, answer.status, 200);
}

let events = 0;
function event(host, event) {
  const id = `Ev${events++}`;
  const body = { type: "event_callback", team_id: TEAM, api_app_id: "A000000001", event_id: id, event_time: 1, event };
  return send(host, "/slack/events", "application/json", JSON.stringify(body));
}

await run("emulate", async () => {
  const manifest = JSON.parse(execFileSync(PROGRAM, ["slack", "setup"], { stdio: ["ignore", "pipe", "ignore"] }));
  const url = await emulate(manifest.oauth_config.scopes.bot);
  const options = { slackApiUrl: `${url}/api/`, retryConfig: { retries: 0 } };
  const person = new WebClient("xoxp-admin", options);
  const bot = new WebClient("xoxb-bot", options);
  equal("auth.test", (await bot.auth.test()).user_id, BOT);
  await person.conversations.invite({ channel: GENERAL, users: BOT });
  const app = await host(url);

  /** Says something, and answers what the app says in its thread. */
  const ask = async (text, is_it, count = 1) => {
    const { ts } = await person.chat.postMessage({ channel: GENERAL, text: `<@${BOT}> ${text}` });
    await event(app, { type: "app_mention", channel: GENERAL, user: ADMIN, team: TEAM, ts, event_ts: ts, text: `<@${BOT}> ${text}` });
    return until(`${text}: ${app.child.log}`, async () => {
      const { messages } = await bot.conversations.replies({ channel: GENERAL, ts });
      const said = messages.filter(message => message.user === BOT && is_it(JSON.stringify(message)));
      return said.length >= count && said;
    });
  };
  const [hello] = await ask("hello", text => text.includes("You said hello"));
  equal("an answer is a block of Markdown", hello.blocks[0].text, "You said hello");
  equal("with metadata", hello.metadata?.event_type, "anchorhold_answer");
  const parts = await ask("long", () => true, 2);
  check("a long answer has parts", parts.every(part => part.blocks[0].text.length <= 12_000), parts.length);
  const [slow] = await ask("slow", text => text.includes("five six"));
  equal("what has no streams is one message all the same", slow.blocks[0].text, "one two three four five six");
  const [failed] = await ask("probe: error internal It broke", text => text.includes("It broke"));
  check("a failure is told", failed.text.includes("administrator"), failed);
  const [file] = await ask("probe: attach a.csv 1,2", text => text.includes("a.csv"));
  equal("a file is in the thread", file.files?.[0].name, "a.csv");

  const [asked] = await ask("probe: ask approval Sure?", text => text.includes("Sure?"));
  const [button] = asked.blocks.find(block => block.type === "actions").elements;
  const click = {
    type: "block_actions", user: { id: ADMIN, name: "admin", team_id: TEAM }, team: { id: TEAM }, api_app_id: "A000000001",
    container: { type: "message", message_ts: asked.ts, channel_id: GENERAL, thread_ts: asked.thread_ts },
    channel: { id: GENERAL, name: "general" }, message: asked, actions: [{ ...button, block_id: "b", action_ts: "1.0" }], trigger_id: "1.2.3",
  };
  await send(app, "/slack/interactivity", "application/x-www-form-urlencoded", new URLSearchParams({ payload: JSON.stringify(click) }).toString());
  const thread = async is_it => (await bot.conversations.replies({ channel: GENERAL, ts: asked.thread_ts })).messages.find(is_it);
  const closed = await until("the question is closed", () => thread(it => it.ts === asked.ts && JSON.stringify(it).includes("Approved by")));
  check("a question that is answered has no buttons", !closed.blocks.some(block => block.type === "actions"), closed);
  await until("the answer goes on", () => thread(it => it.text.includes("answered slack")));
  check("no scope is missing", !app.child.log.includes("missing_scope"), app.child.log);
});
await Promise.all(children.map(child => new Promise(done => child.once("exit", done).kill())));
rmSync(folder, { recursive: true, force: true });
process.exit(process.exitCode);
