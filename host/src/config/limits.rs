//! `[limits]`: what one turn may use. An agent's manifest and the operator's
//! settings for that agent can lower them; only the operator can raise them.

use serde::{Deserialize, Serialize};

/// Limits of one turn. All are enforced; docs/reference/config.md says what
/// happens when each is reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Units of fuel; about one per executed instruction.
    pub fuel: u64,
    /// Linear memory of all memories together, in bytes.
    pub memory_bytes: u64,
    /// Elements of all tables together.
    pub table_elements: u64,
    /// Stack of WebAssembly code, in bytes. One size for the whole host: it is
    /// a property of the engine, so agents cannot change it.
    pub stack_bytes: u64,
    /// Time from start to end, in milliseconds.
    pub wall_ms: u64,
    /// Host calls.
    pub host_calls: u64,
    /// Bytes that one host call may carry in either direction.
    pub host_call_bytes: u64,
    /// Calls of tools.
    pub tool_calls: u64,
    /// Bytes of the answer, streamed pieces included.
    pub output_bytes: u64,
    /// Bytes of log lines, standard output and error included.
    pub log_bytes: u64,
    /// Calls of models.
    pub model_calls: u64,
    /// Tokens in and out.
    pub tokens: u64,
    /// Money for model calls, in millionths of a dollar.
    pub cost_micro_usd: u64,
    /// Turns of one agent at the same time.
    pub concurrent_turns: u64,
    pub database: DatabaseLimits,
    pub http: HttpLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 20_000_000_000,
            memory_bytes: 128 << 20,
            table_elements: 20_000,
            stack_bytes: 512 << 10,
            wall_ms: 300_000,
            host_calls: 10_000,
            host_call_bytes: 8 << 20,
            tool_calls: 100,
            output_bytes: 1 << 20,
            log_bytes: 256 << 10,
            model_calls: 1_000,
            tokens: 10_000_000,
            cost_micro_usd: 2_000_000,
            concurrent_turns: 1_000,
            database: DatabaseLimits::default(),
            http: HttpLimits::default(),
        }
    }
}

/// `[limits.database]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseLimits {
    /// Size of the agent's database, in bytes.
    pub max_bytes: u64,
    /// Time of one statement, in milliseconds.
    pub statement_ms: u64,
    /// Rows that one query may answer.
    pub max_rows: u64,
}

impl Default for DatabaseLimits {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            statement_ms: 2_000,
            max_rows: 10_000,
        }
    }
}

/// `[limits.http]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpLimits {
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// Time of one exchange, redirects included, in milliseconds.
    pub timeout_ms: u64,
    /// Hosts whose private, loopback or link-local addresses may be reached, by
    /// name or number. For development and for services inside the network.
    pub allow_private: Vec<String>,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            request_bytes: 1 << 20,
            response_bytes: 4 << 20,
            timeout_ms: 30_000,
            allow_private: Vec::new(),
        }
    }
}

/// Some of the limits: what a manifest asks for, or what an operator sets for
/// one agent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsPatch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_elements: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_calls: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_call_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_calls: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_micro_usd: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_turns: Option<u64>,
}

impl Limits {
    /// These limits, lowered to what a manifest asks for.
    pub fn lowered(&self, manifest: &LimitsPatch) -> Self {
        self.with(manifest, |ours, asked| ours.min(asked))
    }

    /// These limits, replaced by what the operator sets.
    pub fn replaced(&self, operator: &LimitsPatch) -> Self {
        self.with(operator, |_, set| set)
    }

    fn with(&self, patch: &LimitsPatch, choose: fn(u64, u64) -> u64) -> Self {
        let pick = |ours: u64, given: Option<u64>| given.map_or(ours, |given| choose(ours, given));
        Self {
            fuel: pick(self.fuel, patch.fuel),
            memory_bytes: pick(self.memory_bytes, patch.memory_bytes),
            table_elements: pick(self.table_elements, patch.table_elements),
            wall_ms: pick(self.wall_ms, patch.wall_ms),
            host_calls: pick(self.host_calls, patch.host_calls),
            host_call_bytes: pick(self.host_call_bytes, patch.host_call_bytes),
            tool_calls: pick(self.tool_calls, patch.tool_calls),
            output_bytes: pick(self.output_bytes, patch.output_bytes),
            log_bytes: pick(self.log_bytes, patch.log_bytes),
            model_calls: pick(self.model_calls, patch.model_calls),
            tokens: pick(self.tokens, patch.tokens),
            cost_micro_usd: pick(self.cost_micro_usd, patch.cost_micro_usd),
            concurrent_turns: pick(self.concurrent_turns, patch.concurrent_turns),
            ..self.clone()
        }
    }
}
