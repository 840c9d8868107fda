//! The app's manifest: what Slack asks for when an app is made "from a manifest"
//! (docs.slack.dev/reference/app-manifest), and what of it this channel uses.

use serde_json::{Value, json};

/// How much an app may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Profile {
    /// Mentions and direct messages.
    Minimal,
    /// Threads without a mention, what was said before one, thumbs, user groups.
    Full,
}

/// Something that the app asks a workspace for.
pub(crate) struct Wish {
    pub(crate) name: &'static str,
    /// What does not work without it.
    pub(crate) for_what: &'static str,
    is_minimal: bool,
}

const fn minimal(name: &'static str, for_what: &'static str) -> Wish {
    Wish {
        name,
        for_what,
        is_minimal: true,
    }
}

const fn full(name: &'static str, for_what: &'static str) -> Wish {
    Wish {
        name,
        for_what,
        is_minimal: false,
    }
}

const SCOPES: [Wish; 13] = [
    minimal("app_mentions:read", "mentions are not heard"),
    minimal(
        "assistant:write",
        "nobody sees that an agent is thinking, and there is no Stop",
    ),
    minimal("chat:write", "nothing can be answered"),
    minimal("commands", "there is no /anchorhold"),
    minimal("im:history", "direct messages are not heard"),
    minimal(
        "users:read",
        "nobody is let in, because guests cannot be told from members",
    ),
    full(
        "channels:history",
        "threads in public channels need a mention each time, and a doubtful delivery there is not looked for",
    ),
    full("files:read", "files that people send are not read"),
    full(
        "files:write",
        "files of agents are not shown, and very long answers come in many parts",
    ),
    full("groups:history", "the same in private channels"),
    full("mpim:history", "the same in group conversations"),
    full("reactions:read", "thumbs are not feedback"),
    full(
        "usergroups:read",
        "[slack.agents.NAME] groups does not work",
    ),
];

const EVENTS: [Wish; 10] = [
    minimal("agent_session_stopped", ""),
    minimal("app_home_opened", ""),
    minimal("app_mention", ""),
    minimal("app_uninstalled", ""),
    minimal("message.im", ""),
    minimal("tokens_revoked", ""),
    full("message.channels", ""),
    full("message.groups", ""),
    full("message.mpim", ""),
    full("reaction_added", ""),
];

/// The scopes that a profile asks for.
pub(crate) fn scopes(profile: Profile) -> impl Iterator<Item = &'static Wish> {
    wanted(&SCOPES, profile)
}

/// The events that a profile asks for.
pub(crate) fn events(profile: Profile) -> impl Iterator<Item = &'static str> {
    wanted(&EVENTS, profile).map(|wish| wish.name)
}

/// By which of the events an event came.
pub(crate) fn subscription(event: &Value) -> Option<&'static str> {
    let kind = event["type"].as_str()?;
    let name = match (kind, event["channel_type"].as_str()) {
        ("message", Some(place @ ("im" | "mpim"))) => format!("message.{place}"),
        ("message", Some(place)) => format!("message.{place}s"),
        _ => kind.to_owned(),
    };
    let names = EVENTS.iter().map(|wish| wish.name);
    names.into_iter().find(|known| *known == name)
}

fn wanted(wishes: &'static [Wish], profile: Profile) -> impl Iterator<Item = &'static Wish> {
    let is_wanted = move |wish: &&Wish| wish.is_minimal || profile == Profile::Full;
    wishes.iter().filter(is_wanted)
}

/// The manifest. With the address of a host Slack sends there, without one the
/// host opens sockets.
pub(crate) fn manifest(name: &str, profile: Profile, url: Option<&str>) -> Value {
    let names = |wishes| {
        wanted(wishes, profile)
            .map(|wish| wish.name)
            .collect::<Vec<_>>()
    };
    let mut events = json!({"bot_events": names(&EVENTS)});
    let mut interactivity = json!({"is_enabled": true});
    let mut command = json!({
        "command": "/anchorhold", "description": "Ask agents, and see what they do for you",
        "usage_hint": "help", "should_escape": false,
    });
    if let Some(url) = url {
        events["request_url"] = format!("{url}/slack/events").into();
        interactivity["request_url"] = format!("{url}/slack/interactivity").into();
        command["url"] = format!("{url}/slack/commands").into();
    }
    json!({
        "display_information": {"name": name, "description": "Agents, each in a cell of its own"},
        "features": {
            "agent_view": {"agent_description": "Answers by the agents of an Anchorhold host"},
            "app_home": {
                "home_tab_enabled": true,
                "messages_tab_enabled": true,
                "messages_tab_read_only_enabled": false,
            },
            "bot_user": {"display_name": handle(name), "always_online": true},
            "slash_commands": [command],
        },
        "oauth_config": {"scopes": {"bot": names(&SCOPES)}},
        "settings": {
            "event_subscriptions": events,
            "interactivity": interactivity,
            "org_deploy_enabled": false,
            "socket_mode_enabled": url.is_none(),
            "token_rotation_enabled": false,
        },
    })
}

/// A name as a bot may have it.
fn handle(name: &str) -> String {
    let fine = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '-'
        }
    };
    name.to_lowercase().chars().map(fine).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minimal_app_sees_no_channel() {
        let manifest = manifest("Anchorhold", Profile::Minimal, None);
        assert!(!manifest.to_string().contains("channels"));
        assert_eq!(manifest["settings"]["socket_mode_enabled"], true);
        assert_eq!(
            manifest["settings"]["event_subscriptions"]["request_url"],
            Value::Null
        );
    }

    #[test]
    fn events_have_their_names() {
        let name = |kind: &str, place: &str| {
            subscription(&json!({"type": kind, "channel_type": place, "user": "U1"}))
        };
        assert_eq!(name("message", "im"), Some("message.im"));
        assert_eq!(name("message", "channel"), Some("message.channels"));
        assert_eq!(name("message", "group"), Some("message.groups"));
        assert_eq!(name("message", "mpim"), Some("message.mpim"));
        assert_eq!(name("app_mention", "channel"), Some("app_mention"));
        assert_eq!(name("message", "else"), None);
        assert_eq!(name("team_join", ""), None);
    }

    #[test]
    fn a_full_app_over_http_has_addresses() {
        let manifest = manifest("Agents", Profile::Full, Some("https://a.example"));
        let settings = &manifest["settings"];
        let at = |name: &str| settings[name]["request_url"].clone();
        assert_eq!(at("event_subscriptions"), "https://a.example/slack/events");
        assert_eq!(at("interactivity"), "https://a.example/slack/interactivity");
        assert_eq!(settings["socket_mode_enabled"], false);
        let scopes = manifest["oauth_config"]["scopes"]["bot"]
            .as_array()
            .unwrap();
        assert_eq!(scopes.len(), SCOPES.len());
    }
}
