//! Failures in the contract's words: a kind, whether to try again, and one sentence.

use crate::runtime::bindings::llm as wire;
use wire::{ErrorKind, RetryClass};

/// A failure of this kind, to be completed by whoever knows more.
pub(crate) fn failure(kind: ErrorKind, message: impl Into<String>) -> wire::Error {
    wire::Error {
        kind,
        retry: retry_class(kind),
        retry_after_ms: None,
        message: message.into(),
        provider: None,
        http_status: None,
        attempts: 0,
        usage: None,
        detail_json: None,
    }
}

/// What a caller may sensibly do about a failure of this kind.
pub(crate) fn retry_class(kind: ErrorKind) -> RetryClass {
    match kind {
        ErrorKind::RateLimited | ErrorKind::Overloaded => RetryClass::AfterDelay,
        ErrorKind::TimedOut
        | ErrorKind::Connection
        | ErrorKind::StreamInterrupted
        | ErrorKind::Upstream => RetryClass::SameRequest,
        ErrorKind::ModelNotFound
        | ErrorKind::Unauthenticated
        | ErrorKind::Unsupported
        | ErrorKind::ContextLength
        | ErrorKind::ContentFiltered => RetryClass::OtherModel,
        ErrorKind::InvalidRequest
        | ErrorKind::Denied
        | ErrorKind::SchemaMismatch
        | ErrorKind::BudgetExceeded
        | ErrorKind::Cancelled
        | ErrorKind::Internal => RetryClass::Never,
    }
}

pub(crate) fn unknown_alias(alias: &str) -> wire::Error {
    let alias: String = alias.chars().take(100).collect();
    failure(
        ErrorKind::ModelNotFound,
        format!("there is no model {alias:?}; the operator can add it as [llm.models.{alias}]"),
    )
}

/// The task that made the answer is gone, which only a fault of the host explains.
pub(crate) fn lost() -> wire::Error {
    failure(
        ErrorKind::Internal,
        "the host lost this model call; its log says why",
    )
}

pub(crate) fn past_deadline() -> wire::Error {
    failure(
        ErrorKind::TimedOut,
        "the answer was not complete at the deadline of the request",
    )
}
