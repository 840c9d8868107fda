//! What Slack sends, and what it is.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const OWN: Own<'static> = Own {
    user: "UOWN",
    bot: Some("BOWN"),
    app: Some("AOWN"),
};

fn event(event: Value) -> Value {
    json!({
        "type": "event_callback", "api_app_id": "AOWN", "team_id": "T1", "event_id": "Ev1",
        "authorizations": [{"team_id": "T1", "enterprise_id": null, "is_enterprise_install": false}],
        "event": event,
    })
}

fn message(more: Value) -> Value {
    let mut message = json!({
        "type": "message", "channel": "C1", "channel_type": "channel", "user": "U1",
        "ts": "1.000100", "text": "hello",
    });
    for (name, value) in more.as_object().unwrap() {
        message[name] = value.clone();
    }
    event(message)
}

fn heard_message(payload: &Value) -> Message {
    match heard(payload, &OWN) {
        Heard::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn is_ignored(payload: &Value) {
    let heard = heard(payload, &OWN);
    assert!(matches!(heard, Heard::Ignored(_)), "{heard:?}");
}

#[test]
fn people_are_heard_in_all_the_forms_they_write_in() {
    for subtype in ["file_share", "thread_broadcast", "me_message"] {
        let message = heard_message(&message(json!({"subtype": subtype, "thread_ts": "0.9"})));
        assert_eq!(message.thread_ts.as_deref(), Some("0.9"));
    }
    let message = heard_message(&message(json!({
        "channel": "D1", "channel_type": "im", "client_msg_id": "m1", "app_context": {"entities": []},
    })));
    assert_eq!(message.channel_type, ChannelType::Im);
    assert_eq!(message.client_msg_id.as_deref(), Some("m1"));
    assert_eq!(message.context, Some(json!({"entities": []})));
    assert_eq!((message.bot_id, message.mentions_us), (None, false));
}

#[test]
fn what_nobody_else_said_is_ignored() {
    for more in [
        json!({"user": "UOWN"}),
        json!({"user": "U2", "bot_id": "BOWN"}),
        json!({"user": null, "subtype": "bot_message", "bot_profile": {"app_id": "AOWN", "id": "B2"}}),
        json!({"user": "U2", "bot_id": "B2", "app_id": "AOWN"}),
        json!({"user": "USLACK"}),
        json!({"user": "USLACKBOT"}),
        json!({"hidden": true}),
        json!({"subtype": "message_replied"}),
        json!({"subtype": "channel_join"}),
        json!({"subtype": "channel_topic"}),
        json!({"subtype": "assistant_app_thread"}),
        json!({"user": null}),
        json!({"ts": null}),
        json!({"channel": {"id": "C1"}}),
    ] {
        is_ignored(&message(more));
    }
}

#[test]
fn other_bots_are_known_as_bots() {
    let bot = |more| heard_message(&message(more)).bot_id;
    assert_eq!(bot(json!({"bot_id": "B2"})).as_deref(), Some("B2"));
    assert_eq!(
        bot(json!({"bot_profile": {"id": "B3"}})).as_deref(),
        Some("B3")
    );
    let nameless = json!({"subtype": "bot_message", "user": null, "username": "hook"});
    assert_eq!(bot(nameless).as_deref(), Some("hook"));
    let nothing = json!({"subtype": "bot_message", "user": null});
    assert!(bot(nothing).is_some());
    assert_eq!(bot(json!({"app_id": "AOWN"})), None);
}

#[test]
fn a_mention_counts_outside_code() {
    let mentions = |text: &str| heard_message(&message(json!({"text": text}))).mentions_us;
    assert!(mentions("hey <@UOWN>, `x`") && mentions("<@UOWN|bot> go"));
    assert!(!mentions("`<@UOWN>`") && !mentions("```\n<@UOWN>\n```") && !mentions("<@UOWN2>"));
    let told = |text: &str| {
        heard_message(&message(
            json!({"type": "app_mention", "channel_type": null, "text": text}),
        ))
    };
    assert!(told("<@UOWN> hi").mentions_us && told("").mentions_us);
    assert!(!told("`<@UOWN>`").mentions_us);
    assert_eq!(told("x").channel_type, ChannelType::Channel);
}

#[test]
fn the_kind_of_channel_is_seen_in_its_id() {
    let of = |id: &str| {
        let payload = message(json!({"type": "app_mention", "channel": id, "channel_type": null}));
        heard_message(&payload).channel_type
    };
    assert_eq!((of("D1"), of("G1")), (ChannelType::Im, ChannelType::Group));
    assert_eq!(of("C1"), ChannelType::Channel);
}

#[test]
fn files_say_whether_they_can_be_fetched() {
    let files = json!([
        {"id": "F1", "name": "a.pdf", "mimetype": "application/pdf", "size": 7, "url_private": "https://x/p", "url_private_download": "https://x/d"},
        {"id": "F2", "file_access": "check_file_info"},
        {"id": "F3", "mode": "tombstone"},
        {"id": "F4", "mode": "hidden_by_limit", "size": -1},
        "odd",
    ]);
    let files = heard_message(&message(json!({"subtype": "file_share", "files": files}))).files;
    let accesses: Vec<_> = files.iter().map(|file| file.access).collect();
    use FileAccess::*;
    assert_eq!(accesses, [Open, AskFirst, Gone, Gone]);
    assert_eq!(files[0].url.as_deref(), Some("https://x/d"));
    assert_eq!((files[0].size, files[3].size), (Some(7), None));
}

fn changed_to(now: Value, before: Value) -> Heard {
    let mut message = json!({"user": "U1", "ts": "1.1", "thread_ts": "1.0"});
    for (name, value) in now.as_object().unwrap() {
        message[name] = value.clone();
    }
    let changed = json!({
        "type": "message", "subtype": "message_changed", "hidden": true, "channel": "C1", "ts": "2.0",
        "message": message, "previous_message": before,
    });
    heard(&event(changed), &OWN)
}

#[test]
fn only_other_words_are_an_edit() {
    let before = json!({"text": "a", "ts": "1.1"});
    let edit = changed_to(json!({"text": "b"}), before.clone());
    let Heard::Edited {
        ts,
        thread_ts,
        text,
        before: was,
        user,
        ..
    } = edit
    else {
        panic!("{edit:?}");
    };
    assert_eq!(
        (ts.as_str(), user.as_str(), thread_ts.as_deref()),
        ("1.1", "U1", Some("1.0"))
    );
    assert_eq!((text.as_str(), was.as_str()), ("b", "a"));
    let ignored = |heard| matches!(heard, Heard::Ignored(_));
    let unfurled = json!({"text": "a", "attachments": [{}], "edited": {"user": "U1"}});
    assert!(ignored(changed_to(unfurled, before.clone())));
    assert!(ignored(changed_to(
        json!({"text": "b", "user": "UOWN"}),
        before.clone()
    )));
    assert!(ignored(changed_to(
        json!({"text": "b", "bot_id": "B2"}),
        before
    )));
    assert!(ignored(changed_to(json!({"text": "b"}), Value::Null)));
    let edited = changed_to(json!({"text": "b", "edited": {"user": "U1"}}), Value::Null);
    assert!(matches!(edited, Heard::Edited { .. }));
}

#[test]
fn a_deleted_message_is_named() {
    let plain = event(json!({
        "type": "message", "subtype": "message_deleted", "hidden": true, "channel": "C1", "ts": "3.0",
        "deleted_ts": "1.1", "previous_message": {"ts": "1.1", "thread_ts": "1.0"},
    }));
    let is = Heard::Deleted {
        channel: "C1".to_owned(),
        ts: "1.1".to_owned(),
        thread_ts: Some("1.0".to_owned()),
    };
    assert_eq!(heard(&plain, &OWN), is);
    // One with replies leaves a stone behind.
    let stone = changed_to(
        json!({"subtype": "tombstone", "user": "USLACKBOT", "text": "This message was deleted."}),
        json!({"text": "a", "ts": "1.1", "thread_ts": "1.0"}),
    );
    assert_eq!(stone, is);
}

#[test]
fn reactions_are_of_others_and_on_messages() {
    let reaction = |user: &str, item: Value| {
        let event_of = json!({"type": "reaction_removed", "user": user, "reaction": "+1", "item": item, "item_user": "UOWN"});
        heard(&event(event_of), &OWN)
    };
    let item = json!({"type": "message", "channel": "C1", "ts": "1.1"});
    let given = reaction("U1", item.clone());
    assert!(
        matches!(&given, Heard::Reaction { added: false, name, ts, .. } if name == "+1" && ts == "1.1")
    );
    assert!(matches!(reaction("UOWN", item), Heard::Ignored(_)));
    assert!(matches!(
        reaction("U1", json!({"type": "file", "file": "F1"})),
        Heard::Ignored(_)
    ));
}

#[test]
fn the_other_events_are_what_they_are() {
    let of = |event_of| heard(&event(event_of), &OWN);
    let stopped = json!({"type": "agent_session_stopped", "channel": "D1", "thread_ts": "1.0", "user": "U1", "streaming_message_ts": ["1.2", 3]});
    assert!(matches!(of(stopped), Heard::Stopped { streams, .. } if streams == ["1.2"]));
    let home = json!({"type": "app_home_opened", "user": "U1", "tab": "messages", "channel": "D1"});
    assert!(matches!(of(home), Heard::HomeOpened { tab, .. } if tab == "messages"));
    let joined = json!({"type": "member_joined_channel", "user": "UOWN", "channel": "C1"});
    assert!(matches!(of(joined), Heard::Joined { user, .. } if user == "UOWN"));
    assert_eq!(of(json!({"type": "app_uninstalled"})), Heard::Uninstalled);
    let revoked = |tokens: Value| of(json!({"type": "tokens_revoked", "tokens": tokens}));
    assert_eq!(revoked(json!({"bot": ["UOWN"]})), Heard::TokensRevoked);
    assert!(matches!(
        revoked(json!({"oauth": ["U1"], "bot": []})),
        Heard::Ignored(_)
    ));
    assert_eq!(
        of(json!({"type": "x_new"})),
        Heard::Unknown("x_new".to_owned())
    );
    assert_eq!(
        of(json!({"type": "message", "subtype": "new"})),
        Heard::Unknown("message.new".to_owned())
    );
    let limited = json!({"type": "app_rate_limited", "team_id": "T1", "minute_rate_limited": 7, "api_app_id": "A"});
    assert_eq!(heard(&limited, &OWN), Heard::RateLimited);
    assert_eq!(keys(&limited), ["rate-limited:A:T1:7"]);
}

#[test]
fn a_mention_told_twice_has_one_name() {
    let said = message(json!({"client_msg_id": "m1"}));
    let mut told =
        message(json!({"type": "app_mention", "channel_type": null, "client_msg_id": "m1"}));
    told["event_id"] = "Ev2".into();
    assert_eq!(
        keys(&said),
        [
            "event:AOWN:T1:Ev1",
            "message:AOWN:T1:C1:1.000100",
            "client:AOWN:T1:C1:m1"
        ]
    );
    assert_eq!(keys(&said)[1..], keys(&told)[1..]);
    // Another app must hear it too.
    told["api_app_id"] = "A2".into();
    assert!(keys(&told).iter().all(|key| !keys(&said).contains(key)));
}

#[test]
fn what_is_said_about_a_message_is_not_the_message() {
    for subtype in [
        "message_changed",
        "message_deleted",
        "message_replied",
        "channel_join",
    ] {
        let payload = message(json!({"subtype": subtype}));
        assert_eq!(keys(&payload), ["event:AOWN:T1:Ev1"]);
    }
    let reaction = event(json!({"type": "reaction_added", "item": {"channel": "C1", "ts": "1.1"}}));
    assert_eq!(keys(&reaction), ["event:AOWN:T1:Ev1"]);
}

#[test]
fn an_enterprise_is_one_installation() {
    let mut payload = message(json!({}));
    payload["authorizations"] =
        json!([{"team_id": null, "enterprise_id": "E1", "is_enterprise_install": true}]);
    payload["context_team_id"] = "T7".into();
    payload["is_ext_shared_channel"] = true.into();
    let origin = origin(&payload);
    assert_eq!(origin.install(), Some("E1"));
    assert_eq!(origin.team.as_deref(), Some("T7"));
    assert!(origin.is_enterprise_install && origin.is_shared);
    assert_eq!(keys(&payload)[0], "event:AOWN:E1:Ev1");
}

#[test]
fn forms_and_interactions_say_where_they_come_from() {
    let command = json!({"api_app_id": "A", "team_id": "T1", "enterprise_id": "E1", "is_enterprise_install": "true", "user_id": "U1"});
    let from = origin(&command);
    assert_eq!(
        (from.install(), from.user.as_deref()),
        (Some("E1"), Some("U1"))
    );
    let click = json!({"type": "block_actions", "team": null, "user": {"id": "U1", "team_id": "T2"}, "enterprise": {"id": "E1"}, "is_enterprise_install": false});
    assert_eq!(origin(&click).install(), Some("T2"));
    let view = json!({"type": "view_submission", "team": {"id": "T1"}, "user": {"id": "U1"}, "view": {"app_installed_team_id": "T9", "app_id": "A"}});
    let from = origin(&view);
    assert_eq!(
        (from.team.as_deref(), from.app.as_deref()),
        (Some("T9"), Some("A"))
    );
}

/// Any JSON of the names that matter.
fn odd() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        prop::sample::select(vec![
            "message",
            "app_mention",
            "message_changed",
            "bot_message",
            "file_share",
            "reaction_added",
            "tokens_revoked",
            "C1",
            "UOWN",
        ])
        .prop_map(Value::from),
    ];
    let names = vec![
        "type",
        "subtype",
        "event",
        "user",
        "team",
        "channel",
        "ts",
        "text",
        "message",
        "item",
        "files",
        "previous_message",
        "authorizations",
        "view",
        "id",
        "bot_id",
        "enterprise",
        "tokens",
        "bot",
        "reaction",
    ];
    leaf.prop_recursive(4, 64, 8, move |inner| {
        let name = prop::sample::select(names.clone());
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..8).prop_map(|pairs| Value::Object(
                pairs.into_iter().map(|(n, v)| (n.to_owned(), v)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_is_too_odd(inner in odd(), payload in odd()) {
        for payload in [event(inner), payload] {
            heard(&payload, &OWN);
            keys(&payload);
            origin(&payload);
        }
    }
}
