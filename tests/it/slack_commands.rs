//! `/anchorhold` in Slack: answered to who asked alone, but for what an agent is
//! asked.

use anchorhold_tests::{TestHost, TestSlack};
use serde_json::json;

const ALICE: &str = "U0ALICE";
const GENERAL: &str = "C0GENERAL";

async fn command(slack: &TestSlack, user: &str, channel: &str, text: &str) {
    slack
        .act(json!({"do": "command", "user": user, "channel": channel, "command": "/anchorhold", "text": text}))
        .await;
}

async fn with_http() -> (TestSlack, TestHost) {
    let slack = TestSlack::http().await;
    let host = slack
        .host()
        .plugin("assistant")
        .plugin("notes")
        .start()
        .await;
    slack.calls("auth.test", 1).await;
    (slack, host)
}

/// What the app says to one person alone, the `number`th.
async fn told(slack: &TestSlack, channel: &str, number: usize) -> String {
    let query = format!("channel={channel}&user=U0SIMBOT&ephemeral=true");
    let message = slack.messages(&query, number).await.remove(number - 1);
    let blocks = message["blocks"].to_string();
    format!("{} {blocks}", message["text"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn commands_are_answered_to_who_asks_alone() {
    let (slack, host) = with_http().await;
    let expected = [
        ("", "`/anchorhold agents`"),
        ("dance <!channel>", "There is no `dance` here"),
        ("agents", "*notes*"),
        ("status", "Nothing runs for you"),
        ("usage", "Today (UTC): 0 calls"),
        ("budget", "Everyone, this hour: $2.00 of $2.00 left"),
        ("why", "There is no answer of yours"),
        ("stop", "Nothing of yours runs here"),
        ("approvals", "Nothing waits for you"),
        ("ask", "/anchorhold ask AGENT TEXT"),
        ("ask nobody hi", "There is no agent nobody for you here"),
    ];
    for (number, (text, said)) in (1..).zip(expected) {
        command(&slack, ALICE, GENERAL, text).await;
        let told = told(&slack, GENERAL, number).await;
        assert!(told.contains(said), "{text}: {told}");
    }
    host.stop().await;
}

#[tokio::test]
async fn asking_begins_a_thread_that_everybody_sees() {
    for slack in [TestSlack::http().await, TestSlack::sockets().await] {
        let host = slack.host().plugin("assistant").start().await;
        slack.calls("auth.test", 1).await;
        command(&slack, ALICE, GENERAL, "ask assistant: hello <!channel>").await;
        let posted = slack.calls("chat.postMessage", 1).await.remove(0);
        let asked = posted["args"]["text"].as_str().unwrap();
        assert!(
            asked.contains("asks assistant: hello &lt;!channel&gt;"),
            "{asked}"
        );
        let query = format!("channel={GENERAL}&user=U0SIMBOT&ephemeral=false");
        let messages = slack.messages(&query, 2).await;
        assert_eq!(messages[1]["thread_ts"], messages[0]["ts"], "{messages:#?}");
        command(&slack, ALICE, GENERAL, "why").await;
        let why = told(&slack, GENERAL, 1).await;
        assert!(why.contains("*assistant*"), "{why}");
        host.stop().await;
    }
}

/// What a model says while somebody looks.
const SCRIPT: &str = r#"
[[rules]]
when = { last = { contains = ["slow"] } }
reply = { text = "one two three four five six", chunk_delay_ms = 60000 }
"#;

#[tokio::test]
async fn what_runs_is_shown_and_stopped_by_who_asked() {
    let slack = TestSlack::http().await;
    let host = slack.host().plugin("assistant").script(SCRIPT);
    let host = host.start().await;
    slack.calls("auth.test", 1).await;
    slack.say(ALICE, GENERAL, "<@U0SIMBOT> slow").await;
    host.wait_for("the turn runs", async || {
        let turns = host.get("/api/v1/turns?status=running").await.body;
        turns["items"].as_array().unwrap().first().cloned()
    })
    .await;
    command(&slack, ALICE, GENERAL, "status").await;
    let status = told(&slack, GENERAL, 1).await;
    assert!(status.contains("*assistant* is at work"), "{status}");
    // It is nobody else's.
    command(&slack, "U0BOB", GENERAL, "stop").await;
    let nothing = told(&slack, GENERAL, 2).await;
    assert!(nothing.contains("Nothing of yours"), "{nothing}");
    command(&slack, ALICE, "C0PARTNER", "stop").await;
    let nothing = told(&slack, "C0PARTNER", 1).await;
    assert!(nothing.contains("Nothing of yours"), "{nothing}");
    command(&slack, ALICE, GENERAL, "stop").await;
    let stopped = told(&slack, GENERAL, 3).await;
    assert!(stopped.contains("Stopped: assistant."), "{stopped}");
    host.wait_for("it is stopped", async || {
        let turns = host.get("/api/v1/turns?status=cancelled").await.body;
        turns["items"].as_array().unwrap().first().cloned()
    })
    .await;
    host.stop().await;
}

#[tokio::test]
async fn approvals_are_decided_where_they_are_listed() {
    let slack = TestSlack::http().await;
    let host = slack.host().plugin("assistant").plugin("probe");
    let host = host.start().await;
    slack.calls("auth.test", 1).await;
    let asked = "<@U0SIMBOT> probe: ask approval Sure?";
    let ts = slack.say(ALICE, GENERAL, asked).await;
    let thread = format!("channel={GENERAL}&thread_ts={ts}&user=U0SIMBOT");
    slack.messages(&format!("{thread}&contains=Sure"), 1).await;
    let long = format!(
        "<@U0SIMBOT> probe: ask approval Also {}?",
        "long ".repeat(300)
    );
    let really = "<@U0SIMBOT> probe: ask approval Really?";
    // One after the other, because lists show them so.
    for (asked, words) in [(really, "Really"), (&long, "Also")] {
        slack.say(ALICE, GENERAL, asked).await;
        let query = format!("channel={GENERAL}&user=U0SIMBOT&contains={words}");
        slack.messages(&query, 1).await;
    }
    command(&slack, "U0BOB", GENERAL, "approvals").await;
    let nothing = told(&slack, GENERAL, 1).await;
    assert!(nothing.contains("Nothing waits for you"), "{nothing}");
    command(&slack, ALICE, GENERAL, "approvals").await;
    let query = format!("channel={GENERAL}&ephemeral=true&contains=Sure");
    let listed = slack.messages(&query, 1).await.remove(0);
    slack
        .act(json!({"do": "click", "user": ALICE, "channel": GENERAL, "ts": listed["ts"], "action_id": "anchorhold_answer_1"}))
        .await;
    let answered = format!("{thread}&contains=answered");
    slack.messages(&answered, 1).await;
    // What is decided makes way, and the rest can still be decided.
    let query = format!("channel={GENERAL}&ephemeral=true&contains=Approved%20by");
    let rest = slack.messages(&query, 1).await.remove(0)["blocks"].take();
    let rest = rest.as_array().unwrap();
    let texts: Vec<_> = rest
        .iter()
        .map(|block| block["text"]["text"].to_string())
        .collect();
    let kinds: Vec<_> = rest.iter().map(|block| &block["type"]).collect();
    assert_eq!(
        kinds,
        ["context", "section", "actions", "section"],
        "{texts:?}"
    );
    assert!(texts[1].contains("Really?"), "{texts:?}");
    // What is not shown whole has no buttons.
    assert!(texts[3].contains("decide in its thread"), "{texts:?}");
    host.stop().await;
}

#[tokio::test]
async fn where_the_app_is_not_it_says_what_to_do() {
    let (slack, host) = with_http().await;
    slack
        .fault(json!({"method": "chat.postMessage", "kind": "error", "error": "not_in_channel"}))
        .await;
    command(&slack, ALICE, GENERAL, "ask notes list").await;
    let told = told(&slack, GENERAL, 1).await;
    assert!(told.contains("/invite"), "{told}");
    host.stop().await;
}

#[tokio::test]
async fn guests_are_told_why_not() {
    let (slack, host) = with_http().await;
    command(&slack, "U0GWEN", GENERAL, "agents").await;
    let told = told(&slack, GENERAL, 1).await;
    assert!(told.contains("does not answer guests"), "{told}");
    host.stop().await;
}

#[tokio::test]
async fn an_address_that_has_expired_is_not_needed() {
    let (slack, host) = with_http().await;
    slack.set(json!({"response_url_lifetime_ms": 0})).await;
    command(&slack, ALICE, GENERAL, "help").await;
    slack.calls("chat.postEphemeral", 1).await;
    let told = told(&slack, GENERAL, 1).await;
    assert!(told.contains("/anchorhold agents"), "{told}");
    host.stop().await;
}
