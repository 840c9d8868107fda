// An app of Bolt for JavaScript that does what the measured host does: it answers, waits or hangs.
const { App } = require("@slack/bolt");

const silent = { debug() {}, info() {}, warn() {}, error() {}, setLevel() {}, getLevel: () => "error", setName() {} };
const port = process.env.PORT;
const app = new App({
  token: "xoxb-sim-bot", signingSecret: "sim-signing-secret", appToken: "xapp-sim-app",
  socketMode: !port, endpoints: "/slack/events", logger: silent,
  clientOptions: { slackApiUrl: `${process.env.SLACK_API}/` },
});
const wait = seconds => new Promise(done => setTimeout(done, seconds * 1000));

app.event("message", async ({ event, client }) => {
  if (event.text.includes("slow")) await wait(60);
  else if (event.text.includes("sleep")) await wait(600);
  await client.chat.postMessage({ channel: event.channel, thread_ts: event.ts, text: "heard" });
});

app.start(port && Number(port)).then(() => console.log("ready"));
