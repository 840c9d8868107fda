//! A view over what Slack sends as events: lenient, because what is not known
//! must not be lost (docs.slack.dev/reference/events).

use serde_json::Value;

/// Who we are in a workspace.
pub(super) struct Own<'a> {
    pub(super) user: &'a str,
    pub(super) bot: Option<&'a str>,
    pub(super) app: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChannelType {
    Im,
    Mpim,
    Channel,
}

/// Something that somebody said.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Message {
    pub(super) channel: String,
    pub(super) channel_type: ChannelType,
    pub(super) ts: String,
    pub(super) thread_ts: Option<String>,
    pub(super) user: String,
    /// As Slack writes it, with references in angle brackets.
    pub(super) text: String,
    /// Where another bot says it.
    pub(super) bot_id: Option<String>,
    pub(super) mentions_us: bool,
    /// What the person looks at besides.
    pub(super) context: Option<Value>,
}

/// What an event is to us.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Heard {
    Message(Message),
    /// A message has another text now.
    Edited {
        channel: String,
        ts: String,
    },
    Deleted {
        channel: String,
        ts: String,
    },
    Reaction {
        added: bool,
        user: String,
        name: String,
        channel: String,
        ts: String,
    },
    /// Somebody pressed Slack's Stop.
    Stopped {
        channel: String,
        thread_ts: String,
        user: String,
    },
    /// Nobody may use our token any more.
    Revoked,
    /// Slack keeps events back.
    RateLimited,
    /// It is known, and nothing is to be done.
    Ignored(&'static str),
    Unknown(String),
}

/// What an event is to us.
pub(super) fn heard(payload: &Value, own: &Own<'_>) -> Heard {
    if payload["type"] == "app_rate_limited" {
        return Heard::RateLimited;
    }
    let event = &payload["event"];
    match event["type"].as_str().unwrap_or_default() {
        "message" | "app_mention" => message(event, own),
        kind @ ("reaction_added" | "reaction_removed") => Heard::Reaction {
            added: kind == "reaction_added",
            user: text(event, "/user"),
            name: text(event, "/reaction"),
            channel: text(event, "/item/channel"),
            ts: text(event, "/item/ts"),
        },
        "agent_session_stopped" => Heard::Stopped {
            channel: text(event, "/channel"),
            thread_ts: text(event, "/thread_ts"),
            user: text(event, "/user"),
        },
        "app_uninstalled" | "tokens_revoked" => Heard::Revoked,
        "app_home_opened"
        | "app_context_changed"
        | "member_joined_channel"
        | "agent_session_title_changed" => Heard::Ignored("nothing is to be done"),
        other => Heard::Unknown(other.to_owned()),
    }
}

fn message(event: &Value, own: &Own<'_>) -> Heard {
    match event["subtype"].as_str() {
        None | Some("file_share" | "thread_broadcast" | "me_message" | "bot_message") => {
            said(event, own)
        }
        Some("message_changed") => changed(event, own),
        Some("message_deleted") => Heard::Deleted {
            channel: text(event, "/channel"),
            ts: text(event, "/deleted_ts"),
        },
        Some(_) => Heard::Ignored("a notice of Slack's own"),
    }
}

fn said(event: &Value, own: &Own<'_>) -> Heard {
    if is_ours(event, own) {
        return Heard::Ignored("our own");
    }
    if event["hidden"] == true || event["user"] == "USLACK" {
        return Heard::Ignored("a notice of Slack's own");
    }
    if event["edited"].is_object() {
        // A mention is sent once more when its message is edited.
        return Heard::Ignored("an edit");
    }
    let optional = |name: &str| event[name].as_str().map(str::to_owned);
    let (channel, words) = (text(event, "/channel"), text(event, "/text"));
    Heard::Message(Message {
        channel_type: channel_type(event, &channel),
        channel,
        ts: text(event, "/ts"),
        thread_ts: optional("thread_ts"),
        user: text(event, "/user"),
        mentions_us: event["type"] == "app_mention" || mentions(&words, own.user),
        text: words,
        bot_id: optional("bot_id"),
        context: event.get("app_context").cloned(),
    })
}

/// Slack sends the same when it unfurls a link, or somebody replies.
fn changed(event: &Value, own: &Own<'_>) -> Heard {
    let (new, old) = (&event["message"], &event["previous_message"]);
    if is_ours(new, own) {
        return Heard::Ignored("our own");
    }
    if new["text"] == old["text"] {
        return Heard::Ignored("the text is the same");
    }
    Heard::Edited {
        channel: text(event, "/channel"),
        ts: text(new, "/ts"),
    }
}

fn is_ours(message: &Value, own: &Own<'_>) -> bool {
    let is = |value: &Value, ours: Option<&str>| ours.is_some() && value.as_str() == ours;
    is(&message["user"], Some(own.user))
        || is(&message["bot_id"], own.bot)
        || is(&message["bot_profile"]["app_id"], own.app)
}

fn channel_type(event: &Value, channel: &str) -> ChannelType {
    match event["channel_type"].as_str() {
        Some("im") => ChannelType::Im,
        Some("mpim") => ChannelType::Mpim,
        Some(_) => ChannelType::Channel,
        None if channel.starts_with('D') => ChannelType::Im,
        None => ChannelType::Channel,
    }
}

/// Whether a text speaks to somebody; within code it speaks of them.
fn mentions(text: &str, user: &str) -> bool {
    let (exact, named) = (format!("<@{user}>"), format!("<@{user}|"));
    text.split('`')
        .step_by(2)
        .any(|plain| plain.contains(&exact) || plain.contains(&named))
}

/// By which a second delivery of the same is known: the event's id, and for a
/// message its place and the id of the program that sent it, because a mention
/// comes as two events, and a gesture may come as two messages.
pub(super) fn keys(payload: &Value) -> Vec<String> {
    let (install, event) = (install(payload), &payload["event"]);
    let app = payload["api_app_id"].as_str().unwrap_or_default();
    let id = payload["event_id"].as_str();
    let mut keys: Vec<String> = id
        .map(|id| format!("event:{app}:{install}:{id}"))
        .into_iter()
        .collect();
    let is_new = matches!(event["type"].as_str(), Some("message" | "app_mention"))
        && !matches!(
            event["subtype"].as_str(),
            Some("message_changed" | "message_deleted" | "message_replied")
        )
        && !event["edited"].is_object();
    if let (true, Some(channel), Some(ts)) =
        (is_new, event["channel"].as_str(), event["ts"].as_str())
    {
        keys.push(format!("message:{install}:{channel}:{ts}"));
        if let Some(id) = event["client_msg_id"].as_str() {
            keys.push(format!("client:{install}:{channel}:{id}"));
        }
    }
    keys
}

/// The enterprise or team whose install an event is for: in a channel that is
/// shared, the team of the event may be another.
pub(super) fn install(payload: &Value) -> String {
    let authorization = &payload["authorizations"][0];
    let is_org = authorization["is_enterprise_install"] == true;
    let org = authorization["enterprise_id"].as_str().filter(|_| is_org);
    let team = authorization["team_id"].as_str();
    let found = org.or(team).or(payload["team_id"].as_str());
    found.unwrap_or_default().to_owned()
}

fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OWN: Own<'static> = Own {
        user: "UBOT",
        bot: Some("BBOT"),
        app: Some("A1"),
    };

    fn of(event: Value) -> Heard {
        heard(&json!({"event": event}), &OWN)
    }

    fn said_with(more: Value) -> Value {
        let mut event = json!({"type": "message", "channel": "C1", "channel_type": "channel", "ts": "1.1",
            "user": "U1", "text": "hi <@UBOT>"});
        let fields = more.as_object().unwrap().clone();
        event.as_object_mut().unwrap().extend(fields);
        event
    }

    #[test]
    fn messages_of_people_are_heard() {
        for more in [
            json!({}),
            json!({"subtype": "file_share"}),
            json!({"subtype": "thread_broadcast"}),
            json!({"subtype": "me_message"}),
            json!({"type": "app_mention", "channel_type": null}),
        ] {
            let Heard::Message(message) = of(said_with(more.clone())) else {
                panic!("{more}");
            };
            assert!(message.mentions_us && message.channel_type == ChannelType::Channel);
        }
        let Heard::Message(direct) = of(said_with(
            json!({"channel_type": "im", "text": "`<@UBOT>`"}),
        )) else {
            panic!();
        };
        assert!(direct.channel_type == ChannelType::Im && !direct.mentions_us);
    }

    #[test]
    fn what_nobody_said_to_us_is_left_out() {
        for more in [
            json!({"user": "UBOT"}),
            json!({"user": null, "subtype": "bot_message", "bot_id": "BBOT"}),
            json!({"bot_profile": {"app_id": "A1"}}),
            json!({"user": "USLACK"}),
            json!({"hidden": true}),
            json!({"subtype": "channel_join"}),
            json!({"subtype": "message_replied"}),
            json!({"edited": {"ts": "2.0"}}),
        ] {
            assert!(
                matches!(of(said_with(more.clone())), Heard::Ignored(_)),
                "{more}"
            );
        }
    }

    #[test]
    fn only_another_text_is_an_edit() {
        let change = |text: &str| {
            json!({"type": "message", "subtype": "message_changed", "channel": "C1",
                "message": {"ts": "1.1", "user": "U1", "text": text}, "previous_message": {"text": "a"}})
        };
        assert!(matches!(of(change("a")), Heard::Ignored(_)));
        assert!(matches!(of(change("b")), Heard::Edited { .. }));
    }

    #[test]
    fn nothing_is_too_odd() {
        for odd in [
            json!(null),
            json!([]),
            json!({"type": 5}),
            json!({"type": "message", "subtype": {}}),
        ] {
            of(odd.clone());
            keys(&odd);
            heard(&odd, &OWN);
        }
        assert_eq!(
            of(json!({"type": "new_thing"})),
            Heard::Unknown("new_thing".to_owned())
        );
        let limited = json!({"type": "app_rate_limited", "team_id": "T1"});
        assert_eq!(heard(&limited, &OWN), Heard::RateLimited);
    }

    #[test]
    fn a_mention_that_comes_as_two_events_shares_a_key() {
        let payload = |id: &str, event: Value| json!({"event_id": id, "api_app_id": "A1", "team_id": "T1", "event": event});
        let one = keys(&payload("Ev1", said_with(json!({"client_msg_id": "x"}))));
        let two = keys(&payload("Ev2", said_with(json!({"type": "app_mention"}))));
        assert!(one.iter().any(|key| two.contains(key)), "{one:?} {two:?}");
        let edited = keys(&payload(
            "Ev3",
            said_with(json!({"subtype": "message_changed"})),
        ));
        assert_eq!(edited, ["event:A1:T1:Ev3"]);
    }

    #[test]
    fn the_install_is_that_of_the_authorization() {
        let shared = json!({"team_id": "T2", "authorizations": [{"team_id": "T1"}]});
        assert_eq!(install(&shared), "T1");
        let org = json!({"team_id": "T2", "authorizations":
            [{"team_id": null, "enterprise_id": "E1", "is_enterprise_install": true}]});
        assert_eq!(install(&org), "E1");
        assert_eq!(install(&json!({"team_id": "T3"})), "T3");
    }
}
