//! `[outbox]`: how answers are delivered that do not go back by the request
//! that asked.

use secrecy::SecretString;
use serde::Deserialize;

/// Delivery of answers.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outbox {
    /// Attempts before an answer becomes a dead letter.
    pub max_attempts: u32,
    /// Wait after the first failure, in milliseconds; it doubles each time, and
    /// is up to a quarter longer or shorter.
    pub backoff_ms: u64,
    /// The longest wait between attempts, in milliseconds.
    pub max_backoff_ms: u64,
    /// Deliveries that run at the same time.
    pub concurrent: usize,
    /// Signs what is sent to callbacks, so that they can tell who sent it.
    pub signing_secret: Option<SecretString>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            max_attempts: 10,
            backoff_ms: 1_000,
            max_backoff_ms: 300_000,
            concurrent: 16,
            signing_secret: None,
        }
    }
}
