//! The script as it stands in TOML: rules in order, and what is said when none fits.

use std::num::NonZeroUsize;

use anyhow::{Result, ensure};
use serde::Deserialize;

use crate::runtime::bindings::llm::ErrorKind;
use crate::runtime::bindings::types::ToolCall;

use super::placeholders::{self, Values};
use super::situation::Situation;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Script {
    #[serde(default)]
    rules: Vec<Rule>,
    /// What is answered when no rule fits.
    #[serde(default)]
    fallback: Reply,
}

/// Serde cannot refuse unknown keys of flattened tables, so the conditions are a table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    when: When,
    reply: Reply,
}

/// All that is set must hold. Letters match in either case.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct When {
    /// The text of the last message of the user.
    pub(super) last: Option<Text>,
    /// What the system prompt contains.
    pub(super) system: Option<String>,
    /// The model that the alias names.
    pub(super) model: Option<String>,
    /// A tool that may be called.
    pub(super) tool: Option<String>,
    /// Whether tools have answered since the last message of the user.
    pub(super) has_tool_result: Option<bool>,
    /// Whether the user said something before the last message.
    pub(super) has_previous: Option<bool>,
    /// Whether JSON is asked for.
    pub(super) wants_json: Option<bool>,
}

/// One of its texts must fit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum Text {
    Contains(OneOrMany),
    Equals(OneOrMany),
    StartsWith(OneOrMany),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn iter(&self) -> std::slice::Iter<'_, String> {
        match self {
            Self::One(one) => std::slice::from_ref(one).iter(),
            Self::Many(many) => many.iter(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reply {
    text: Option<String>,
    json: Option<toml::Value>,
    #[serde(default)]
    tool_calls: Vec<PlannedCall>,
    pub(super) usage: Option<PlannedUsage>,
    /// Before the first piece, in milliseconds.
    #[serde(default)]
    pub(super) delay_ms: u64,
    /// Between two pieces, in milliseconds.
    #[serde(default)]
    pub(super) chunk_delay_ms: u64,
    /// Characters of a piece; words when it is not set.
    pub(super) chunk: Option<Chunk>,
    pub(super) failure: Option<Failure>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
pub(super) struct Chunk(pub(super) NonZeroUsize);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlannedCall {
    name: String,
    #[serde(default)]
    arguments: toml::Table,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlannedUsage {
    pub(super) input: u64,
    pub(super) output: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    /// Pieces that come before it; with none the call is refused.
    #[serde(default)]
    pub(super) after_chunks: usize,
    pub(super) retry_after_ms: Option<u64>,
}

/// A kind of error in the contract's spelling.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Kind(pub(super) ErrorKind);

impl TryFrom<String> for Kind {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Ok(Self(match name.as_str() {
            "invalid-request" => ErrorKind::InvalidRequest,
            "denied" => ErrorKind::Denied,
            "unauthenticated" => ErrorKind::Unauthenticated,
            "model-not-found" => ErrorKind::ModelNotFound,
            "unsupported" => ErrorKind::Unsupported,
            "context-length" => ErrorKind::ContextLength,
            "content-filtered" => ErrorKind::ContentFiltered,
            "schema-mismatch" => ErrorKind::SchemaMismatch,
            "rate-limited" => ErrorKind::RateLimited,
            "budget-exceeded" => ErrorKind::BudgetExceeded,
            "overloaded" => ErrorKind::Overloaded,
            "timed-out" => ErrorKind::TimedOut,
            "connection" => ErrorKind::Connection,
            "stream-interrupted" => ErrorKind::StreamInterrupted,
            "cancelled" => ErrorKind::Cancelled,
            "upstream" => ErrorKind::Upstream,
            "internal" => ErrorKind::Internal,
            _ => return Err(format!("there is no kind of error {name:?}")),
        }))
    }
}

impl Script {
    /// What the types cannot say.
    pub(super) fn check(&self) -> Result<()> {
        for (number, rule) in self.rules.iter().enumerate() {
            let reply = &rule.reply;
            ensure!(
                reply.text.is_none() || reply.json.is_none(),
                "rule {} has both `text` and `json`",
                number + 1
            );
            ensure!(
                reply.text.is_some()
                    || reply.json.is_some()
                    || reply.failure.is_some()
                    || !reply.tool_calls.is_empty(),
                "rule {} has none of `text`, `json`, `tool_calls` and `failure`",
                number + 1
            );
        }
        Ok(())
    }

    /// The first reply that fits, and what its placeholders stand for.
    pub(super) fn reply_to<'s>(&'s self, situation: &'s Situation<'_>) -> (&'s Reply, Values<'s>) {
        for rule in &self.rules {
            if let Some(rest) = situation.matches(&rule.when) {
                return (&rule.reply, situation.values(rest));
            }
        }
        (&self.fallback, situation.values(""))
    }
}

impl Reply {
    pub(super) fn text(&self, values: &Values<'_>) -> String {
        match (&self.text, &self.json) {
            (Some(text), _) => placeholders::fill(text, values),
            (None, Some(json)) => json_of(json, values).to_string(),
            (None, None) if self.tool_calls.is_empty() => {
                "The script has no rule for this message.".to_owned()
            }
            (None, None) => String::new(),
        }
    }

    pub(super) fn calls(&self, values: &Values<'_>) -> Vec<ToolCall> {
        let planned = self.tool_calls.iter().enumerate();
        planned
            .map(|(number, call)| ToolCall {
                // Different in every round, as a provider's are.
                id: format!("call_{}_{number}", values.rounds),
                name: call.name.clone(),
                arguments_json: json_of(&toml::Value::Table(call.arguments.clone()), values)
                    .to_string(),
            })
            .collect()
    }
}

fn json_of(value: &toml::Value, values: &Values<'_>) -> serde_json::Value {
    match value {
        toml::Value::String(text) => placeholders::fill(text, values).into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(yes) => (*yes).into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => items.iter().map(|item| json_of(item, values)).collect(),
        toml::Value::Table(table) => {
            let entries = table.iter();
            entries
                .map(|(key, value)| (key.clone(), json_of(value, values)))
                .collect()
        }
    }
}
