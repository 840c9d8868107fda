//! What the API answers, as types that the commands of this program read it back with. A field
//! that is added later is optional, or a command cannot read the answers of an older host.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::ProviderKind;
use crate::runtime::Failure;
use crate::store::{JournalStatus, OutgoingStatus, Rating, Span, TurnKind, TurnStatus};
use crate::tools::ServerView;
use crate::turn::{Question, Receipt};

pub(crate) use super::page::Items;

/// A turn.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct TurnView {
    /// Its id.
    pub(crate) turn: String,
    pub(crate) kind: TurnKind,
    pub(crate) status: TurnStatus,
    pub(crate) agent: String,
    /// The version that ran.
    pub(crate) version: Option<i64>,
    pub(crate) conversation: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) channel: String,
    /// The turn of another agent that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<String>,
    /// The turn that took up its message, so that it has no answer of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) steered: Option<String>,
    /// What it asks a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) question: Option<QuestionView>,
    /// What people think of its answer; told where one turn is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) feedback: Vec<FeedbackView>,
    /// How often it was started.
    #[serde(default)]
    pub(crate) attempts: i64,
    /// The answer.
    pub(crate) text: Option<String>,
    pub(crate) error: Option<Failure>,
    pub(crate) receipt: Option<Receipt>,
    /// Milliseconds since 1970, as all times here.
    pub(crate) created_at: i64,
    pub(crate) started_at: Option<i64>,
    pub(crate) finished_at: Option<i64>,
}

/// What the host knows of Slack.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct SlackView {
    /// There is a bot token.
    pub(crate) configured: bool,
    pub(crate) installs: Vec<SlackInstallView>,
    /// What came so far, by name.
    pub(crate) heard: Vec<SlackHeardView>,
    /// Agents that the configuration names and that are not there.
    pub(crate) unknown_agents: Vec<String>,
}

/// Where the app is installed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct SlackInstallView {
    /// The organisation, where it is installed in one; else the workspace.
    pub(crate) id: String,
    pub(crate) name: String,
    /// Why it does not work.
    pub(crate) error: Option<String>,
}

/// Something that came from Slack.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct SlackHeardView {
    /// An event as the app's manifest names it, `command` or `interaction`.
    pub(crate) name: String,
    /// When it came last, within a minute, in milliseconds since 1970.
    pub(crate) at: i64,
}

/// What agents may be granted to call.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct ToolsView {
    /// By name.
    pub(crate) items: Vec<ToolView>,
    pub(crate) next: Option<String>,
    pub(crate) servers: Vec<ServerView>,
}

/// A tool.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct ToolView {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    /// `host`, or the name of a server.
    pub(crate) source: String,
    pub(crate) read_only: bool,
    pub(crate) destructive: bool,
    /// A person is asked before it is called.
    pub(crate) needs_approval: bool,
    /// A JSON Schema.
    pub(crate) input_schema: serde_json::Value,
}

/// A question that a turn waits for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct QuestionView {
    /// The turn that asks.
    pub(crate) turn: String,
    /// The place of the question in its turn.
    pub(crate) call: i64,
    #[serde(flatten)]
    pub(crate) question: Question,
    pub(crate) asked_at: i64,
}

/// What a person says to a question: a text or a choice, or yes or no.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAnswer {
    /// The text or the choice; a reason, beside `approve`. At most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    /// Yes or no to a question for approval; `false` refuses any question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) approve: Option<bool>,
    /// For whom a program speaks; the token's own name without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// Which question of the turn, to be sure that it is this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) call: Option<i64>,
}

/// What a person thinks of an answer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewFeedback {
    pub(crate) turn: String,
    pub(crate) rating: Rating,
    /// At most 4 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<String>,
    /// For whom a program speaks; the token's own name without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
}

/// The same as stored.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct FeedbackView {
    pub(crate) turn: String,
    /// Whose answer it was.
    pub(crate) agent: String,
    pub(crate) user: String,
    pub(crate) rating: Rating,
    pub(crate) comment: Option<String>,
    pub(crate) at: i64,
}

/// An answer that goes to a callback.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct OutgoingView {
    /// Whose answer it is.
    pub(crate) turn: String,
    pub(crate) conversation: Option<String>,
    pub(crate) callback: String,
    pub(crate) status: OutgoingStatus,
    /// Attempts that failed.
    pub(crate) attempts: i64,
    /// Why the last attempt failed.
    pub(crate) error: Option<String>,
    /// When it is tried again.
    pub(crate) next_at: Option<i64>,
    pub(crate) created_at: i64,
    pub(crate) settled_at: Option<i64>,
}

/// A recorded host call.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct JournalItem {
    pub(crate) seq: i64,
    /// `interface.function`.
    pub(crate) kind: String,
    pub(crate) args_hash: String,
    /// `begun`, `done` or `failed`.
    #[schema(value_type = String)]
    pub(crate) status: JournalStatus,
    pub(crate) args: serde_json::Value,
    pub(crate) result: serde_json::Value,
    /// When it was complete.
    pub(crate) at: i64,
    /// How long it took, in milliseconds.
    pub(crate) ms: f64,
}

/// A line that an agent logged.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct LogItem {
    pub(crate) seq: i64,
    pub(crate) level: String,
    pub(crate) message: String,
    pub(crate) fields: serde_json::Value,
}

/// A message of a conversation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct MessageItem {
    /// `user` or `assistant`.
    pub(crate) role: String,
    pub(crate) text: String,
    pub(crate) turn: String,
    pub(crate) at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<String>,
}

/// A model, by the alias that agents know.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct ModelView {
    pub(crate) alias: String,
    pub(crate) provider: String,
    /// `openai`, `anthropic`, `gemini`, `ollama`, or `scripted`, which is not a model.
    #[schema(value_type = String)]
    pub(crate) kind: ProviderKind,
    /// Its name at the provider.
    pub(crate) model: String,
}

/// A budget and what is used of it. A limit that is none does not limit.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct BudgetView {
    /// `all`, or a kind and an id: `agent:notes`.
    pub(crate) scope: String,
    pub(crate) window: Span,
    /// Calls of models.
    pub(crate) requests: Option<i64>,
    /// Tokens in and out.
    pub(crate) tokens: Option<i64>,
    /// Millionths of a dollar.
    pub(crate) cost_micro_usd: Option<i64>,
    pub(crate) used: Amounts,
    pub(crate) reserved: Reserved,
    /// When the window ends; none if it never does.
    pub(crate) resets_at: Option<i64>,
}

/// What is used in the window.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Amounts {
    pub(crate) requests: i64,
    pub(crate) tokens: i64,
    pub(crate) cost_micro_usd: i64,
}

/// The most that calls under way may still take.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Reserved {
    pub(crate) tokens: i64,
    pub(crate) cost_micro_usd: i64,
}
