//! What Slack shows while an agent is at work: with what a workspace has, and
//! without what it has not.

use anchorhold_tests::{TestHost, TestSlack};
use serde_json::{Value, json};

const SCRIPT: &str = r#"
[[rules]]
when = { last = { contains = ["slow"] } }
reply = { text = "one two three four five six seven eight nine ten", chunk_delay_ms = 500 }
"#;
const WHOLE: &str = "one two three four five six seven eight nine ten";

const ALICE: &str = "U0ALICE";
const GENERAL: &str = "C0GENERAL";

async fn with_http() -> (TestSlack, TestHost) {
    let slack = TestSlack::http().await;
    let host = slack.host().plugin("assistant").plugin("probe");
    let host = host.script(SCRIPT).start().await;
    slack.calls("auth.test", 1).await;
    (slack, host)
}

/// The states of sessions that the app set, when there are as many.
async fn states(slack: &TestSlack, count: usize) -> Vec<Value> {
    let calls = slack.calls("agents.sessions.setStatus", count).await;
    let states = calls.iter().map(|call| call["args"]["status"].clone());
    states.collect()
}

#[tokio::test]
async fn a_session_says_who_is_waited_for() {
    let (slack, host) = with_http().await;
    let text = "<@U0SIMBOT> probe: ask approval Sure?";
    let thread = slack.say(ALICE, GENERAL, text).await;
    let query = format!("channel={GENERAL}&thread_ts={thread}&user=U0SIMBOT&contains=Sure");
    let asked = slack.messages(&query, 1).await.remove(0);
    assert_eq!(*states(&slack, 1).await.last().unwrap(), "suspended");
    slack
        .act(json!({"do": "click", "user": ALICE, "channel": GENERAL, "ts": asked["ts"], "action_id": "anchorhold_answer_1"}))
        .await;
    let answered = format!("channel={GENERAL}&thread_ts={thread}&contains=answered");
    slack.messages(&answered, 1).await;
    host.wait_for("nobody is at work", async || {
        let states = states(&slack, 1).await;
        (*states.last().unwrap() == "active").then_some(())
    })
    .await;
    host.stop().await;
}

#[tokio::test]
async fn without_streams_an_answer_grows_by_updates() {
    let (slack, host) = with_http().await;
    slack
        .fault(json!({"method": "chat.startStream", "kind": "error", "error": "unknown_method"}))
        .await;
    slack
        .fault(json!({"method": "agents.sessions.setStatus", "kind": "error", "error": "unknown_method"}))
        .await;
    let thread = slack.say(ALICE, GENERAL, "<@U0SIMBOT> slow").await;
    slack.calls("assistant.threads.setStatus", 1).await;
    slack.calls("chat.update", 1).await;
    let query = format!("channel={GENERAL}&thread_ts={thread}&user=U0SIMBOT&contains=nine%20ten");
    slack.messages(&query, 1).await;
    assert_eq!(slack.answers(GENERAL, &thread, 1).await, [WHOLE]);
    // It is not tried again.
    let thread = slack.say(ALICE, GENERAL, "<@U0SIMBOT> slow again").await;
    let query = format!("channel={GENERAL}&thread_ts={thread}&user=U0SIMBOT&contains=nine%20ten");
    slack.messages(&query, 1).await;
    assert_eq!(slack.calls("chat.startStream", 1).await.len(), 1);
    assert_eq!(slack.calls("agents.sessions.setStatus", 1).await.len(), 1);
    host.stop().await;
}
