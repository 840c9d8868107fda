//! What an agent is told when SQLite fails: never a path, never the value of a
//! row.

use rusqlite::ffi::{self, ErrorCode};
use tracing::error;

use super::watch::{Stop, Watch};
use crate::runtime::bindings::types::{Error, ErrorKind};

pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error {
        kind,
        message: message.into(),
        retryable: matches!(kind, ErrorKind::Unavailable),
        retry_after_ms: None,
        detail_json: None,
    }
}

pub(super) fn invalid(message: impl Into<String>) -> Error {
    new(ErrorKind::InvalidInput, message)
}

pub(super) fn limit(message: impl Into<String>) -> Error {
    new(ErrorKind::LimitExceeded, message)
}

/// A fault of ours: the cause is logged, the agent gets a sentence.
pub(super) fn internal(cause: impl std::fmt::Display) -> Error {
    error!(error = %cause, "an agent's database failed");
    new(
        ErrorKind::Internal,
        "the database failed; the cause is in the host's log",
    )
}

/// Why a statement failed.
pub(super) fn of(watch: &Watch, error: rusqlite::Error) -> Error {
    match error {
        rusqlite::Error::SqliteFailure(code, message) => {
            of_code(watch, code, message.unwrap_or_default())
        }
        rusqlite::Error::SqlInputError { error, msg, .. } => of_code(watch, error, msg),
        rusqlite::Error::NulError(_) => invalid("SQL may not contain NUL"),
        other => internal(other),
    }
}

fn of_code(watch: &Watch, error: ffi::Error, message: String) -> Error {
    // For a function, SQLite gives the general code instead of that of a denial.
    if let Some(sentence) = watch.take_refusal() {
        return new(ErrorKind::Denied, sentence);
    }
    match error.code {
        ErrorCode::OperationInterrupted => stopped(watch.take_stop()),
        ErrorCode::AuthorizationForStatementDenied => new(ErrorKind::Denied, message),
        ErrorCode::ConstraintViolation => new(ErrorKind::Conflict, message),
        ErrorCode::DiskFull => {
            limit("the database is full: delete rows, or raise `[limits.database] max_bytes`")
        }
        ErrorCode::TooBig => limit(format!("{message}: values and rows have a limit")),
        ErrorCode::OutOfMemory => stopped(Some(Stop::Memory)),
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::CannotOpen
        | ErrorCode::SystemIoFailure => unreachable(format!("{error}: {message}")),
        ErrorCode::Unknown
        | ErrorCode::TypeMismatch
        | ErrorCode::ReadOnly
        | ErrorCode::SchemaChanged
        | ErrorCode::ParameterOutOfRange => invalid(message),
        _ => internal(format!("{error}: {message}")),
    }
}

/// The disk, or another process, is in the way.
pub(super) fn unreachable(cause: impl std::fmt::Display) -> Error {
    error!(error = %cause, "an agent's database is not available");
    new(
        ErrorKind::Unavailable,
        "the database is not available at the moment",
    )
}

fn stopped(why: Option<Stop>) -> Error {
    match why {
        Some(Stop::Memory) => limit("the statement needs more memory than it may have"),
        Some(Stop::Cancelled) => new(ErrorKind::Cancelled, "the call was cancelled"),
        Some(Stop::Time) | None => new(
            ErrorKind::TimedOut,
            "the statement took longer than `[limits.database] statement_ms`",
        ),
    }
}
