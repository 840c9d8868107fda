//! `[events]`: how the bus delivers.

use serde::Deserialize;

/// Delivery of events.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// Attempts before an event becomes a dead letter.
    pub max_attempts: u32,
    /// Wait after the first failure, in milliseconds; it doubles each time.
    pub backoff_ms: u64,
    /// The longest wait between attempts, in milliseconds.
    pub max_backoff_ms: u64,
    /// Deliveries that run at the same time.
    pub concurrent: usize,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            max_attempts: 5,
            backoff_ms: 1_000,
            max_backoff_ms: 300_000,
            concurrent: 64,
        }
    }
}
