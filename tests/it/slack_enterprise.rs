//! Slack where the app is installed in an organisation of several workspaces: no event
//! names a team it is installed in, and clicks name none at all.

use anchorhold_tests::{HostBuilder, TestHost, TestSlack};
use serde_json::{Value, json};

const ALICE: &str = "U0ALICE";
/// Of the second workspace.
const ERIN: &str = "U0ERIN";
const GENERAL: &str = "C0GENERAL";
const SECOND: &str = "C0SECOND";
const SLOW: &str = r#"
[[rules]]
reply = { text = "one two three four five six seven eight nine ten", chunk_delay_ms = 500 }
"#;
const SAY: &str = "anchorhold_say";

async fn with_enterprise(more: impl FnOnce(HostBuilder) -> HostBuilder) -> (TestSlack, TestHost) {
    let slack = TestSlack::enterprise().await;
    let host = more(slack.host().plugin("probe").set("slack.agent", "probe"));
    let host = host.start().await;
    slack.calls("auth.test", 1).await;
    (slack, host)
}

async fn shown(slack: &TestSlack, channel: &str, words: &str) -> Value {
    let query = format!("channel={channel}&user=U0SIMBOT&contains={words}");
    slack.messages(&query, 1).await.remove(0)
}

#[tokio::test]
async fn people_of_every_workspace_are_answered() {
    let (slack, host) = with_enterprise(|host| host.plugin("assistant").script(SLOW)).await;
    slack.say(ALICE, GENERAL, "<@U0SIMBOT> echo first").await;
    slack.say(ERIN, SECOND, "<@U0SIMBOT> echo second").await;
    slack.say(ERIN, "D0ERIN", "echo third").await;
    shown(&slack, GENERAL, "first").await;
    shown(&slack, SECOND, "second").await;
    shown(&slack, "D0ERIN", "third").await;
    for (user, channel, team) in [(ALICE, GENERAL, "T0SIM"), (ERIN, SECOND, "T0SECOND")] {
        let text = "<@U0SIMBOT> assistant: slow";
        slack.say(user, channel, text).await;
        shown(&slack, channel, "nine%20ten").await;
        let streams = slack.calls("chat.startStream", 1).await;
        let args = &streams.last().unwrap()["args"];
        assert_eq!(args["recipient_user_id"], user, "{args}");
        assert_eq!(args["recipient_team_id"], team, "{args}");
    }
    let turns = host.get("/api/v1/turns").await.body;
    for turn in turns["items"].as_array().unwrap() {
        let conversation = turn["conversation"].as_str().unwrap();
        assert!(conversation.starts_with("slack:E0SIM:"), "{conversation}");
    }
    // Of no workspace of the organisation.
    slack.say("U0OLGA", "C0PARTNER", "<@U0SIMBOT> echo").await;
    let why = slack.whisper("C0PARTNER").await;
    assert!(why.contains("people of this workspace only"), "{why}");
    host.stop().await;
}

#[tokio::test]
async fn commands_clicks_and_forms_find_their_way() {
    let (slack, host) = with_enterprise(|host| host).await;
    slack
        .act(json!({"do": "command", "user": ERIN, "channel": SECOND, "command": "/anchorhold", "text": "agents"}))
        .await;
    let query = format!("channel={SECOND}&ephemeral=true");
    let told = slack.messages(&query, 1).await.remove(0);
    assert!(told.to_string().contains("*probe*"), "{told:#}");

    slack.say(ERIN, SECOND, "<@U0SIMBOT> ask text Sure?").await;
    let asked = shown(&slack, SECOND, "Sure").await;
    slack
        .act(json!({"do": "click", "user": ERIN, "channel": SECOND, "ts": asked["ts"], "action_id": SAY}))
        .await;
    slack.calls("views.open", 1).await;
    let form = slack.view(ERIN, "modal").await;
    let values = json!({"said": {"said": {"type": "plain_text_input", "value": "quite"}}});
    slack
        .act(json!({"do": "submit", "view_id": form["id"], "values": values}))
        .await;
    shown(&slack, SECOND, "answered%20slack:U0ERIN:%20quite").await;

    slack
        .act(json!({"do": "open_home", "user": ERIN, "tab": "home"}))
        .await;
    slack.calls("views.publish", 1).await;
    let home = slack.view(ERIN, "home").await;
    assert!(home.to_string().contains("probe"), "{home:#}");
    host.stop().await;
}

#[tokio::test]
async fn an_agent_is_of_some_workspaces_and_groups_only() {
    let (slack, host) = with_enterprise(|host| {
        host.plugin("assistant")
            .set("slack.agents.probe.teams", vec!["T0SECOND"])
            .set("slack.agents.assistant.groups", vec!["S0SECOND"])
    })
    .await;
    slack.say(ERIN, SECOND, "<@U0SIMBOT> echo mine").await;
    shown(&slack, SECOND, "mine").await;
    slack.say(ALICE, GENERAL, "<@U0SIMBOT> echo mine").await;
    let why = slack.whisper(GENERAL).await;
    assert!(why.contains("does not answer in this workspace"), "{why}");
    // A group that her workspace does not know is no reason to fail.
    slack.say(ALICE, GENERAL, "<@U0SIMBOT> assistant: hi").await;
    let query = format!("channel={GENERAL}&ephemeral=true");
    let why = slack.messages(&query, 2).await.remove(1);
    let why = why["text"].as_str().unwrap();
    assert!(why.contains("does not answer everybody"), "{why}");
    slack.say(ERIN, SECOND, "<@U0SIMBOT> assistant: hi").await;
    shown(&slack, SECOND, "hi").await;
    host.stop().await;
}
