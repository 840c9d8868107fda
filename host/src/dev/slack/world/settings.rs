//! What can be set while the fake runs: scopes, limits in time, and what goes wrong.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Refusal, Result, World, merge};

/// What an installed app of this kind is usually given.
const SCOPES: [&str; 23] = [
    "app_mentions:read",
    "assistant:write",
    "channels:history",
    "channels:read",
    "chat:write",
    "chat:write.customize",
    "commands",
    "files:read",
    "files:write",
    "groups:history",
    "groups:read",
    "im:history",
    "im:read",
    "im:write",
    "mpim:history",
    "mpim:read",
    "mpim:write",
    "reactions:read",
    "reactions:write",
    "team:read",
    "usergroups:read",
    "users:read",
    "users:read.email",
];

/// What the app is told of.
const SUBSCRIPTIONS: [&str; 15] = [
    "agent_session_stopped",
    "agent_session_title_changed",
    "app_context_changed",
    "app_home_opened",
    "app_mention",
    "app_uninstalled",
    "member_joined_channel",
    "message.channels",
    "message.groups",
    "message.im",
    "message.mpim",
    "reaction_added",
    "reaction_removed",
    "team_access_revoked",
    "tokens_revoked",
];

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::dev::slack) struct Settings {
    pub(in crate::dev::slack) scopes: Vec<String>,
    pub(in crate::dev::slack) subscriptions: Vec<String>,
    /// The tokens are refused as revoked.
    pub(in crate::dev::slack) revoked: bool,
    /// Calls are limited as Slack limits them.
    pub(in crate::dev::slack) rate_limits: bool,
    pub(in crate::dev::slack) ack_timeout_ms: u64,
    /// Before each redelivery of an event; as many as there are.
    pub(in crate::dev::slack) retry_delays_ms: Vec<u64>,
    pub(in crate::dev::slack) stream_lifetime_ms: u64,
    pub(in crate::dev::slack) trigger_lifetime_ms: u64,
    pub(in crate::dev::slack) response_url_lifetime_ms: u64,
    pub(in crate::dev::slack) socket_ping_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            scopes: SCOPES.map(str::to_owned).to_vec(),
            subscriptions: SUBSCRIPTIONS.map(str::to_owned).to_vec(),
            revoked: false,
            rate_limits: false,
            ack_timeout_ms: 3_000,
            retry_delays_ms: vec![0, 60_000, 300_000],
            stream_lifetime_ms: 300_000,
            trigger_lifetime_ms: 3_000,
            response_url_lifetime_ms: 1_800_000,
            socket_ping_ms: 10_000,
        }
    }
}

impl Settings {
    pub(in crate::dev::slack) fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|granted| granted == scope)
    }

    pub(in crate::dev::slack) fn is_subscribed(&self, event: &str) -> bool {
        self.subscriptions.iter().any(|name| name == event)
    }
}

/// What goes wrong with the next calls of the Web API.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::dev::slack) struct Fault {
    /// A method, `download`, or `*`.
    pub(in crate::dev::slack) method: String,
    /// How many calls.
    #[serde(default = "once")]
    pub(in crate::dev::slack) times: u64,
    /// How many matching calls pass before.
    #[serde(default)]
    pub(in crate::dev::slack) after: u64,
    #[serde(flatten)]
    pub(in crate::dev::slack) kind: FaultKind,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(in crate::dev::slack) enum FaultKind {
    /// 429 with `Retry-After`.
    Ratelimited {
        #[serde(default = "once")]
        retry_after: u64,
    },
    /// Another status, with a page instead of JSON.
    Status { status: u16 },
    /// `ok: false` with this error; `extra` stands beside it.
    Error {
        error: String,
        #[serde(default)]
        extra: Value,
    },
    /// No answer, for so long; then the connection is closed.
    Hang { ms: u64 },
    /// The connection is closed; nothing was done.
    Close,
    /// The connection is closed; what was asked for was done.
    Lost,
    /// Only of `download`: it is somewhere else.
    Redirect { to: String },
    /// Only of `download`: a page to log in.
    Login,
    /// Only of `download`: so many bytes more than there are, and no length.
    Longer { bytes: usize },
}

/// What goes wrong with the next deliveries of events.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::dev::slack) struct EventFault {
    /// A type of event, a command, a type of interaction, or `*`.
    #[serde(default = "any")]
    pub(in crate::dev::slack) name: String,
    #[serde(default = "once")]
    pub(in crate::dev::slack) times: u64,
    #[serde(flatten)]
    pub(in crate::dev::slack) kind: EventFaultKind,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(in crate::dev::slack) enum EventFaultKind {
    /// Delivered so many times more, with the same `event_id`, acknowledged or not.
    Duplicate {
        #[serde(default = "once")]
        copies: u64,
    },
    /// Delivered later.
    Delay { ms: u64 },
    /// Held back until this rule has held back `times`; then they go out, the last first.
    Reverse,
    /// Signed with another secret.
    WrongSignature,
    /// Signed ten minutes ago.
    OldTimestamp,
    /// Never delivered.
    Drop,
}

fn once() -> u64 {
    1
}

fn any() -> String {
    "*".to_owned()
}

impl World {
    /// Sets what `fields` names.
    pub(in crate::dev::slack) fn set(&mut self, fields: &Value) -> Result<()> {
        let mut all = serde_json::to_value(&self.settings).unwrap_or_default();
        merge(&mut all, fields);
        let settings = serde_json::from_value(all).map_err(|error| {
            Refusal::with(
                "invalid_settings",
                serde_json::json!({"detail": error.to_string()}),
            )
        })?;
        self.settings = settings;
        let shown = serde_json::json!(self.settings);
        self.changed("settings", shown);
        Ok(())
    }

    /// What goes wrong with this call, if something is to.
    pub(in crate::dev::slack) fn take_fault(&mut self, method: &str) -> Option<FaultKind> {
        let matches = |fault: &Fault| fault.method == "*" || fault.method == method;
        let index = self.faults.iter().position(matches)?;
        let fault = &mut self.faults[index];
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        fault.times = fault.times.saturating_sub(1);
        let kind = fault.kind.clone();
        if fault.times == 0 {
            self.faults.remove(index);
        }
        Some(kind)
    }

    /// What goes wrong with this delivery, and whether that was the last time.
    pub(in crate::dev::slack) fn take_event_fault(
        &mut self,
        name: &str,
    ) -> Option<(EventFaultKind, bool)> {
        let matches = |fault: &EventFault| fault.name == "*" || fault.name == name;
        let index = self.event_faults.iter().position(matches)?;
        let fault = &mut self.event_faults[index];
        fault.times = fault.times.saturating_sub(1);
        let (kind, is_last) = (fault.kind.clone(), fault.times == 0);
        if is_last {
            self.event_faults.remove(index);
        }
        Some((kind, is_last))
    }
}
