//! `slack setup` and `slack doctor`, the latter against a fake Slack.

use anchorhold_tests::{FakeSlack, TestHost};
use serde_json::{Value, json};

/// Runs the doctor with these tokens; answers its exit code and its checks.
async fn doctor(slack: &FakeSlack, bot: &str, app: &str) -> (i32, Vec<Value>) {
    let host = TestHost::new().start().await;
    let mut command = host.cli(&["slack", "doctor", "--json"]);
    command
        .env("SLACK_API_BASE_URL", format!("{}/api", slack.url))
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

#[tokio::test]
async fn what_is_right_is_good() {
    let slack = FakeSlack::start(&["--socket"]).await;
    let (code, checks) = doctor(&slack, "xoxb-sim-bot", "xapp-sim-app").await;
    assert_eq!(bad(&checks), [""; 0], "{checks:#?}");
    assert_eq!(code, 0);
    let clock = checks.iter().find(|check| check["name"] == "clock");
    assert_eq!(clock.unwrap()["verdict"], "good");
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
