//! What Slack's events say, looked at through types; the JSON behind them stays
//! as it came.
//!
//! Nothing here fails: what is missing is `None`, what is odd is ignored, and
//! what Slack adds one day is [`Heard::Unknown`].

mod origin;

use serde_json::Value;

use super::mrkdwn;

pub(super) use origin::origin;

/// Who Slack says by itself.
const SLACK: [&str; 2] = ["USLACK", "USLACKBOT"];

/// Who we are in Slack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Own<'a> {
    pub(super) user: &'a str,
    pub(super) bot: Option<&'a str>,
    pub(super) app: Option<&'a str>,
}

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChannelType {
    Im,
    Mpim,
    Channel,
    Group,
}

/// Whether a file can be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileAccess {
    Open,
    /// It is another organisation's: `files.info` says where it is.
    AskFirst,
    /// It was deleted, or the workspace's plan hides it.
    Gone,
}

/// A file that came with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) mimetype: Option<String>,
    pub(super) size: Option<u64>,
    pub(super) url: Option<String>,
    pub(super) access: FileAccess,
}

/// What somebody said.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Message {
    pub(super) channel: String,
    pub(super) channel_type: ChannelType,
    pub(super) ts: String,
    pub(super) thread_ts: Option<String>,
    /// Empty where a bot has no user.
    pub(super) user: String,
    /// As Slack escapes it.
    pub(super) text: String,
    pub(super) client_msg_id: Option<String>,
    pub(super) files: Vec<File>,
    /// Set where another bot says it.
    pub(super) bot_id: Option<String>,
    pub(super) mentions_us: bool,
    /// What the person was looking at.
    pub(super) context: Option<Value>,
}

impl Message {
    /// Whether it is said to the app alone.
    pub(super) fn is_direct(&self) -> bool {
        self.channel_type == ChannelType::Im
    }
}

/// What an event says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Heard {
    Message(Message),
    /// Its words changed, not only what Slack shows below them.
    Edited {
        channel: String,
        ts: String,
        thread_ts: Option<String>,
        user: String,
        text: String,
        before: String,
    },
    Deleted {
        channel: String,
        ts: String,
        thread_ts: Option<String>,
    },
    Reaction {
        added: bool,
        user: String,
        name: String,
        channel: String,
        ts: String,
        item_user: Option<String>,
    },
    HomeOpened {
        user: String,
        tab: String,
        channel: String,
    },
    /// Somebody pressed Stop.
    Stopped {
        channel: String,
        thread_ts: String,
        user: String,
        streams: Vec<String>,
    },
    Uninstalled,
    TokensRevoked,
    RateLimited,
    Joined {
        channel: String,
        user: String,
    },
    /// Nothing to do, and why.
    Ignored(&'static str),
    Unknown(String),
}

/// The names under which a delivery is taken once: Slack delivers again what it
/// believes lost, tells a mention twice (as a mention and as a message), and
/// sometimes has a message twice under different times.
pub(super) fn keys(payload: &Value) -> Vec<String> {
    let origin = origin(payload);
    let install = origin.install().unwrap_or_default();
    // Two apps that one message mentions may be told of it under one id.
    let scope = format!("{}:{install}", origin.app.as_deref().unwrap_or_default());
    let mut keys = Vec::new();
    if let Some(id) = text(payload, "/event_id") {
        keys.push(format!("event:{scope}:{id}"));
    }
    if let Some(minute) = payload["minute_rate_limited"].as_u64() {
        keys.push(format!("rate-limited:{scope}:{minute}"));
    }
    let event = &payload["event"];
    if !is_new_message(event) {
        return keys;
    }
    let Some(channel) = text(event, "/channel") else {
        return keys;
    };
    if let Some(ts) = text(event, "/ts") {
        keys.push(format!("message:{scope}:{channel}:{ts}"));
    }
    if let Some(id) = text(event, "/client_msg_id") {
        keys.push(format!("client:{scope}:{channel}:{id}"));
    }
    keys
}

fn is_new_message(event: &Value) -> bool {
    let is_message = matches!(text(event, "/type"), Some("message" | "app_mention"));
    is_message && (is_said(event) || text(event, "/subtype") == Some("bot_message"))
}

/// What people's messages are; the other subtypes are Slack's own words.
fn is_said(event: &Value) -> bool {
    matches!(
        text(event, "/subtype"),
        None | Some("file_share" | "thread_broadcast" | "me_message")
    )
}

/// What an event says to us.
pub(super) fn heard(payload: &Value, own: &Own<'_>) -> Heard {
    let event = &payload["event"];
    if text(payload, "/type") == Some("app_rate_limited") {
        return Heard::RateLimited;
    }
    let kind = text(event, "/type").or_else(|| text(payload, "/type"));
    let heard = match kind {
        Some("message" | "app_mention") => return message_event(event, own),
        Some("reaction_added") => reaction(event, own, true),
        Some("reaction_removed") => reaction(event, own, false),
        Some("app_home_opened") => home(event),
        Some("agent_session_stopped") => stopped(event),
        Some("member_joined_channel") => joined(event),
        Some("app_uninstalled") => Some(Heard::Uninstalled),
        Some("tokens_revoked") => Some(revoked(event)),
        Some("app_rate_limited") => Some(Heard::RateLimited),
        Some("app_context_changed") => Some(Heard::Ignored("messages carry their context")),
        Some("agent_session_title_changed") => Some(Heard::Ignored("titles are people's")),
        Some(other) => Some(Heard::Unknown(other.to_owned())),
        None => Some(Heard::Unknown(String::new())),
    };
    heard.unwrap_or(Heard::Ignored("it does not say what it is about"))
}

fn message_event(event: &Value, own: &Own<'_>) -> Heard {
    let heard = match text(event, "/subtype") {
        Some("message_changed") => changed(event, own),
        Some("message_deleted") => deleted(event, &["/deleted_ts", "/previous_message/ts"]),
        _ if is_true(&event["hidden"]) => Some(Heard::Ignored("it is hidden")),
        Some("bot_message") => said(event, own),
        _ if is_said(event) => said(event, own),
        Some("message_replied") => Some(Heard::Ignored("the reply itself comes too")),
        Some(other) if is_of_the_channel(other) => {
            Some(Heard::Ignored("Slack says it about the channel"))
        }
        Some(other) => Some(Heard::Unknown(format!("message.{other}"))),
        None => None,
    };
    heard.unwrap_or(Heard::Ignored("it does not say where it stands"))
}

/// Subtypes of what Slack itself writes into channels.
fn is_of_the_channel(subtype: &str) -> bool {
    ["channel_", "group_", "bot_", "assistant_app_thread"]
        .iter()
        .any(|start| subtype.starts_with(start))
        || matches!(
            subtype,
            "pinned_item" | "unpinned_item" | "tombstone" | "reminder_add" | "huddle_thread"
        )
}

/// A new message; none where it has no place.
fn said(event: &Value, own: &Own<'_>) -> Option<Heard> {
    let channel = text(event, "/channel")?;
    let ts = text(event, "/ts")?;
    let user = author(event);
    if let Some(why) = why_not(event, own) {
        return Some(Heard::Ignored(why));
    }
    let words = event["text"].as_str().unwrap_or_default();
    Some(Heard::Message(Message {
        channel: channel.to_owned(),
        channel_type: channel_type(event, channel),
        ts: ts.to_owned(),
        thread_ts: owned(event, "/thread_ts"),
        user: user.unwrap_or_default().to_owned(),
        text: words.to_owned(),
        client_msg_id: owned(event, "/client_msg_id"),
        files: files(event),
        bot_id: bot(event).map(str::to_owned),
        mentions_us: mentions(event, words, own.user),
        context: Some(&event["app_context"])
            .filter(|context| !context.is_null())
            .cloned(),
    }))
}

/// Why nobody else said this.
fn why_not(message: &Value, own: &Own<'_>) -> Option<&'static str> {
    let user = author(message);
    if is_own(message, own) {
        return Some("it is our own");
    }
    if user.is_some_and(|user| SLACK.contains(&user)) {
        return Some("Slack says it");
    }
    if user.is_none() && bot(message).is_none() {
        return Some("nobody says it");
    }
    None
}

fn is_own(message: &Value, own: &Own<'_>) -> bool {
    let is = |id: Option<&str>, ours: Option<&str>| id.is_some() && id == ours;
    let app = first(message, &["/bot_profile/app_id"])
        // People's messages name an app too where one sent them in their name.
        .or_else(|| text(message, "/app_id").filter(|_| message["bot_id"].is_string()));
    is(author(message), Some(own.user)) || is(bot(message), own.bot) || is(app, own.app)
}

fn author(message: &Value) -> Option<&str> {
    first(message, &["/user", "/user/id"])
}

/// The bot that says it; one without an id is one nevertheless.
fn bot(message: &Value) -> Option<&str> {
    let named = first(message, &["/bot_id", "/bot_profile/id"]);
    let is_bot = text(message, "/subtype") == Some("bot_message");
    named.or_else(|| {
        first(message, &["/user", "/username"])
            .or(Some("unknown"))
            .filter(|_| is_bot)
    })
}

/// Events that are mentions have no channel type; ids tell.
fn channel_type(event: &Value, channel: &str) -> ChannelType {
    match text(event, "/channel_type") {
        Some("im") => ChannelType::Im,
        Some("mpim") => ChannelType::Mpim,
        Some("channel") => ChannelType::Channel,
        Some("group") => ChannelType::Group,
        _ if channel.starts_with('D') => ChannelType::Im,
        _ if channel.starts_with('G') => ChannelType::Group,
        _ => ChannelType::Channel,
    }
}

/// Mentions in code are no mentions. Slack's word counts where the text has
/// none, because a bot's words may stand in its blocks alone.
fn mentions(event: &Value, words: &str, user: &str) -> bool {
    let is_told = text(event, "/type") == Some("app_mention");
    mrkdwn::mentions(words, user) || (is_told && !words.contains(&format!("<@{user}")))
}

fn files(event: &Value) -> Vec<File> {
    let files = event["files"].as_array().map(Vec::as_slice);
    let files = files.unwrap_or_default().iter();
    files.filter(|file| file.is_object()).map(file).collect()
}

/// A file as Slack shows it.
pub(super) fn file(file: &Value) -> File {
    let mode = text(file, "/mode");
    let access = match text(file, "/file_access") {
        _ if matches!(mode, Some("tombstone" | "hidden_by_limit")) => FileAccess::Gone,
        None | Some("visible") => FileAccess::Open,
        Some("check_file_info") => FileAccess::AskFirst,
        Some("file_not_found" | "access_denied") => FileAccess::Gone,
        Some(_) => FileAccess::AskFirst,
    };
    File {
        id: owned(file, "/id").unwrap_or_default(),
        name: first(file, &["/name", "/title"]).map(str::to_owned),
        mimetype: owned(file, "/mimetype"),
        size: file["size"].as_u64(),
        url: first(file, &["/url_private_download", "/url_private"]).map(str::to_owned),
        access,
    }
}

/// Slack says "changed" also where it adds a preview or counts a reply.
fn changed(event: &Value, own: &Own<'_>) -> Option<Heard> {
    let message = &event["message"];
    if text(message, "/subtype") == Some("tombstone") {
        // A deleted message that has replies.
        return deleted(event, &["/message/ts", "/previous_message/ts"]);
    }
    if let Some(why) = why_not(message, own) {
        return Some(Heard::Ignored(why));
    }
    if bot(message).is_some() {
        return Some(Heard::Ignored("a bot changes what it said"));
    }
    let words = |of: &str| event.pointer(of).and_then(Value::as_str);
    let (now, before) = (words("/message/text"), words("/previous_message/text"));
    let is_edited = match before {
        Some(before) => now.unwrap_or_default() != before,
        None => message["edited"].is_object(),
    };
    if !is_edited {
        return Some(Heard::Ignored("its words are the same"));
    }
    Some(Heard::Edited {
        channel: owned(event, "/channel")?,
        ts: first(event, &["/message/ts", "/previous_message/ts"])?.to_owned(),
        thread_ts: owned(message, "/thread_ts"),
        user: author(message)?.to_owned(),
        text: now.unwrap_or_default().to_owned(),
        before: before.unwrap_or_default().to_owned(),
    })
}

fn deleted(event: &Value, ts: &[&str]) -> Option<Heard> {
    let thread = ["/previous_message/thread_ts", "/message/thread_ts"];
    Some(Heard::Deleted {
        channel: owned(event, "/channel")?,
        ts: first(event, ts)?.to_owned(),
        thread_ts: first(event, &thread).map(str::to_owned),
    })
}

fn reaction(event: &Value, own: &Own<'_>, added: bool) -> Option<Heard> {
    let user = author(event)?;
    if user == own.user {
        return Some(Heard::Ignored("it is our own"));
    }
    if text(event, "/item/type").is_some_and(|item| item != "message") {
        return Some(Heard::Ignored("it is not about a message"));
    }
    Some(Heard::Reaction {
        added,
        user: user.to_owned(),
        name: owned(event, "/reaction")?,
        channel: owned(event, "/item/channel")?,
        ts: owned(event, "/item/ts")?,
        item_user: owned(event, "/item_user"),
    })
}

fn home(event: &Value) -> Option<Heard> {
    Some(Heard::HomeOpened {
        user: author(event)?.to_owned(),
        // Slack had no tabs at first.
        tab: owned(event, "/tab").unwrap_or_else(|| "home".to_owned()),
        channel: owned(event, "/channel").unwrap_or_default(),
    })
}

fn stopped(event: &Value) -> Option<Heard> {
    let streams = event["streaming_message_ts"].as_array().map(Vec::as_slice);
    let streams = streams.unwrap_or_default().iter().filter_map(Value::as_str);
    Some(Heard::Stopped {
        channel: owned(event, "/channel")?,
        thread_ts: owned(event, "/thread_ts")?,
        user: author(event).unwrap_or_default().to_owned(),
        streams: streams.map(str::to_owned).collect(),
    })
}

fn joined(event: &Value) -> Option<Heard> {
    Some(Heard::Joined {
        channel: owned(event, "/channel")?,
        user: author(event)?.to_owned(),
    })
}

/// People's own tokens may be revoked without the app's.
fn revoked(event: &Value) -> Heard {
    let is_bots = event.pointer("/tokens/bot").and_then(Value::as_array);
    let is_peoples = event.pointer("/tokens/oauth").and_then(Value::as_array);
    match (is_bots, is_peoples) {
        (Some(bots), _) if !bots.is_empty() => Heard::TokensRevoked,
        (_, Some(_)) => Heard::Ignored("the bot token is not among them"),
        _ => Heard::TokensRevoked,
    }
}

/// The text at a place; an empty one is none.
fn text<'a>(value: &'a Value, at: &str) -> Option<&'a str> {
    let text = value.pointer(at)?.as_str()?;
    (!text.is_empty()).then_some(text)
}

fn owned(value: &Value, at: &str) -> Option<String> {
    text(value, at).map(str::to_owned)
}

fn first<'a>(value: &'a Value, places: &[&str]) -> Option<&'a str> {
    places.iter().find_map(|at| text(value, at))
}

/// In forms truth is a text.
fn is_true(value: &Value) -> bool {
    value == true || value == "true"
}

#[cfg(test)]
mod tests;
