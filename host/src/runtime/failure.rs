//! Why a turn failed, in the words that callers see.

use serde::{Deserialize, Serialize};
use wasmtime::{Trap, WasmBacktrace};

use super::bindings::types;
use crate::turn::Stop;

/// The reasons for which a turn can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FailureCode {
    OutOfFuel,
    MemoryLimit,
    TableLimit,
    StackOverflow,
    HostCallLimit,
    HostCallBytes,
    OutputLimit,
    /// The component trapped: a bug in it.
    Trap,
    Deadline,
    Cancelled,
    Denied,
    BudgetExceeded,
    /// Too much waits to be run.
    Busy,
    /// The agent answered an error of its own.
    AgentError,
    /// The agent cannot be loaded or does not do this.
    AgentUnavailable,
    /// A re-run asked for something other than what was recorded.
    Diverged,
    /// The host stopped before the turn ended.
    Interrupted,
    Internal,
}

/// A failed turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Failure {
    pub code: FailureCode,
    /// One sentence for people.
    pub message: String,
    /// What operators need besides, such as a backtrace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Failure {
    /// A failure without details.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            detail: None,
        }
    }

    /// The failure of a turn as the agent sees it that asked for that turn.
    pub fn for_agents(&self) -> types::Error {
        let kind = match self.code {
            FailureCode::Cancelled => types::ErrorKind::Cancelled,
            FailureCode::Deadline => types::ErrorKind::TimedOut,
            FailureCode::Denied => types::ErrorKind::Denied,
            FailureCode::BudgetExceeded => types::ErrorKind::BudgetExceeded,
            FailureCode::Busy => types::ErrorKind::Unavailable,
            _ => types::ErrorKind::Internal,
        };
        crate::capability::error(kind, format!("the other agent failed: {}", self.message))
    }

    pub(super) fn with_detail(mut self, detail: String) -> Self {
        self.detail = Some(detail);
        self
    }

    /// What an agent's own error makes of a turn.
    pub(super) fn of_agent(error: types::Error) -> Self {
        let code = match error.kind {
            types::ErrorKind::Denied => FailureCode::Denied,
            types::ErrorKind::BudgetExceeded => FailureCode::BudgetExceeded,
            _ => FailureCode::AgentError,
        };
        let failure = Self::new(code, error.message);
        match error.detail_json {
            Some(detail) => failure.with_detail(detail),
            None => failure,
        }
    }

    /// What a call that did not return makes of a turn. `memory_refused` and
    /// `table_refused` say whether the limiter refused to grow something:
    /// guests that get no memory trap in ways of their own.
    pub(super) fn of_trap(
        error: &wasmtime::Error,
        memory_refused: bool,
        table_refused: bool,
    ) -> Self {
        if let Some(stop) = error.downcast_ref::<Stop>() {
            return stop.failure();
        }
        let detail = format!("{error:?}");
        let (code, message) = match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => (
                FailureCode::OutOfFuel,
                "The agent used up its fuel.".to_owned(),
            ),
            Some(Trap::StackOverflow) => (FailureCode::StackOverflow, STACK.to_owned()),
            _ if memory_refused => (
                FailureCode::MemoryLimit,
                "The agent needs more memory than it may have.".to_owned(),
            ),
            _ if table_refused => (
                FailureCode::TableLimit,
                "The agent needs larger tables than it may have.".to_owned(),
            ),
            Some(Trap::MemoryOutOfBounds) if is_recursion(error) => {
                (FailureCode::StackOverflow, STACK.to_owned())
            }
            // wasmtime keeps this error type to itself.
            _ if detail.contains("fuel allocated for hostcalls") => (
                FailureCode::HostCallBytes,
                "The agent passed more bytes in one host call than it may.".to_owned(),
            ),
            _ if is_too_large(&detail) => (
                FailureCode::MemoryLimit,
                "The agent needs more memory than it may have.".to_owned(),
            ),
            Some(trap) => (FailureCode::Trap, format!("The agent crashed: {trap}.")),
            None => match error.downcast_ref::<wasmtime_wasi::I32Exit>() {
                Some(exit) => (
                    FailureCode::Trap,
                    format!("The agent exited with status {}.", exit.0),
                ),
                // WASI ends a guest that misuses it; faults of the host are a
                // `Stop`.
                None => (
                    FailureCode::Trap,
                    "The agent asked the host for something impossible.".to_owned(),
                ),
            },
        };
        Self::new(code, message).with_detail(detail)
    }
}

const STACK: &str = "The agent used up its stack.";

/// Compilers put a stack of their own into linear memory; when it runs over,
/// the trap is a memory fault under a tower of the same few functions.
fn is_recursion(error: &wasmtime::Error) -> bool {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else {
        return false;
    };
    let mut functions: Vec<u32> = trace
        .frames()
        .iter()
        .map(wasmtime::FrameInfo::func_index)
        .collect();
    let frames = functions.len();
    functions.sort_unstable();
    functions.dedup();
    frames >= 16 && functions.len() * 4 <= frames
}

/// A module whose declared memory or table is over the limit from the start.
fn is_too_large(detail: &str) -> bool {
    detail.contains("memory minimum size") || detail.contains("exceeds memory limits")
}
