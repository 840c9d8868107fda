//! How each provider does: how often it was asked and failed, and its last
//! failure.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::clock::now_ms;
use crate::runtime::bindings::llm::{Error, ErrorKind};

/// A provider as far as calls to it went since the start.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
pub struct ProviderState {
    pub name: String,
    pub calls: u64,
    pub failures: u64,
    /// None if it never failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<LastFailure>,
}

/// A failed call.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct LastFailure {
    /// As agents see it: `timed-out`, `rate-limited`.
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// Milliseconds since 1970.
    pub at: i64,
}

/// Counts the calls of one provider.
#[derive(Default)]
pub(super) struct Watch(Mutex<ProviderState>);

impl Watch {
    pub(super) fn of(name: &str) -> Self {
        Self(Mutex::new(ProviderState {
            name: name.to_owned(),
            ..ProviderState::default()
        }))
    }

    /// Notes a call and how it went. A request that was wrong in itself says
    /// nothing of the provider.
    pub(super) fn note(&self, error: Option<&Error>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.calls += 1;
        let failure = error.filter(|error| error.kind != ErrorKind::InvalidRequest);
        if let Some(error) = failure {
            state.failures += 1;
            state.last_failure = Some(LastFailure {
                kind: name(error.kind),
                http_status: error.http_status,
                at: now_ms(),
            });
        }
    }

    pub(super) fn state(&self) -> ProviderState {
        let state = self.0.lock();
        state.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// `TimedOut` as the contract has it: `timed-out`.
pub(super) fn name(kind: ErrorKind) -> String {
    let shown = format!("{kind:?}");
    let mut name = String::new();
    for letter in shown.rsplit(':').next().unwrap_or_default().chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::failure;

    #[test]
    fn failures_of_the_provider_are_counted() {
        let watch = Watch::of("p");
        watch.note(None);
        watch.note(Some(&failure(ErrorKind::InvalidRequest, "no")));
        watch.note(Some(&failure(ErrorKind::TimedOut, "no")));
        let state = watch.state();
        assert_eq!((state.calls, state.failures), (3, 1));
        assert_eq!(state.last_failure.unwrap().kind, "timed-out");
    }
}
