//! Buttons, forms, the home tab and what people think of answers, in Slack.

use anchorhold_tests::{TestHost, TestSlack};
use serde_json::{Value, json};

const ALICE: &str = "U0ALICE";
const BOB: &str = "U0BOB";
const GENERAL: &str = "C0GENERAL";
const SAY: &str = "anchorhold_say";

async fn with_http() -> (TestSlack, TestHost) {
    let slack = TestSlack::http().await;
    let host = slack.host().plugin("assistant").plugin("probe");
    let host = host.start().await;
    slack.calls("auth.test", 1).await;
    (slack, host)
}

/// Alice asks `probe` for something; the thread of that.
async fn ask(slack: &TestSlack, command: &str) -> String {
    let text = format!("<@U0SIMBOT> probe: {command}");
    slack.say(ALICE, GENERAL, &text).await
}

/// The app's message in a thread that has these words.
async fn shown(slack: &TestSlack, thread: &str, words: &str) -> Value {
    let query = format!("channel={GENERAL}&thread_ts={thread}&user=U0SIMBOT&contains={words}");
    slack.messages(&query, 1).await.remove(0)
}

async fn click(slack: &TestSlack, user: &str, message: &Value, action: &str) {
    slack
        .act(json!({"do": "click", "user": user, "channel": GENERAL, "ts": message["ts"], "action_id": action}))
        .await;
}

/// Writes into the form that Alice has open, and sends it.
async fn send(slack: &TestSlack, forms: usize, text: &str) -> Value {
    slack.calls("views.open", forms).await;
    let form = slack.view(ALICE, "modal").await;
    let values = json!({"said": {"said": {"type": "plain_text_input", "value": text}}});
    slack
        .act(json!({"do": "submit", "view_id": form["id"], "values": values}))
        .await;
    form
}

#[tokio::test]
async fn a_form_takes_what_has_to_be_said() {
    let (slack, host) = with_http().await;
    let thread = ask(&slack, "ask text Sure?").await;
    let asked = shown(&slack, &thread, "Sure").await;
    click(&slack, BOB, &asked, SAY).await;
    let why = slack.whisper(GENERAL).await;
    assert!(why.contains("not for you"), "{why}");
    click(&slack, ALICE, &asked, SAY).await;
    let form = send(&slack, 1, "quite <sure>").await;
    assert!(form.to_string().contains("Sure?"), "{form:#}");
    shown(&slack, &thread, "answered%20slack:U0ALICE:%20quite").await;
    let closed = shown(&slack, &thread, "Answered%20by").await;
    assert_eq!(closed["ts"], asked["ts"]);
    assert!(!closed.to_string().contains(SAY), "{closed:#}");

    let thread = ask(&slack, "ask approval Really?").await;
    let asked = shown(&slack, &thread, "Really").await;
    click(&slack, ALICE, &asked, SAY).await;
    send(&slack, 2, "too dear").await;
    shown(&slack, &thread, "refused%20slack:U0ALICE:%20too%20dear").await;
    let closed = shown(&slack, &thread, "too%20dear").await;
    assert!(closed.to_string().contains("Denied by"), "{closed:#}");
    let denied = host.get("/api/v1/events?topic=user.denied").await.body;
    let denied = denied["items"].as_array().unwrap();
    assert_eq!(denied.len(), 1, "{denied:#?}");
    assert_eq!(denied[0]["data"]["user"], "slack:U0BOB");
    host.stop().await;
}

#[tokio::test]
async fn what_is_answered_elsewhere_has_no_buttons_any_more() {
    let (slack, host) = with_http().await;
    let thread = ask(&slack, "ask approval Sure?").await;
    let asked = shown(&slack, &thread, "Sure").await;
    slack.calls("agents.sessions.setStatus", 1).await;
    // Nothing but rows survives this, and the question is followed all the same.
    let host = host.crash().await.start().await;
    slack.calls("auth.test", 2).await;
    let turns = host.get("/api/v1/turns").await.body;
    let turn = turns["items"][0]["turn"].as_str().unwrap();
    let path = format!("/api/v1/turns/{turn}/answer");
    let answer = json!({"approve": true, "user": "slack:U0ALICE"});
    let answered = host.post(&path, &answer).await;
    assert_eq!(answered.status, 202, "{answered:?}");
    let closed = shown(&slack, &thread, "Approved%20by").await;
    assert_eq!(closed["ts"], asked["ts"]);

    let thread = ask(&slack, "ask approval Soon? ## expires=1000").await;
    shown(&slack, &thread, "Soon").await;
    shown(&slack, &thread, "Nobody%20answered%20in%20time").await;
    host.stop().await;
}

#[tokio::test]
async fn buttons_below_an_answer_are_feedback() {
    let (slack, host) = with_http().await;
    let thread = ask(&slack, "echo hello").await;
    let answer = shown(&slack, &thread, "hello").await;
    click(&slack, "U0GWEN", &answer, "anchorhold_feedback").await;
    let why = slack.whisper(GENERAL).await;
    assert!(why.contains("does not answer guests"), "{why}");
    click(&slack, BOB, &answer, "anchorhold_feedback").await;
    let query = format!("channel={GENERAL}&ephemeral=true&contains=Thank%20you");
    slack.messages(&query, 1).await;
    let given = host.get("/api/v1/feedback").await.body;
    let given = given["items"].as_array().unwrap();
    assert_eq!(given.len(), 1, "{given:#?}");
    assert_eq!(
        (&given[0]["user"], &given[0]["rating"]),
        (&json!("slack:U0BOB"), &json!("up"))
    );
    host.stop().await;
}

#[tokio::test]
async fn the_home_tab_shows_what_is_a_persons() {
    let (slack, host) = with_http().await;
    let open = async |user: &str, homes: usize| {
        let act = json!({"do": "open_home", "user": user, "tab": "home"});
        slack.act(act).await;
        slack.calls("views.publish", homes).await;
        slack.view(user, "home").await
    };
    let thread = ask(&slack, "ask approval Sure?").await;
    shown(&slack, &thread, "Sure").await;
    let home = open(ALICE, 1).await;
    let text = home.to_string();
    for part in [
        "*probe*",
        "Sure?",
        "/archives/C0GENERAL/p",
        "of models",
        "/anchorhold",
    ] {
        assert!(text.contains(part), "{part}: {home:#}");
    }
    // Nobody sees what is another's.
    let others = open(BOB, 2).await.to_string();
    assert!(
        !others.contains("Sure?") && others.contains("None yet"),
        "{others}"
    );
    let guests = open("U0GWEN", 3).await.to_string();
    assert!(guests.contains("does not answer guests"), "{guests}");
    slack
        .act(json!({"do": "click", "user": ALICE, "view_id": home["id"], "action_id": "anchorhold_answer_1"}))
        .await;
    shown(&slack, &thread, "answered").await;
    slack.calls("views.publish", 4).await;
    let home = slack.view(ALICE, "home").await.to_string();
    assert!(!home.contains("Waiting for you"), "{home}");
    host.stop().await;
}

#[tokio::test]
async fn what_may_be_asked_is_offered_where_people_begin() {
    let slack = TestSlack::http().await;
    let prompts = vec![toml::toml! {
        title = "My notes"
        message = "notes: list"
    }];
    let host = slack
        .host()
        .plugin("assistant")
        .set("slack.prompts", prompts);
    let host = host.start().await;
    slack.calls("auth.test", 1).await;
    slack
        .act(json!({"do": "open_home", "user": ALICE, "tab": "messages"}))
        .await;
    let call = slack
        .calls("assistant.threads.setSuggestedPrompts", 1)
        .await
        .remove(0);
    assert_eq!(call["ok"], true, "{call:#}");
    assert_eq!(call["args"]["prompts"][0]["message"], "notes: list");
    host.stop().await;
}
