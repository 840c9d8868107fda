//! What an agent is told when there is no response: the host that it asked
//! for, never an address, never a secret.

use std::error::Error as _;

use tracing::debug;

use super::resolver::NotPublic;
use crate::runtime::bindings::types::{Error, ErrorKind};

pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error {
        kind,
        message: message.into(),
        retryable: matches!(kind, ErrorKind::Unavailable | ErrorKind::TimedOut),
        retry_after_ms: None,
        detail_json: None,
    }
}

pub(super) fn invalid(message: impl Into<String>) -> Error {
    new(ErrorKind::InvalidInput, message)
}

pub(super) fn denied(message: impl Into<String>) -> Error {
    new(ErrorKind::Denied, message)
}

pub(super) fn limit(message: impl Into<String>) -> Error {
    new(ErrorKind::LimitExceeded, message)
}

pub(super) fn timed_out(host: &str) -> Error {
    new(
        ErrorKind::TimedOut,
        format!(
            "the exchange with {host} took longer than `[limits.http] timeout_ms`, or than asked for"
        ),
    )
}

/// A private, loopback or link-local address.
pub(super) fn not_public(host: &str) -> Error {
    denied(format!(
        "{host} is not a public address; the operator can allow it with `[limits.http] allow_private = [\"{host}\"]`"
    ))
}

/// Why the client got no response.
pub(super) fn of(host: &str, error: &reqwest::Error) -> Error {
    // Only what is behind the error: its own text has the URL.
    debug!(host, cause = ?error.source(), "an outbound request failed");
    if is_not_public(error) {
        not_public(host)
    } else if error.is_timeout() {
        timed_out(host)
    } else if error.is_connect() {
        new(ErrorKind::Unavailable, format!("cannot connect to {host}"))
    } else if error.is_builder() {
        invalid("the request cannot be sent as it is")
    } else {
        new(
            ErrorKind::Unavailable,
            format!("the connection to {host} failed before the response was complete"),
        )
    }
}

fn is_not_public(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<NotPublic>() {
            return true;
        }
        cause = error.source();
    }
    false
}
