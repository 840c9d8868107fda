//! What is said again in Slack: edits of messages, and other bots that do not stop.

use anchorhold_tests::{TestHost, TestSlack};
use serde_json::json;

const ALICE: &str = "U0ALICE";
const GENERAL: &str = "C0GENERAL";

const SCRIPT: &str = r#"
[[rules]]
when = { last = { contains = ["slow"] } }
reply = { text = "one two three", chunk_delay_ms = 500 }
[fallback]
text = "You said {last}"
"#;

async fn with_http() -> (TestSlack, TestHost) {
    let slack = TestSlack::http().await;
    let host = slack.host().plugin("assistant").script(SCRIPT);
    let host = host.start().await;
    slack.calls("auth.test", 1).await;
    (slack, host)
}

async fn edit(slack: &TestSlack, ts: &str, text: &str) {
    slack
        .act(json!({"do": "edit", "user": ALICE, "channel": GENERAL, "ts": ts, "text": text}))
        .await;
}

async fn running(host: &TestHost) {
    host.wait_for("the turn runs", async || {
        let turns = host.get("/api/v1/turns?status=running").await.body;
        turns["items"].as_array().unwrap().first().cloned()
    })
    .await;
}

#[tokio::test]
async fn an_edit_corrects_what_is_not_answered() {
    let (slack, host) = with_http().await;
    let ts = slack.say(ALICE, GENERAL, "<@U0SIMBOT> slow").await;
    running(&host).await;
    let second = slack.reply(ALICE, GENERAL, &ts, "milk").await;
    host.wait_for("it waits", async || {
        let turns = host.get("/api/v1/turns?status=queued").await.body;
        turns["items"].as_array().unwrap().first().cloned()
    })
    .await;
    // What is begun gets a correction, what waits is asked as it is now.
    edit(&slack, &second, "oat milk").await;
    edit(&slack, &ts, "<@U0SIMBOT> quick").await;
    let answers = slack.answers(GENERAL, &ts, 3).await;
    assert_eq!(answers[0], "one two three");
    assert_eq!(answers[1], "You said oat milk");
    assert_eq!(
        answers[2],
        "You said Correction of what I said before: quick"
    );
    // What is answered stays so, and the same words again are no edit.
    edit(&slack, &second, "soy milk").await;
    let last = slack.reply(ALICE, GENERAL, &ts, "last").await;
    slack
        .act(json!({"do": "unfurl", "channel": GENERAL, "ts": last}))
        .await;
    let answers = slack.answers(GENERAL, &ts, 4).await;
    assert_eq!(answers[3], "You said last");
    let turns = host.get("/api/v1/turns").await.body;
    assert_eq!(turns["items"].as_array().unwrap().len(), 4, "{turns:#}");
    host.stop().await;
}

#[tokio::test]
async fn other_bots_are_heard_where_they_may_and_not_for_ever() {
    let slack = TestSlack::http().await;
    let host = slack.host().plugin("assistant").script(SCRIPT);
    let host = host
        .set("slack.agents.assistant.bots", vec!["B0CIBOT"])
        .set("slack.max_bot_messages", 2)
        .start()
        .await;
    slack.calls("auth.test", 1).await;
    let bot = async |thread: Option<&str>, text: &str| {
        let text = format!("<@U0SIMBOT> {text}");
        match thread {
            Some(thread) => slack.reply("U0CIBOT", GENERAL, thread, &text).await,
            None => slack.say("U0CIBOT", GENERAL, &text).await,
        }
    };
    let thread = bot(None, "built").await;
    slack.answers(GENERAL, &thread, 1).await;
    // Without a mention it is not meant.
    slack.reply("U0CIBOT", GENERAL, &thread, "by the way").await;
    bot(Some(&thread), "tested").await;
    slack.answers(GENERAL, &thread, 2).await;
    bot(Some(&thread), "thanks").await;
    host.wait_for("it is too much", async || {
        let denied = host.get("/api/v1/events?topic=user.denied").await.body;
        denied["items"].as_array().unwrap().first().cloned()
    })
    .await;
    slack.reply(ALICE, GENERAL, &thread, "go on").await;
    slack.answers(GENERAL, &thread, 3).await;
    bot(Some(&thread), "released").await;
    let answers = slack.answers(GENERAL, &thread, 4).await;
    let expected = ["built", "tested", "go on", "released"].map(|it| format!("You said {it}"));
    assert_eq!(answers, expected);
    let turns = host.get("/api/v1/turns").await.body;
    assert_eq!(turns["items"][3]["user"], "slack:B0CIBOT", "{turns:#}");
    host.stop().await;
}

#[tokio::test]
async fn a_bot_does_not_begin_threads_for_ever() {
    let slack = TestSlack::http().await;
    let host = slack.host().plugin("probe").set("slack.agent", "probe");
    let host = host
        .set("slack.agents.probe.bots", vec!["B0CIBOT"])
        .set("slack.max_bot_messages", 1)
        .start()
        .await;
    slack.calls("auth.test", 1).await;
    // An empty answer says nothing, which Slack would take one of a second.
    for _ in 0..10 {
        slack.say("U0CIBOT", GENERAL, "<@U0SIMBOT> echo").await;
    }
    let turns = async || host.get("/api/v1/turns").await.body["items"].take();
    host.wait_for("ten turns", async || {
        (turns().await.as_array().unwrap().len() == 10).then_some(())
    })
    .await;
    slack.say("U0CIBOT", GENERAL, "<@U0SIMBOT> echo").await;
    host.wait_for("it is too much", async || {
        let denied = host.get("/api/v1/events?topic=user.denied").await.body;
        denied["items"].as_array().unwrap().first().cloned()
    })
    .await;
    assert_eq!(turns().await.as_array().unwrap().len(), 10);
    host.stop().await;
}
