//! How much each source published lately: a count for each second of the last
//! minute. Sources that were silent for a minute are forgotten.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A second more than a minute, because the first may have been cut.
const SECONDS: usize = 61;

/// The counts of all sources.
pub(super) struct Rates {
    limit: u32,
    began: Instant,
    windows: Mutex<Windows>,
}

#[derive(Default)]
struct Windows {
    by_source: HashMap<(String, String), Window>,
    /// The second in which silent sources were last looked for.
    swept: u64,
}

/// What one source published, by second; `last` is the second of the latest.
struct Window {
    counts: [u32; SECONDS],
    last: u64,
}

impl Rates {
    /// At most `limit` events a minute from each source; 0 is no limit.
    pub(super) fn new(limit: u32) -> Self {
        Self {
            limit,
            began: Instant::now(),
            windows: Mutex::default(),
        }
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// Counts an event, or says after how many milliseconds there is room again.
    pub(super) fn take(&self, tenant: &str, source: &str) -> Result<(), u64> {
        let elapsed = self.began.elapsed().as_millis();
        self.take_at(tenant, source, u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    fn take_at(&self, tenant: &str, source: &str, now_ms: u64) -> Result<(), u64> {
        if self.limit == 0 {
            return Ok(());
        }
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let second = now_ms / 1_000;
        windows.forget_silent(second);
        let key = (tenant.to_owned(), source.to_owned());
        let window = windows.by_source.entry(key).or_insert(Window {
            counts: [0; SECONDS],
            last: second,
        });
        window.advance(second);
        if window.counts.iter().sum::<u32>() < self.limit {
            window.counts[slot(second)] += 1;
            return Ok(());
        }
        Err(window.room_at_ms().saturating_sub(now_ms).max(1))
    }
}

impl Windows {
    fn forget_silent(&mut self, second: u64) {
        if second < self.swept + SECONDS as u64 {
            return;
        }
        self.swept = second;
        self.by_source
            .retain(|_, window| second < window.last + SECONDS as u64);
    }
}

impl Window {
    /// Clears the seconds between the latest and this one.
    fn advance(&mut self, second: u64) {
        let passed = second.saturating_sub(self.last).min(SECONDS as u64);
        for back in 0..passed {
            self.counts[slot(second - back)] = 0;
        }
        self.last = second.max(self.last);
    }

    /// When the oldest count leaves.
    fn room_at_ms(&self) -> u64 {
        let first = (self.last + 1).saturating_sub(SECONDS as u64);
        let oldest = (first..=self.last).find(|second| self.counts[slot(*second)] > 0);
        (oldest.unwrap_or(self.last) + SECONDS as u64) * 1_000
    }
}

fn slot(second: u64) -> usize {
    usize::try_from(second % SECONDS as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_has_more_than_the_limit() {
        let rates = Rates::new(3);
        let take = |at| rates.take_at("default", "agent:a", at);
        for at in [100, 900, 1_500] {
            assert_eq!(take(at), Ok(()));
        }
        assert_eq!(take(2_000), Err(59_000));
        assert_eq!(take(60_999), Err(1));
        assert_eq!((take(61_000), take(61_000)), (Ok(()), Ok(())));
        assert_eq!(take(61_000), Err(1_000));
        assert_eq!(take(200_000), Ok(()));
    }

    #[test]
    fn sources_do_not_count_for_each_other_and_none_is_no_limit() {
        let rates = Rates::new(1);
        assert_eq!(rates.take_at("default", "agent:a", 0), Ok(()));
        assert_eq!(rates.take_at("default", "agent:b", 0), Ok(()));
        assert_eq!(rates.take_at("other", "agent:a", 0), Ok(()));
        assert!(rates.take_at("default", "agent:a", 0).is_err());
        let unlimited = Rates::new(0);
        assert!((0..100).all(|_| unlimited.take_at("default", "a", 0).is_ok()));
    }

    #[test]
    fn silent_sources_are_forgotten() {
        let rates = Rates::new(1);
        for number in 0..500 {
            rates
                .take_at("default", &format!("agent:{number}"), 0)
                .unwrap();
        }
        rates.take_at("default", "agent:late", 61_000).unwrap();
        assert_eq!(rates.windows.lock().unwrap().by_source.len(), 1);
    }
}
