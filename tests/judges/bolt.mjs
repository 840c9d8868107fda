// Bolt for JavaScript, against the fake Slack.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import bolt from "@slack/bolt";
import { check, equal, run } from "./check.mjs";

const PLACE = { user: "U0ALICE", channel: "C0GENERAL" };
const WAIT = "wait_ms=20000";
const SILENT = { debug() {}, info() {}, warn() {}, error() {}, setLevel() {}, getLevel: () => "error", setName() {} };

/** The fake Slack as a process of its own. */
const program = spawn(process.env.JUDGE_PROGRAM, ["slack", "simulate", "--listen", "127.0.0.1:0", "--socket"], { stdio: ["ignore", "pipe", "ignore"] });
const [line] = await new Promise(done => createInterface(program.stdout).once("line", (...it) => done(it)));
const url = line.split(" ").at(-1);

async function sim(path, body) {
  const answer = await fetch(`${url}/sim/${path}`, body && { method: "POST", body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}
const act = (what, fields) => sim("act", { do: what, ...fields });
const heard = async root => (await sim(`messages?thread_ts=${root}&user=U0SIMBOT&streaming=false&${WAIT}`)).messages[0]?.text;

const app = new bolt.App({
  token: "xoxb-sim-bot", appToken: "xapp-sim-app", socketMode: true, logger: SILENT,
  clientOptions: { slackApiUrl: `${url}/api/` },
});
app.event("app_mention", async ({ event, client }) => {
  const stream = client.chatStream({ channel: event.channel, thread_ts: event.ts, recipient_user_id: event.user, recipient_team_id: event.team, buffer_size: 4 });
  await stream.append({ markdown_text: "heard " });
  await stream.append({ markdown_text: event.text });
  await stream.stop();
});
app.command("/agent", async ({ ack, respond, command }) => {
  await ack("working");
  await respond(`done: ${command.text}`);
});
app.action("go", async ({ ack, client, body }) => {
  await ack();
  const view = { type: "modal", callback_id: "form", title: { type: "plain_text", text: "Why?" }, blocks: [{ type: "divider" }] };
  await client.views.open({ trigger_id: body.trigger_id, view });
});
app.view("form", ({ ack }) => ack());

await run("bolt", async () => {
  await app.start();
  const mention = await act("say", { text: "<@U0SIMBOT> hi", ...PLACE });
  equal("app_mention, answered by a stream", await heard(mention.ts), "heard <@U0SIMBOT> hi");
  await act("command", { command: "/agent", text: "x", ...PLACE });
  const said = (await sim(`messages?ephemeral=true&count=2&${WAIT}`)).messages.map(it => it.text).sort();
  equal("a command and its response_url", said.join(), "done: x,working");
  const blocks = [{ type: "actions", elements: [{ type: "button", action_id: "go", text: { type: "plain_text", text: "Go" } }] }];
  const { ts } = await app.client.chat.postMessage({ channel: "C0GENERAL", text: "b", blocks });
  await act("click", { ts, action_id: "go", ...PLACE });
  check("a click opens a modal", (await sim(`calls?method=views.open&ok=true&${WAIT}`)).complete);
  const [view] = (await sim("state")).views;
  await act("submit", { view_id: view.id });
  await sim(`deliveries?name=view_submission&state=acked&${WAIT}`);
  equal("a modal is submitted", (await sim("state")).views[0].is_open, false);
  await app.client.filesUploadV2({ channel_id: "C0GENERAL", content: "abc", filename: "a.txt" });
  const [shared] = (await sim(`messages?contains=a.txt&${WAIT}`)).messages;
  equal("filesUploadV2", shared?.files[0].size, 3);
});
await run("refresh", async () => {
  await act("disconnect", { reason: "refresh_requested" });
  await sim(`calls?method=apps.connections.open&count=2&${WAIT}`);
  const again = await act("say", { text: "<@U0SIMBOT> again", ...PLACE });
  equal("heard after refresh_requested", await heard(again.ts), "heard <@U0SIMBOT> again");
});
program.kill();
process.exit(process.exitCode);
