//! The state of the fake: who is there, what was said, what was delivered. Pure: it knows no
//! socket and no clock; whoever holds it says what time it is, and takes away what is to be sent
//! and shown.

mod blocks;
mod channels;
mod enterprise;
mod events;
mod files;
mod interactions;
mod messages;
mod record;
mod seed;
mod sessions;
mod settings;
mod streams;
#[cfg(test)]
pub(super) mod tests;
mod views;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

pub(super) use channels::{Channel, Kind};
pub(super) use enterprise::ENTERPRISE;
pub(super) use files::File;
pub(super) use interactions::{Click, ResponseUrl, Trigger};
pub(super) use messages::{Draft, Message, check_body, own};
pub(super) use record::{About, Attempt, Call, Delivery, DeliveryState, Transport};
pub(super) use seed::{APP, BOT, BOT_ID, TEAM, TEAM_DOMAIN};
pub(super) use sessions::{SESSION_STATUSES, Session};
pub(super) use settings::{EventFault, EventFaultKind, Fault, FaultKind, Settings};
pub(super) use streams::{Piece, Start, Stream, StreamState};
pub(super) use views::View;

/// Where things are and what the secrets are.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    /// The fake itself, without a slash at the end.
    pub(super) base_url: String,
    pub(super) bot_token: String,
    pub(super) app_token: String,
}

/// What Slack answers instead of what was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    pub(super) error: String,
    /// What stands beside `ok` and `error`.
    pub(super) extra: Value,
}

impl Refusal {
    pub(super) fn with(error: &str, extra: Value) -> Self {
        Self {
            error: error.to_owned(),
            extra,
        }
    }
}

impl From<&str> for Refusal {
    fn from(error: &str) -> Self {
        Self::with(error, json!({}))
    }
}

pub(super) type Result<T, E = Refusal> = std::result::Result<T, E>;

/// Something that changed, for those who watch.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Change {
    pub(super) revision: u64,
    pub(super) kind: &'static str,
    pub(super) value: Value,
}

/// Everything.
pub(super) struct World {
    pub(super) setup: Setup,
    pub(super) settings: Settings,
    /// Microseconds since 1970, set by whoever takes the world into their hands.
    pub(super) now: i64,
    last_ts: i64,
    last_id: u64,
    last_socket: usize,
    pub(super) revision: u64,
    /// As `users.info` shows them.
    pub(super) users: BTreeMap<String, Value>,
    /// The app is installed in an organisation of several teams.
    pub(super) is_enterprise: bool,
    /// User groups and who is in them.
    pub(super) groups: BTreeMap<String, Vec<String>>,
    pub(super) channels: Vec<Channel>,
    pub(super) messages: Vec<Message>,
    pub(super) files: Vec<File>,
    pub(super) views: Vec<View>,
    pub(super) sessions: Vec<Session>,
    /// Suggested prompts of a channel.
    pub(super) prompts: BTreeMap<String, Value>,
    /// What `assistant.threads.setStatus` said, by channel and thread.
    pub(super) statuses: BTreeMap<String, Value>,
    pub(super) triggers: BTreeMap<String, Trigger>,
    pub(super) response_urls: BTreeMap<String, ResponseUrl>,
    pub(super) tickets: Vec<String>,
    pub(super) calls: Vec<Call>,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) faults: Vec<Fault>,
    pub(super) event_faults: Vec<EventFault>,
    /// When calls were made, for rate limits.
    pub(super) rates: BTreeMap<String, Vec<i64>>,
    /// Numbers of deliveries that are to go out.
    pub(super) outbox: Vec<usize>,
    pub(super) changes: Vec<Change>,
}

impl World {
    /// A team with people and channels, in which nothing was said yet.
    pub(super) fn new(setup: Setup) -> Self {
        Self {
            setup,
            settings: Settings::default(),
            now: 0,
            last_ts: 0,
            last_id: 0,
            last_socket: 0,
            revision: 0,
            users: seed::users(),
            is_enterprise: false,
            groups: seed::groups(),
            channels: seed::channels(),
            messages: Vec::new(),
            files: Vec::new(),
            views: Vec::new(),
            sessions: Vec::new(),
            prompts: BTreeMap::new(),
            statuses: BTreeMap::new(),
            triggers: BTreeMap::new(),
            response_urls: BTreeMap::new(),
            tickets: Vec::new(),
            calls: Vec::new(),
            deliveries: Vec::new(),
            faults: Vec::new(),
            event_faults: Vec::new(),
            rates: BTreeMap::new(),
            outbox: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// An identifier that nothing else has.
    pub(super) fn id(&mut self, prefix: &str) -> String {
        self.last_id += 1;
        format!("{prefix}0SIM{:06}", self.last_id)
    }

    /// The time as Slack names messages by it: never the same twice.
    pub(super) fn ts(&mut self) -> String {
        self.last_ts = self.now.max(self.last_ts + 1);
        format!(
            "{}.{:06}",
            self.last_ts / 1_000_000,
            self.last_ts % 1_000_000
        )
    }

    /// The number of a new socket.
    pub(super) fn next_socket(&mut self) -> usize {
        self.last_socket += 1;
        self.last_socket
    }

    pub(super) fn seconds(&self) -> i64 {
        self.now / 1_000_000
    }

    /// Tells those who watch.
    pub(super) fn changed(&mut self, kind: &'static str, value: Value) {
        self.revision += 1;
        self.changes.push(Change {
            revision: self.revision,
            kind,
            value,
        });
    }

    /// A person or a bot.
    pub(super) fn user(&self, id: &str) -> Result<&Value> {
        Ok(self.users.get(id).ok_or("user_not_found")?)
    }

    /// All of it, for whoever looks from outside.
    pub(super) fn state(&self) -> Value {
        let messages: Vec<Value> = self.messages.iter().map(Message::inspected).collect();
        json!({
            "revision": self.revision,
            "team": {"id": TEAM, "domain": TEAM_DOMAIN},
            "enterprise": self.enterprise(),
            "app": {"id": APP, "bot_user_id": BOT, "bot_id": BOT_ID},
            "settings": self.settings,
            "users": self.users,
            "groups": self.groups,
            "channels": self.channels,
            "messages": messages,
            "files": self.files,
            "views": self.views,
            "sessions": self.sessions,
            "prompts": self.prompts,
            "statuses": self.statuses,
            "faults": self.faults,
            "event_faults": self.event_faults,
            "calls": self.calls,
            "deliveries": self.deliveries,
        })
    }
}

/// Sets `fields` in an object.
pub(super) fn merge(object: &mut Value, fields: &Value) {
    if let (Some(object), Some(fields)) = (object.as_object_mut(), fields.as_object()) {
        for (key, value) in fields {
            object.insert(key.clone(), value.clone());
        }
    }
}
