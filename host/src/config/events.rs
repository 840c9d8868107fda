//! `[events]`: how the bus delivers, and how much it takes.

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
    /// Of these, to one agent.
    pub concurrent_per_agent: usize,
    /// Events that an agent, or a token of the API, may publish in a minute; 0
    /// is no limit.
    pub per_source_per_minute: u32,
    /// Events that may lead to one another.
    pub max_hops: u32,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            max_attempts: 5,
            backoff_ms: 1_000,
            max_backoff_ms: 300_000,
            concurrent: 64,
            concurrent_per_agent: 16,
            per_source_per_minute: 50,
            max_hops: 16,
        }
    }
}
