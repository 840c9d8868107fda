//! `slack setup` and `slack doctor`, the latter against a fake Slack.

use anchorhold_tests::{FakeSlack, TestHost, TestSlack};
use serde_json::{Value, json};

/// Runs the doctor with these tokens, beside a host that is no app; answers its exit code and its
/// checks.
async fn doctor(slack: &FakeSlack, bot: &str, app: &str) -> (i32, Vec<Value>) {
    let host = TestHost::new().start().await;
    examine(&host, &slack.url, bot, app).await
}

async fn examine(host: &TestHost, slack: &str, bot: &str, app: &str) -> (i32, Vec<Value>) {
    let mut command = host.cli(&["slack", "doctor", "--json"]);
    command
        .env("SLACK_API_BASE_URL", format!("{slack}/api"))
        .env("SLACK_BOT_TOKEN", bot)
        .env("SLACK_APP_TOKEN", app);
    let output = command.output().await.unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = found["checks"].as_array().unwrap().clone();
    (output.status.code().unwrap(), checks)
}

fn bad(checks: &[Value]) -> Vec<String> {
    let bad = checks.iter().filter(|check| check["verdict"] == "bad");
    bad.map(|check| check["found"].to_string()).collect()
}

/// What a check says, where its verdict is this.
fn found<'a>(checks: &'a [Value], name: &str, verdict: &str) -> Option<&'a str> {
    let mut checks = checks.iter();
    let check = checks.find(|check| check["name"] == name && check["verdict"] == verdict);
    check.and_then(|check| check["found"].as_str())
}

#[tokio::test]
async fn what_is_right_is_good() {
    let slack = TestSlack::sockets().await;
    let host = slack.host().plugin("assistant").start().await;
    let examine = async || examine(&host, slack.url(), "xoxb-sim-bot", "xapp-sim-app").await;
    slack.calls("auth.test", 1).await;
    let (code, checks) = examine().await;
    assert_eq!(bad(&checks), [""; 0], "{checks:#?}");
    assert_eq!(code, 0);
    assert!(found(&checks, "clock", "good").is_some(), "{checks:#?}");
    let missing = found(&checks, "events", "note").unwrap();
    assert!(missing.contains("message.im"), "{missing}");
    // What came is known from then on.
    let ts = slack.say("U0ALICE", "D0ALICE", "hi").await;
    slack.answers("D0ALICE", &ts, 1).await;
    slack
        .act(json!({"do": "stop", "user": "U0ALICE", "channel": "D0ALICE", "thread_ts": ts}))
        .await;
    slack
        .deliveries("acked&name=agent_session_stopped", 1)
        .await;
    let (_, checks) = examine().await;
    assert_eq!(found(&checks, "events", "good"), Some("came: message.im"));
    assert!(found(&checks, "Stop", "good").is_some(), "{checks:#?}");
    host.stop().await;
}

#[tokio::test]
async fn agents_that_are_not_there_are_named() {
    let slack = TestSlack::sockets().await;
    let host = slack.host().plugin("assistant");
    let host = host.set("slack.channels.C0GENERAL", "notse").start().await;
    let (code, checks) = examine(&host, slack.url(), "xoxb-sim-bot", "xapp-sim-app").await;
    assert_ne!(code, 0);
    assert_eq!(
        found(&checks, "agents", "bad"),
        Some("not there: notse"),
        "{checks:#?}"
    );
    host.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let slack = FakeSlack::start(&["--socket"]).await;
    let scopes =
        json!({"scopes": ["chat:write", "app_mentions:read", "im:history", "assistant:write"]});
    slack.post("settings", &scopes).await;
    let (code, checks) = doctor(&slack, "xoxb-sim-bot", "xapp-wrong").await;
    assert_ne!(code, 0);
    let found = bad(&checks).join(" ");
    assert!(
        found.contains("users:read is missing") && found.contains("Slack refused"),
        "{found}"
    );
    assert!(found.contains("runs without a bot token"), "{found}");
    let (code, checks) = doctor(&slack, "xoxb-wrong", "xapp-sim-app").await;
    assert_ne!(code, 0);
    assert!(bad(&checks)[0].contains("invalid_auth"), "{checks:#?}");
}

#[tokio::test]
async fn without_tokens_it_says_where_they_come_from() {
    let host = TestHost::new().start().await;
    let (code, stdout, _) = host.run_cli(&["slack", "doctor"]).await;
    assert_ne!(code, 0);
    assert!(stdout.contains("anchorhold slack setup"), "{stdout}");
    let (code, manifest, steps) = host.run_cli(&["slack", "setup"]).await;
    assert_eq!(code, 0);
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["settings"]["socket_mode_enabled"], true);
    assert!(steps.contains("SLACK_BOT_TOKEN"), "{steps}");
    let http = ["slack", "setup", "--public-url", "http://a.example"];
    let (code, _, why) = host.run_cli(&http).await;
    assert_ne!(code, 0);
    assert!(why.contains("https addresses only"), "{why}");
}
