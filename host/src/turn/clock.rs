//! The guest's time: what was recorded, plus a microsecond for each look at it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Nanoseconds that pass with each look at the clock.
pub const TICK_NS: u64 = 1_000;

/// The guest's clock, in nanoseconds since 1970.
#[derive(Debug)]
pub struct GuestClock {
    start: u64,
    now: AtomicU64,
}

impl GuestClock {
    /// A clock that starts at `start`.
    pub fn new(start: u64) -> Self {
        Self {
            start,
            now: AtomicU64::new(start),
        }
    }

    /// Moves the clock on to when a host call was complete; never back.
    pub fn advance(&self, to: u64) {
        self.now.fetch_max(to, Ordering::Relaxed);
    }

    /// Moves the clock on to `to` nanoseconds after its start; never back.
    pub fn advance_monotonic(&self, to: u64) {
        self.advance(self.start.saturating_add(to));
    }

    /// A look at the clock.
    pub fn read(&self) -> u64 {
        self.now.fetch_add(TICK_NS, Ordering::Relaxed) + TICK_NS
    }

    /// A look at the clock, in nanoseconds since its start.
    pub fn monotonic(&self) -> u64 {
        self.read().saturating_sub(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_by_looking_and_by_calls() {
        let clock = GuestClock::new(1_000_000);
        assert_eq!(clock.read(), 1_001_000);
        assert_eq!(clock.monotonic(), 2_000);
        clock.advance(5_000_000);
        clock.advance(1);
        assert_eq!(clock.read(), 5_001_000);
    }
}
