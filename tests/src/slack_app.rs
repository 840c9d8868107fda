//! A fake Slack and a host that is its app.

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::process::{HostBuilder, TestHost};
use crate::slack::FakeSlack;

/// The bot user of the app.
const BOT: &str = "U0SIMBOT";

/// A running Slack with what a host needs to be its app.
pub struct TestSlack {
    fake: FakeSlack,
    environment: Vec<(&'static str, String)>,
}

impl TestSlack {
    /// One that posts events to a host.
    pub async fn http() -> Self {
        Self::posting(&[]).await
    }

    async fn posting(options: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listen = listener.and_then(|listener| listener.local_addr());
        let listen = listen.expect("a free port").to_string();
        let url = format!("http://{listen}");
        let mut slack = Self::start(&[options, &["--host-url", &url]].concat()).await;
        slack.environment.extend([
            ("ANCHORHOLD_SERVER__LISTEN", listen),
            ("SLACK_SIGNING_SECRET", "sim-signing-secret".to_owned()),
        ]);
        slack
    }

    /// One that posts events to a host, of an organisation of two teams.
    pub async fn enterprise() -> Self {
        Self::posting(&["--enterprise"]).await
    }

    /// One to which a host opens sockets.
    pub async fn sockets() -> Self {
        let mut slack = Self::start(&["--socket"]).await;
        let token = "xapp-sim-app".to_owned();
        slack.environment.push(("SLACK_APP_TOKEN", token));
        slack
    }

    async fn start(options: &[&str]) -> Self {
        let fake = FakeSlack::start(options).await;
        let environment = vec![
            ("SLACK_API_BASE_URL", format!("{}/api", fake.url)),
            ("SLACK_BOT_TOKEN", "xoxb-sim-bot".to_owned()),
        ];
        Self { fake, environment }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.fake.url
    }

    /// A host that is its app.
    pub fn host(&self) -> HostBuilder {
        let settings = self.environment.iter();
        settings.fold(TestHost::new(), |host, (name, value)| host.env(name, value))
    }

    /// Somebody does something; what came of it.
    pub async fn act(&self, action: Value) -> Value {
        self.fake.act(&action).await
    }

    /// Something goes wrong with the next calls of the host.
    pub async fn fault(&self, fault: Value) {
        self.fake.post("faults", &fault).await;
    }

    /// Something goes wrong with the next deliveries to the host.
    pub async fn event_fault(&self, fault: Value) {
        self.fake.post("event-faults", &fault).await;
    }

    /// Sets how it behaves.
    pub async fn set(&self, settings: Value) {
        self.fake.post("settings", &settings).await;
    }

    /// Somebody says something; answers its time, which is its name.
    pub async fn say(&self, user: &str, channel: &str, text: &str) -> String {
        self.said(json!({"do": "say", "user": user, "channel": channel, "text": text}))
            .await
    }

    /// The same in a thread.
    pub async fn reply(&self, user: &str, channel: &str, thread: &str, text: &str) -> String {
        let action = json!({"do": "say", "user": user, "channel": channel, "text": text, "thread_ts": thread});
        self.said(action).await
    }

    async fn said(&self, action: Value) -> String {
        let said = self.act(action).await;
        said["ts"].as_str().expect("a time").to_owned()
    }

    /// The texts of the app in a thread, when there are as many.
    pub async fn answers(&self, channel: &str, thread: &str, count: usize) -> Vec<String> {
        let query = format!("channel={channel}&thread_ts={thread}&user={BOT}&ephemeral=false");
        let messages = self.messages(&query, count).await;
        messages.iter().map(text).collect()
    }

    /// What the app says to one person alone, when it does.
    pub async fn whisper(&self, channel: &str) -> String {
        let query = format!("channel={channel}&user={BOT}&ephemeral=true");
        text(&self.messages(&query, 1).await[0])
    }

    /// Messages, when there are as many.
    pub async fn messages(&self, query: &str, count: usize) -> Vec<Value> {
        self.wait("messages", query, count).await
    }

    /// Calls of a method by the host, when there are as many.
    pub async fn calls(&self, method: &str, count: usize) -> Vec<Value> {
        self.wait("calls", &format!("method={method}"), count).await
    }

    /// The view of this type (`home`, `modal`) that a person has open.
    pub async fn view(&self, user: &str, kind: &str) -> Value {
        let mut state = self.fake.get("state").await;
        let Value::Array(views) = state["views"].take() else {
            panic!("no views: {state}");
        };
        let is_it = |view: &Value| {
            view["user"] == user && view["body"]["type"] == kind && view["is_open"] == true
        };
        let view = views.into_iter().find(is_it);
        view.unwrap_or_else(|| panic!("{user} has no open {kind}"))
    }

    /// Deliveries to the host in this state, when there are as many.
    pub async fn deliveries(&self, state: &str, count: usize) -> Vec<Value> {
        self.wait("deliveries", &format!("state={state}"), count)
            .await
    }

    /// Open sockets, when there are as many.
    pub async fn open_sockets(&self, count: usize) -> Vec<Value> {
        self.wait("sockets", "", count).await
    }

    async fn wait(&self, list: &str, query: &str, count: usize) -> Vec<Value> {
        self.fake
            .wait(list, &format!("{query}&count={count}"))
            .await
    }
}

/// All that a message shows.
fn text(message: &Value) -> String {
    let blocks = message["blocks"].as_array().into_iter().flatten();
    let shown = blocks.filter_map(|block| block["text"].as_str());
    let shown: Vec<_> = shown.collect();
    if shown.is_empty() {
        message["text"].as_str().unwrap_or_default().to_owned()
    } else {
        shown.join("\n")
    }
}
