//! How a model at a provider does: how fast it begins to answer, how much it has to do, and
//! whether it is left alone for a while.
//!
//! After a refusal it rests as long as the provider asks for (`Retry-After`), else a moment. After
//! several failures in a row it rests long (a circuit breaker), and then one call tries whether it
//! is well again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::runtime::bindings::llm as wire;
use wire::ErrorKind;

/// How long it rests after a refusal that names no time.
const MOMENT: Duration = Duration::from_secs(1);

/// The longest rest that a provider can ask for.
const LONGEST: Duration = Duration::from_secs(300);

/// The share of a new latency in the mean.
const NEW: f64 = 0.3;

/// When the breaker opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Breaker {
    /// Failures in a row.
    pub(super) failures: u32,
    pub(super) rest: Duration,
}

/// How it does now.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// A moving mean of the time to the first piece, in milliseconds; 0 before the first.
    latency_ms: f64,
    open: u32,
    failures: u32,
    rests_until: Option<Instant>,
    /// The breaker is open; when the rest is over one call tries.
    is_broken: bool,
    is_tried: bool,
}

/// Whether it can be asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Standing {
    /// Yes; the lower the number, the sooner an answer is to be expected.
    Ready(f64),
    /// Not for so long.
    Rests(Duration),
}

/// A call under way; when it is dropped it is not.
pub(super) struct Call<'a> {
    health: &'a Health,
    began: Instant,
}

impl Health {
    pub(super) fn standing(&self, now: Instant) -> Standing {
        let state = self.lock();
        if let Some(rest) = state
            .rests_until
            .and_then(|until| until.checked_duration_since(now))
            && !rest.is_zero()
        {
            return Standing::Rests(rest);
        }
        if state.is_broken && state.is_tried {
            return Standing::Rests(MOMENT);
        }
        Standing::Ready(state.latency_ms.max(1.0) * f64::from(state.open + 1))
    }

    /// Whether the breaker is open.
    pub(super) fn is_broken(&self) -> bool {
        self.lock().is_broken
    }

    pub(super) fn begin(&self, now: Instant) -> Call<'_> {
        let mut state = self.lock();
        state.open += 1;
        state.is_tried = state.is_broken;
        Call {
            health: self,
            began: now,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call<'_> {
    /// The first piece is there.
    pub(super) fn answers(&self, now: Instant) {
        let ms = now.duration_since(self.began).as_secs_f64() * 1_000.0;
        let mut state = self.health.lock();
        state.latency_ms = match state.latency_ms {
            0.0 => ms,
            mean => mean + NEW * (ms - mean),
        };
    }

    /// It came out well.
    pub(super) fn succeeded(&self) {
        let mut state = self.health.lock();
        state.failures = 0;
        state.is_broken = false;
        state.rests_until = None;
    }

    /// It failed; what is wrong with the request says nothing of the model.
    pub(super) fn failed(&self, error: &wire::Error, breaker: Breaker, now: Instant) {
        if !rests_after(error.kind) {
            return;
        }
        let mut state = self.health.lock();
        let asked = error.retry_after_ms.map(Duration::from_millis);
        let mut rest = asked.map_or(MOMENT, |asked| asked.min(LONGEST));
        if error.kind != ErrorKind::RateLimited {
            state.failures = state.failures.saturating_add(1);
            if state.is_broken || state.failures >= breaker.failures {
                state.is_broken = true;
                rest = rest.max(breaker.rest);
            }
        }
        state.rests_until = state.rests_until.max(Some(now + rest));
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut state = self.health.lock();
        state.open = state.open.saturating_sub(1);
        state.is_tried = false;
    }
}

/// Whether a failure is one of the provider's that another call would meet, too.
fn rests_after(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::RateLimited
            | ErrorKind::Overloaded
            | ErrorKind::TimedOut
            | ErrorKind::Connection
            | ErrorKind::Upstream
            | ErrorKind::StreamInterrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::failure;

    const BREAKER: Breaker = Breaker {
        failures: 3,
        rest: Duration::from_secs(60),
    };

    fn fail(health: &Health, kind: ErrorKind, now: Instant) {
        health.begin(now).failed(&failure(kind, "no"), BREAKER, now);
    }

    fn rests(health: &Health, now: Instant) -> Duration {
        match health.standing(now) {
            Standing::Ready(_) => Duration::ZERO,
            Standing::Rests(rest) => rest,
        }
    }

    #[test]
    fn a_busy_and_slow_one_is_behind_an_idle_and_quick_one() {
        let (quick, slow, now) = (Health::default(), Health::default(), Instant::now());
        for (health, ms) in [(&quick, 10), (&slow, 100)] {
            let call = health.begin(now);
            call.answers(now + Duration::from_millis(ms));
            call.succeeded();
        }
        let score = |health: &Health| match health.standing(now) {
            Standing::Ready(score) => score,
            Standing::Rests(_) => f64::INFINITY,
        };
        assert!(score(&quick) < score(&slow));
        let calls: Vec<_> = (0..20).map(|_| quick.begin(now)).collect();
        assert!(score(&quick) > score(&slow));
        drop(calls);
        assert!(score(&quick) < score(&slow));
    }

    #[test]
    fn it_rests_as_long_as_the_provider_asks_for() {
        let (health, now) = (Health::default(), Instant::now());
        let asked = wire::Error {
            retry_after_ms: Some(20_000),
            ..failure(ErrorKind::RateLimited, "slow down")
        };
        health.begin(now).failed(&asked, BREAKER, now);
        assert_eq!(rests(&health, now), Duration::from_secs(20));
        assert_eq!(
            rests(&health, now + Duration::from_secs(20)),
            Duration::ZERO
        );
        let ages = wire::Error {
            retry_after_ms: Some(u64::MAX / 2),
            ..asked
        };
        let later = now + Duration::from_secs(30);
        health.begin(later).failed(&ages, BREAKER, later);
        assert_eq!(rests(&health, later), LONGEST);
        assert!(!health.is_broken(), "rate limits are no failures");
    }

    #[test]
    fn after_failures_in_a_row_one_call_tries() {
        let (health, now) = (Health::default(), Instant::now());
        for _ in 0..2 {
            fail(&health, ErrorKind::Upstream, now);
        }
        assert!(!health.is_broken());
        fail(&health, ErrorKind::Connection, now);
        assert!(health.is_broken());
        assert_eq!(rests(&health, now), BREAKER.rest);
        let later = now + BREAKER.rest;
        assert_eq!(rests(&health, later), Duration::ZERO);
        let trial = health.begin(later);
        assert!(rests(&health, later) > Duration::ZERO, "one is enough");
        trial.failed(&failure(ErrorKind::Upstream, "no"), BREAKER, later);
        drop(trial);
        assert_eq!(rests(&health, later), BREAKER.rest, "once is enough");
        let well = later + BREAKER.rest;
        health.begin(well).succeeded();
        assert!(!health.is_broken());
        fail(&health, ErrorKind::Upstream, well);
        assert!(!health.is_broken(), "it counts from the beginning");
    }

    #[test]
    fn a_request_that_is_wrong_says_nothing_of_the_model() {
        let (health, now) = (Health::default(), Instant::now());
        for _ in 0..10 {
            fail(&health, ErrorKind::InvalidRequest, now);
            fail(&health, ErrorKind::ContextLength, now);
        }
        assert_eq!(rests(&health, now), Duration::ZERO);
    }
}
