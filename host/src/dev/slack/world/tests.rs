//! The state alone: what people do, and what the app is told of it.

use serde_json::{Value, json};

use super::*;

/// A moment, in microseconds.
const NOW: i64 = 1_800_000_000_000_000;

pub(in crate::dev::slack) fn world() -> World {
    let mut world = World::new(Setup {
        base_url: "http://sim".to_owned(),
        bot_token: "xoxb-1".to_owned(),
        app_token: "xapp-1".to_owned(),
    });
    world.tick(NOW);
    world
}

pub(in crate::dev::slack) fn later(world: &mut World, ms: i64) {
    let now = world.now + ms * 1_000;
    world.tick(now);
}

pub(in crate::dev::slack) fn say(
    world: &mut World,
    user: &str,
    channel: &str,
    text: &str,
) -> String {
    let draft = Draft {
        channel: channel.to_owned(),
        body: json!({"text": text}),
        ..Draft::default()
    };
    world.say(user, draft, &Value::Null).unwrap()
}

fn names(world: &World) -> Vec<&str> {
    world.deliveries.iter().map(|it| it.name.as_str()).collect()
}

#[test]
fn a_mention_is_two_events_with_one_name() {
    let mut world = world();
    let ts = say(&mut world, "U0ALICE", "C0GENERAL", "<@U0SIMBOT> hi");
    assert_eq!(names(&world), ["app_mention", "message"]);
    let [mention, message] = &world.deliveries[..] else {
        panic!("two");
    };
    assert_eq!(mention.payload["event"]["ts"], ts.as_str());
    assert_eq!(message.payload["event"]["ts"], ts.as_str());
    assert_ne!(mention.payload["event_id"], message.payload["event_id"]);
    assert_eq!(message.payload["event"]["channel_type"], "channel");
    assert_eq!(message.payload["authorizations"][0]["user_id"], BOT);
}

#[test]
fn names_of_messages_are_unique_and_rise() {
    let mut world = world();
    let mut last = world.ts();
    for _ in 0..100 {
        let next = world.ts();
        assert!(next > last, "{next} is not after {last}");
        last = next;
    }
}

#[test]
fn where_the_app_is_not_it_is_told_nothing() {
    let mut world = world();
    say(&mut world, "U0ALICE", "C0RANDOM", "<@U0SIMBOT> hi");
    assert!(world.deliveries.is_empty());
    world.join(BOT, "C0RANDOM").unwrap();
    say(&mut world, "U0ALICE", "C0RANDOM", "hi");
    assert_eq!(names(&world), ["member_joined_channel", "message"]);
}

#[test]
fn what_is_not_subscribed_to_does_not_come() {
    let mut world = world();
    world
        .set(&json!({"subscriptions": ["message.im"]}))
        .unwrap();
    say(&mut world, "U0ALICE", "C0GENERAL", "<@U0SIMBOT> hi");
    say(&mut world, "U0ALICE", "D0ALICE", "hi");
    assert_eq!(names(&world), ["message"]);
    assert_eq!(world.deliveries[0].payload["event"]["channel_type"], "im");
}

#[test]
fn an_outsider_is_marked_in_event_and_envelope() {
    let mut world = world();
    say(&mut world, "U0OLGA", "C0PARTNER", "hi");
    let payload = &world.deliveries[0].payload;
    assert_eq!(payload["is_ext_shared_channel"], true);
    assert_eq!(payload["team_id"], "T0PARTNER");
    assert_eq!(payload["authorizations"][0]["team_id"], TEAM);
    assert_eq!(payload["event"]["user_team"], "T0PARTNER");
}

#[test]
fn an_unfurl_changes_a_message_but_not_its_text() {
    let mut world = world();
    let ts = say(&mut world, "U0ALICE", "D0ALICE", "see https://example.com");
    world
        .edit("D0ALICE", &ts, &json!({"attachments": [{}]}), None)
        .unwrap();
    let event = &world.deliveries[1].payload["event"];
    assert_eq!(event["subtype"], "message_changed");
    assert_eq!(event["message"]["text"], event["previous_message"]["text"]);
    assert!(event["message"].get("edited").is_none());
}

#[test]
fn an_edited_mention_mentions_again() {
    let mut world = world();
    let ts = say(&mut world, "U0ALICE", "C0GENERAL", "<@U0SIMBOT> hi");
    let fields = json!({"text": "<@U0SIMBOT> hello"});
    world
        .edit("C0GENERAL", &ts, &fields, Some("U0ALICE"))
        .unwrap();
    assert_eq!(
        names(&world),
        ["app_mention", "message", "message", "app_mention"]
    );
    assert_eq!(
        world.deliveries[3].payload["event"]["edited"]["user"],
        "U0ALICE"
    );
    assert_eq!(world.deliveries[3].payload["event"]["ts"], ts.as_str());
}

#[test]
fn files_of_outsiders_must_be_asked_for() {
    let mut world = world();
    for (user, access) in [("U0ALICE", "visible"), ("U0OLGA", "check_file_info")] {
        let id = world.add_file(user, "a.txt", None, b"abc".to_vec());
        let file = world.file(&id).unwrap();
        assert_eq!(world.file_in_message(file)["file_access"], access);
    }
}

#[test]
fn a_stream_ends_by_itself_when_it_is_old() {
    let mut world = world();
    let root = say(&mut world, "U0ALICE", "D0ALICE", "hi");
    let start = Start {
        channel: "D0ALICE".to_owned(),
        thread_ts: Some(root),
        ..Start::default()
    };
    let piece = Piece {
        markdown: None,
        chunks: Some(json!([{"type": "markdown_text", "text": "a"}])),
    };
    let ts = world.start_stream(start, &piece).unwrap();
    later(&mut world, 299_999);
    world.append_stream("D0ALICE", &ts, &piece).unwrap();
    later(&mut world, 1);
    let error = world.append_stream("D0ALICE", &ts, &piece).unwrap_err();
    assert_eq!(error.error, "message_not_in_streaming_state");
    assert_eq!(world.message("D0ALICE", &ts).unwrap().shown()["text"], "aa");
}

#[test]
fn stop_ends_the_streams_and_leaves_the_status() {
    let mut world = world();
    let root = say(&mut world, "U0ALICE", "D0ALICE", "hi");
    let start = Start {
        channel: "D0ALICE".to_owned(),
        thread_ts: Some(root.clone()),
        ..Start::default()
    };
    let ts = world.start_stream(start, &Piece::default()).unwrap();
    world.press_stop("U0ALICE", "D0ALICE", &root).unwrap();
    let event = &world.deliveries.last().unwrap().payload["event"];
    assert_eq!(event["type"], "agent_session_stopped");
    assert_eq!(event["streaming_message_ts"], json!([ts]));
    assert_eq!(world.sessions[0].status, "processing");
    let state = world
        .message("D0ALICE", &ts)
        .unwrap()
        .stream
        .as_ref()
        .unwrap()
        .state;
    assert_eq!(state, StreamState::StoppedByUser);
}

/// A message with a button, and its name.
fn with_button(world: &mut World) -> String {
    let mut body = own();
    let button = json!({"type": "button", "action_id": "go", "value": "7", "text": {"type": "plain_text", "text": "Go"}});
    merge(
        &mut body,
        &json!({"text": "b", "blocks": [{"type": "actions", "elements": [button]}]}),
    );
    check_body(&mut body).unwrap();
    let draft = Draft {
        channel: "C0GENERAL".to_owned(),
        body,
        ..Draft::default()
    };
    world.post(draft).unwrap()
}

fn click(world: &mut World, ts: &str) -> Value {
    let click = Click {
        user: "U0ALICE".to_owned(),
        channel: Some("C0GENERAL".to_owned()),
        ts: Some(ts.to_owned()),
        action_id: "go".to_owned(),
        ..Click::default()
    };
    let n = world.click(&click).unwrap();
    world.deliveries[n].payload.clone()
}

#[test]
fn a_click_says_what_was_clicked_and_where() {
    let mut world = world();
    let ts = with_button(&mut world);
    let payload = click(&mut world, &ts);
    assert_eq!(payload["actions"][0]["value"], "7");
    assert_eq!(payload["actions"][0]["block_id"], "sim0");
    assert_eq!(payload["container"]["message_ts"], ts.as_str());
    assert_eq!(payload["message"]["ts"], ts.as_str());
}

#[test]
fn a_trigger_works_once_and_soon() {
    let mut world = world();
    let ts = with_button(&mut world);
    let first = click(&mut world, &ts)["trigger_id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(world.use_trigger(&first).unwrap().0, "U0ALICE");
    assert_eq!(
        world.use_trigger(&first).unwrap_err().error,
        "exchanged_trigger_id"
    );
    let second = click(&mut world, &ts)["trigger_id"]
        .as_str()
        .unwrap()
        .to_owned();
    later(&mut world, 3_001);
    assert_eq!(
        world.use_trigger(&second).unwrap_err().error,
        "expired_trigger_id"
    );
}

#[test]
fn a_response_url_works_five_times_and_half_an_hour() {
    let mut world = world();
    let ts = with_button(&mut world);
    let id = |payload: &Value| {
        let url = payload["response_url"].as_str().unwrap();
        url.rsplit_once('/').unwrap().1.to_owned()
    };
    let first = id(&click(&mut world, &ts));
    for _ in 0..5 {
        world.respond(&first, &json!({"text": "a"})).unwrap();
    }
    let refused = world.respond(&first, &json!({"text": "a"})).unwrap_err();
    assert_eq!(refused.error, "used_url");
    let second = id(&click(&mut world, &ts));
    world
        .respond(&second, &json!({"replace_original": true, "text": "new"}))
        .unwrap();
    assert_eq!(world.message("C0GENERAL", &ts).unwrap().body["text"], "new");
    later(&mut world, 1_800_001);
    let refused = world.respond(&second, &json!({"text": "a"})).unwrap_err();
    assert_eq!(refused.error, "expired_url");
}

#[test]
fn a_command_is_answered_to_one_person_unless_it_says_otherwise() {
    let mut world = world();
    for (answer, to) in [
        (json!("secret"), Some("U0ALICE")),
        (json!({"text": "open", "response_type": "in_channel"}), None),
    ] {
        let n = world
            .command("U0ALICE", "C0GENERAL", "/agent", "x")
            .unwrap();
        world.acknowledged(n, Some(&answer)).unwrap();
        let said = world.messages.last().unwrap();
        assert_eq!(said.ephemeral_to.as_deref(), to);
    }
    let n = world
        .command("U0ALICE", "C0GENERAL", "/agent", "x")
        .unwrap();
    world.acknowledged(n, Some(&json!(""))).unwrap();
    assert_eq!(world.messages.len(), 2);
    world.unanswered(n, "operation_timeout");
    let said = world.messages.last().unwrap();
    assert_eq!(
        said.body["text"],
        "/agent failed with the error \"operation_timeout\""
    );
}

#[test]
fn a_submission_may_be_found_wrong_pushed_on_or_taken() {
    let mut world = world();
    let modal = |title: &str| json!({"type": "modal", "title": {"type": "plain_text", "text": title}, "blocks": []});
    let view = world.open_view("U0ALICE", modal("a"), None).unwrap();
    let id = view["id"].as_str().unwrap().to_owned();
    let n = world.submit(&id, json!({})).unwrap();
    let answer = json!({"response_action": "errors", "errors": {"b": "no"}});
    world.acknowledged(n, Some(&answer)).unwrap();
    assert_eq!(world.view(&id).unwrap().errors["b"], "no");
    let n = world.submit(&id, json!({})).unwrap();
    let answer = json!({"response_action": "push", "view": modal("b")});
    world.acknowledged(n, Some(&answer)).unwrap();
    assert_eq!(world.views.iter().filter(|view| view.is_open).count(), 2);
    let n = world.submit(&id, json!({})).unwrap();
    let answer = json!({"response_action": "clear"});
    world.acknowledged(n, Some(&answer)).unwrap();
    assert!(world.views.iter().all(|view| !view.is_open));
}

#[test]
fn a_form_that_is_closed_is_told_of_only_where_that_was_asked() {
    let mut world = world();
    for notify in [false, true] {
        let modal = json!({"type": "modal", "notify_on_close": notify, "title": {"type": "plain_text", "text": "a"}, "blocks": []});
        let view = world.open_view("U0ALICE", modal, None).unwrap();
        let told = world.dismiss(view["id"].as_str().unwrap(), false).unwrap();
        assert_eq!(told.is_some(), notify);
    }
}

#[test]
fn settings_are_set_by_name_and_only_by_name() {
    let mut world = world();
    world.set(&json!({"ack_timeout_ms": 5})).unwrap();
    assert_eq!(world.settings.ack_timeout_ms, 5);
    assert_eq!(
        world.set(&json!({"ack_timeout": 5})).unwrap_err().error,
        "invalid_settings"
    );
}

#[test]
fn faults_are_taken_in_order_and_used_up() {
    let mut world = world();
    let fault = |json: Value| serde_json::from_value::<Fault>(json).unwrap();
    world.faults.push(fault(
        json!({"method": "chat.update", "kind": "close", "after": 1}),
    ));
    assert_eq!(world.take_fault("chat.delete"), None);
    assert_eq!(world.take_fault("chat.update"), None);
    assert_eq!(world.take_fault("chat.update"), Some(FaultKind::Close));
    assert_eq!(world.take_fault("chat.update"), None);
}
