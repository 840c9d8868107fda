//! The time of day.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01T00:00:00Z.
pub fn now_ms() -> i64 {
    since_epoch().as_millis().try_into().unwrap_or(i64::MAX)
}

/// Nanoseconds since 1970-01-01T00:00:00Z.
pub fn now_ns() -> u64 {
    since_epoch().as_nanos().try_into().unwrap_or(u64::MAX)
}

fn since_epoch() -> std::time::Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
