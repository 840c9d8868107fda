//! Slack, as people in it see the host: a fake Slack in a process of its own on
//! one side, the real program on the other.

use anchorhold_tests::{Answer, HostBuilder, TestHost, TestSlack};
use serde_json::{Value, json};

const SCRIPT: &str = r#"
[[rules]]
when = { last = { contains = ["slow"] } }
reply = { text = "one two three four five six seven eight nine ten", chunk_delay_ms = 500 }
[[rules]]
when = { last = { contains = ["ping everyone"] } }
reply = { text = "Hello <!channel> and <@U0BOB>" }
[[rules]]
when = { last = { contains = ["before"] }, has_previous = true }
reply = { text = "Before you said {previous}" }
[fallback]
text = "You said {last}"
"#;

const ALICE: &str = "U0ALICE";
const GENERAL: &str = "C0GENERAL";

fn agents(host: HostBuilder) -> HostBuilder {
    host.plugin("assistant").plugin("probe").script(SCRIPT)
}

async fn with_http() -> (TestSlack, TestHost) {
    let slack = TestSlack::http().await;
    let host = agents(slack.host()).start().await;
    slack.calls("auth.test", 1).await;
    (slack, host)
}

fn mention(text: &str) -> String {
    format!("<@U0SIMBOT> {text}")
}

#[tokio::test]
async fn a_mention_is_answered_in_its_thread() {
    let (slack, host) = with_http().await;
    let ts = slack
        .say(ALICE, GENERAL, &mention("hello &amp; welcome"))
        .await;
    let answers = slack.answers(GENERAL, &ts, 1).await;
    assert_eq!(answers, ["You said hello & welcome"]);
    // A mention comes as two events, and is one turn all the same.
    slack.deliveries("acked", 2).await;
    let turns = host.get("/api/v1/turns").await.body;
    assert_eq!(turns["items"].as_array().unwrap().len(), 1, "{turns:#}");
    let turn = &turns["items"][0];
    assert_eq!(turn["user"], "slack:U0ALICE");
    assert_eq!(turn["channel"], "slack");

    // In the thread nobody needs to mention it again.
    slack.reply("U0BOB", GENERAL, &ts, "what was before?").await;
    let answers = slack.answers(GENERAL, &ts, 2).await;
    assert_eq!(answers[1], "Before you said hello & welcome");
}

#[tokio::test]
async fn sockets_bring_the_same() {
    let slack = TestSlack::sockets().await;
    let host = agents(slack.host()).start().await;
    slack.open_sockets(2).await;
    let ts = slack.say(ALICE, GENERAL, &mention("hello")).await;
    assert_eq!(slack.answers(GENERAL, &ts, 1).await, ["You said hello"]);
    let direct = slack.say(ALICE, "D0ALICE", "just you").await;
    assert_eq!(
        slack.answers("D0ALICE", &direct, 1).await,
        ["You said just you"]
    );
    // What is not known is acknowledged as well, or it would come for ever.
    slack
        .act(json!({"do": "inject", "event": {"type": "never_heard_of"}, "channel": GENERAL}))
        .await;
    slack.deliveries("acked", 4).await;
    host.stop().await;
}

#[tokio::test]
async fn a_socket_is_replaced_before_it_closes() {
    let slack = TestSlack::sockets().await;
    let host = agents(slack.host()).set("slack.sockets", 1).start().await;
    slack.open_sockets(1).await;
    slack
        .act(json!({"do": "disconnect", "reason": "refresh_requested"}))
        .await;
    slack.calls("apps.connections.open", 2).await;
    let ts = slack.say(ALICE, GENERAL, &mention("still there?")).await;
    assert_eq!(
        slack.answers(GENERAL, &ts, 1).await,
        ["You said still there?"]
    );
    host.stop().await;
}

#[tokio::test]
async fn duplicates_are_one_turn_and_others_are_not_heard() {
    let (slack, host) = with_http().await;
    slack
        .event_fault(json!({"kind": "duplicate", "times": 2}))
        .await;
    let ts = slack.say(ALICE, GENERAL, &mention("once")).await;
    slack.answers(GENERAL, &ts, 1).await;
    // Nobody is meant by these.
    slack.say(ALICE, GENERAL, "just talking").await;
    slack.say("U0CIBOT", GENERAL, &mention("from a bot")).await;
    slack
        .act(json!({"do": "unfurl", "channel": GENERAL, "ts": ts}))
        .await;
    let last = slack.say(ALICE, GENERAL, &mention("last")).await;
    slack.answers(GENERAL, &last, 1).await;
    let turns = host.get("/api/v1/turns").await.body;
    assert_eq!(turns["items"].as_array().unwrap().len(), 2, "{turns:#}");
    assert_eq!(slack.answers(GENERAL, &ts, 1).await.len(), 1);
}

#[tokio::test]
async fn guests_and_outsiders_are_refused_unless_they_may() {
    let slack = TestSlack::http().await;
    let host = agents(slack.host())
        .set("slack.agents.probe.guests", true)
        .plugin_as("probe", "engineer")
        .set("slack.agents.engineer.groups", vec!["S0ENGINEERS"]);
    let host = host.start().await;
    slack.say("U0GWEN", GENERAL, &mention("hi")).await;
    let why = slack.whisper(GENERAL).await;
    assert!(why.contains("does not answer guests"), "{why}");
    slack.say("U0OLGA", "C0PARTNER", &mention("hi")).await;
    let why = slack.whisper("C0PARTNER").await;
    assert!(why.contains("people of this workspace"), "{why}");
    let ts = slack
        .say("U0GWEN", GENERAL, &mention("probe: echo hi"))
        .await;
    assert_eq!(slack.answers(GENERAL, &ts, 1).await, ["hi"]);
    slack.say("U0BOB", GENERAL, &mention("engineer: hi")).await;
    let query = format!("channel={GENERAL}&ephemeral=true&contains=everybody");
    slack.messages(&query, 1).await;
    let words = mention("engineer: echo hi");
    let ts = slack.say(ALICE, GENERAL, &words).await;
    assert_eq!(slack.answers(GENERAL, &ts, 1).await, ["hi"]);
    let turns = host.get("/api/v1/turns").await.body;
    assert_eq!(turns["items"].as_array().unwrap().len(), 2, "{turns:#}");
}

#[tokio::test]
async fn what_a_model_says_pings_nobody() {
    let (slack, _host) = with_http().await;
    let ts = slack.say(ALICE, GENERAL, &mention("ping everyone")).await;
    let answer = slack.answers(GENERAL, &ts, 1).await.remove(0);
    assert!(
        !answer.contains("<!channel>") && !answer.contains("<@U0BOB>"),
        "{answer}"
    );
    let call = slack.calls("chat.postMessage", 1).await.remove(0);
    assert_eq!(call["args"]["unfurl_links"], false, "{call:#}");
}

#[tokio::test]
async fn a_thread_is_known_to_whom_is_called_into_it() {
    let slack = TestSlack::http().await;
    let manifest = "name = \"probe\"\n[triggers.chat]\nhistory = 10\n";
    let host = agents(slack.host())
        .manifest("probe", manifest)
        .start()
        .await;
    let root = slack.say(ALICE, GENERAL, "the printer is broken").await;
    slack.reply("U0BOB", GENERAL, &root, "again?").await;
    slack
        .reply(ALICE, GENERAL, &root, &mention("probe: history"))
        .await;
    let answer = slack.answers(GENERAL, &root, 1).await.remove(0);
    assert!(
        answer.contains("the printer is broken") && answer.contains("again?"),
        "{answer}"
    );
    host.stop().await;
}

#[tokio::test]
async fn the_beginning_of_a_thread_may_come_after_who_is_called_into_it() {
    let (slack, host) = with_http().await;
    slack
        .event_fault(json!({"kind": "reverse", "times": 2, "name": "message"}))
        .await;
    let root = slack.say(ALICE, GENERAL, "the printer is broken").await;
    let call = mention("again?");
    slack.reply("U0BOB", GENERAL, &root, &call).await;
    slack.deliveries("acked", 3).await;
    let last = slack.say(ALICE, GENERAL, &mention("last")).await;
    slack.answers(GENERAL, &last, 1).await;
    assert_eq!(slack.answers(GENERAL, &root, 1).await, ["You said again?"]);
    host.stop().await;
}

#[tokio::test]
async fn stop_and_deletion_end_a_turn() {
    let (slack, host) = with_http().await;
    let status = async |host: &TestHost, wanted: &str| {
        let path = format!("/api/v1/turns?status={wanted}");
        host.wait_for(wanted, async || {
            let turns = host.get(&path).await.body;
            turns["items"].as_array().unwrap().first().cloned()
        })
        .await
    };
    let ts = slack.say(ALICE, GENERAL, &mention("slow")).await;
    status(&host, "running").await;
    let stopped = json!({"type": "agent_session_stopped", "channel": GENERAL, "thread_ts": ts, "user": ALICE});
    slack
        .act(json!({"do": "inject", "event": stopped, "channel": GENERAL}))
        .await;
    status(&host, "cancelled").await;
    assert_eq!(slack.answers(GENERAL, &ts, 1).await, ["Stopped."]);
    let ts = slack.say(ALICE, GENERAL, &mention("slow again")).await;
    status(&host, "running").await;
    slack
        .act(json!({"do": "delete", "user": ALICE, "channel": GENERAL, "ts": ts}))
        .await;
    host.wait_for("both are cancelled", async || {
        let turns = host.get("/api/v1/turns?status=cancelled").await.body;
        (turns["items"].as_array().unwrap().len() == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_thumb_is_feedback() {
    let (slack, host) = with_http().await;
    let ts = slack.say(ALICE, GENERAL, &mention("hello")).await;
    slack.answers(GENERAL, &ts, 1).await;
    let query = format!("channel={GENERAL}&thread_ts={ts}&user=U0SIMBOT");
    let answer = slack.messages(&query, 1).await.remove(0);
    let react = |name: &str| json!({"do": "react", "user": ALICE, "channel": GENERAL, "ts": answer["ts"], "name": name});
    slack.act(react("tada")).await;
    slack.act(react("-1")).await;
    let feedback = host
        .wait_for("feedback", async || {
            let given = host.get("/api/v1/feedback").await.body;
            given["items"].as_array().unwrap().first().cloned()
        })
        .await;
    assert_eq!(feedback["rating"], "down");
    assert_eq!(feedback["user"], "slack:U0ALICE");
}

#[tokio::test]
async fn an_answer_is_there_once_whatever_slack_does() {
    let slack = TestSlack::http().await;
    let host = agents(slack.host())
        .set("slack.timeout_ms", 300)
        .set("outbox.backoff_ms", 10)
        .start()
        .await;
    slack.calls("auth.test", 1).await;
    for fault in [
        json!({"method": "chat.postMessage", "kind": "ratelimited", "retry_after": 1}),
        json!({"method": "chat.postMessage", "kind": "error", "error": "ratelimited"}),
        json!({"method": "chat.postMessage", "kind": "lost"}),
        json!({"method": "chat.postMessage", "kind": "status", "status": 503}),
        json!({"method": "chat.postMessage", "kind": "hang", "ms": 2_000}),
        json!({"method": "users.info", "kind": "status", "status": 500}),
    ] {
        slack.fault(fault.clone()).await;
        let ts = slack.say(ALICE, "D0ALICE", "hello").await;
        let answers = slack.answers("D0ALICE", &ts, 1).await;
        assert_eq!(answers, ["You said hello"], "{fault}");
    }
    // What is there is settled a moment later.
    host.wait_for("every delivery is settled", async || {
        let pending = host.get("/api/v1/deliveries?status=pending").await.body;
        (pending["items"] == json!([])).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_long_answer_grows_while_it_is_made() {
    let (slack, host) = with_http().await;
    let ts = slack.say(ALICE, GENERAL, &mention("slow")).await;
    let query = format!("channel={GENERAL}&thread_ts={ts}&user=U0SIMBOT");
    slack.messages(&format!("{query}&streaming=true"), 1).await;
    slack.calls("chat.stopStream", 1).await;
    let whole = "one two three four five six seven eight nine ten";
    assert_eq!(slack.answers(GENERAL, &ts, 1).await, [whole]);
    let messages = slack.messages(&query, 1).await;
    assert_eq!(messages.len(), 1, "{messages:#?}");
    host.stop().await;
}

#[tokio::test]
async fn an_answer_that_slack_ends_too_early_is_made_whole() {
    let (slack, host) = with_http().await;
    slack.set(json!({"stream_lifetime_ms": 1_500})).await;
    let ts = slack.say(ALICE, GENERAL, &mention("slow")).await;
    slack.calls("chat.update", 1).await;
    let whole = "one two three four five six seven eight nine ten";
    let query = format!("channel={GENERAL}&thread_ts={ts}&user=U0SIMBOT&contains=nine%20ten");
    assert_eq!(slack.messages(&query, 1).await.len(), 1);
    assert_eq!(slack.answers(GENERAL, &ts, 1).await, [whole]);
    host.stop().await;
}

/// The message that asks, in the thread of `ts`.
async fn question(slack: &TestSlack, ts: &str) -> Value {
    let query = format!("channel={GENERAL}&thread_ts={ts}&user=U0SIMBOT&contains=Sure");
    slack.messages(&query, 1).await.remove(0)
}

fn click(user: &str, question: &Value, action: &str) -> Value {
    json!({"do": "click", "user": user, "channel": GENERAL, "ts": question["ts"], "action_id": action})
}

#[tokio::test]
async fn only_who_is_asked_can_approve_and_once() {
    let (slack, host) = with_http().await;
    let twice = mention("probe: ask approval Sure?\nask approval Sure again?");
    let ts = slack.say(ALICE, GENERAL, &twice).await;
    let asked = question(&slack, &ts).await;
    slack
        .act(click("U0BOB", &asked, "anchorhold_answer_1"))
        .await;
    let why = slack.whisper(GENERAL).await;
    assert!(why.contains("not for you"), "{why}");
    // It waits without an instance, and nothing but rows survives this.
    let host = host.crash().await.start().await;
    slack.act(click(ALICE, &asked, "anchorhold_answer_1")).await;
    // What it asks when it goes on is asked here, too.
    let query = format!("channel={GENERAL}&thread_ts={ts}&user=U0SIMBOT&contains=again");
    let again = slack.messages(&query, 1).await.remove(0);
    slack.act(click(ALICE, &again, "anchorhold_answer_0")).await;
    let query = format!("channel={GENERAL}&thread_ts={ts}&user=U0SIMBOT&contains=answered");
    let answer = slack.messages(&query, 1).await.remove(0);
    assert!(
        answer.to_string().contains("answered slack:U0ALICE"),
        "{answer:#}"
    );
    let closed = slack
        .messages(&format!("channel={GENERAL}&contains=Approved%20by"), 1)
        .await
        .remove(0);
    assert_eq!(closed["ts"], asked["ts"]);
    assert!(
        !closed.to_string().contains("anchorhold_answer_1"),
        "{closed:#}"
    );
    host.stop().await;
}

#[tokio::test]
async fn a_choice_has_buttons_and_a_text_is_said_in_the_thread() {
    let slack = TestSlack::sockets().await;
    let host = agents(slack.host()).start().await;
    slack.open_sockets(2).await;
    let ts = slack
        .say(ALICE, GENERAL, &mention("probe: ask red;;green Sure?"))
        .await;
    let asked = question(&slack, &ts).await;
    slack.act(click(ALICE, &asked, "anchorhold_answer_3")).await;
    let query = |ts: &str, words: &str| {
        format!("channel={GENERAL}&thread_ts={ts}&user=U0SIMBOT&contains={words}")
    };
    slack
        .messages(&query(&ts, "answered%20slack:U0ALICE:%20green"), 1)
        .await;

    let ts = slack
        .say(ALICE, GENERAL, &mention("probe: ask text Sure?"))
        .await;
    question(&slack, &ts).await;
    slack.reply(ALICE, GENERAL, &ts, "quite sure").await;
    slack
        .messages(&query(&ts, "answered%20slack:U0ALICE:%20quite%20sure"), 1)
        .await;
    host.stop().await;
}

#[tokio::test]
async fn what_cannot_be_delivered_is_a_dead_letter() {
    let (slack, host) = with_http().await;
    slack
        .fault(json!({"method": "chat.postMessage", "kind": "error", "error": "is_archived"}))
        .await;
    slack.say(ALICE, GENERAL, &mention("hello")).await;
    let dead = host
        .wait_for("the dead letter", async || {
            let dead = host.get("/api/v1/deliveries?status=dead").await.body;
            dead["items"].as_array().unwrap().first().cloned()
        })
        .await;
    assert!(
        dead["error"].as_str().unwrap().contains("is_archived"),
        "{dead:#}"
    );
}

#[tokio::test]
async fn what_is_not_signed_is_refused_before_it_is_read() {
    let (_slack, host) = with_http().await;
    let post_to = async |path: &str, headers: &[(&str, &str)], body: &'static str| {
        let client = reqwest::Client::new();
        let request = client.post(format!("{}/slack/{path}", host.url)).body(body);
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        Answer::read(request.send().await.unwrap()).await.status
    };
    let post = async |headers: &[(&str, &str)], body| post_to("events", headers, body).await;
    let event = r#"{"type":"url_verification","challenge":"c"}"#;
    assert_eq!(post(&[], event).await, 401);
    let command = "command=%2Fanchorhold&text=usage&user_id=U0ALICE&channel_id=C0GENERAL";
    assert_eq!(post_to("commands", &[], command).await, 401);
    assert_eq!(post_to("interactivity", &[], "payload=%7B%7D").await, 401);
    let (at, signature) = ("x-slack-request-timestamp", "x-slack-signature");
    let wrong = format!("v0={}", "0".repeat(64));
    assert_eq!(post(&[(at, "1"), (signature, &wrong)], event).await, 401);
    let now = (anchorhold_tests::now_ms() / 1_000).to_string();
    assert_eq!(post(&[(at, &now), (signature, &wrong)], event).await, 401);
    assert_eq!(
        post(
            &[(at, &now), (signature, &wrong)],
            Box::leak("x".repeat(2 << 20).into_boxed_str())
        )
        .await,
        413
    );
    let turns: Value = host.get("/api/v1/turns").await.body;
    assert_eq!(turns["items"], json!([]));
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash() {
    let slack = TestSlack::http().await;
    let host = agents(slack.host()).start().await;
    slack.calls("auth.test", 1).await;
    let mut threads = Vec::new();
    for number in 0..5 {
        threads.push(
            slack
                .say(ALICE, "D0ALICE", &format!("number {number}"))
                .await,
        );
    }
    slack.deliveries("acked", 5).await;
    let host = host.crash().await.start().await;
    for (number, thread) in threads.iter().enumerate() {
        let answers = slack.answers("D0ALICE", thread, 1).await;
        assert_eq!(answers, [format!("You said number {number}")]);
    }
    host.stop().await;
    for thread in &threads {
        assert_eq!(slack.answers("D0ALICE", thread, 1).await.len(), 1);
    }
}

/// The value of one of the host's metrics, once it is this.
async fn metric(host: &TestHost, line: &str) {
    host.wait_for(line, async || {
        let metrics = host.get("/metrics").await.body.to_string();
        metrics.contains(line).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_token_that_is_revoked_is_told_and_nothing_is_lost() {
    let (slack, host) = with_http().await;
    let ts = slack.say(ALICE, "D0ALICE", "hello").await;
    slack.answers("D0ALICE", &ts, 1).await;
    slack.set(json!({"revoked": true})).await;
    let ts = slack.say(ALICE, "D0ALICE", "again").await;
    metric(&host, "anchorhold_slack_broken 1").await;
    assert!(host.log().contains("install the app again"));
    slack.set(json!({"revoked": false})).await;
    let answers = slack.answers("D0ALICE", &ts, 1).await;
    assert_eq!(answers, ["You said again"]);
    host.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_acknowledged_and_kept() {
    let (slack, host) = with_http().await;
    for transport in ["events_api", "slash_commands", "interactive"] {
        slack
            .act(json!({"do": "inject_raw", "transport": transport, "payload": ["odd"]}))
            .await;
    }
    slack.deliveries("acked", 3).await;
    metric(&host, "anchorhold_slack_failed_total 3").await;
    // What comes after it is dealt with.
    let ts = slack.say(ALICE, "D0ALICE", "hello").await;
    slack.answers("D0ALICE", &ts, 1).await;
    host.stop().await;
}

#[tokio::test]
async fn settings_that_cannot_work_are_told() {
    for (key, value, said) in [
        ("slack.bot_token", "xoxb-1", "SLACK_APP_TOKEN"),
        ("slack.signing_secret", " ", "anyone could sign"),
        ("slack.app_token", "xapp-1", "SLACK_BOT_TOKEN"),
        (
            "slack.api_base_url",
            "http://slack.example",
            "must be https",
        ),
    ] {
        let (code, stderr) = TestHost::new().set(key, value).start_fails().await;
        assert_ne!(code, 0);
        assert!(stderr.contains(said), "{key}: {stderr}");
    }
}
