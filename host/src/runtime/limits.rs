//! Limits of a running guest: memory and tables by wasmtime's limiter, deadline
//! and cancellation at its fuel yields.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use wasmtime::ResourceLimiter;

use super::failure::{Failure, FailureCode};

/// Counts the memory and tables of a store.
#[derive(Debug)]
pub(super) struct Limiter {
    memory_limit: usize,
    table_limit: usize,
    memory: usize,
    tables: usize,
    pub(super) memory_peak: usize,
    pub(super) memory_refused: bool,
    pub(super) table_refused: bool,
}

impl Limiter {
    pub(super) fn new(memory_bytes: u64, table_elements: u64) -> Self {
        Self {
            memory_limit: usize::try_from(memory_bytes).unwrap_or(usize::MAX),
            table_limit: usize::try_from(table_elements).unwrap_or(usize::MAX),
            memory: 0,
            tables: 0,
            memory_peak: 0,
            memory_refused: false,
            table_refused: false,
        }
    }
}

/// The sum after one of many grows, if it stays within the limit.
fn grown(total: usize, current: usize, desired: usize, limit: usize) -> Option<usize> {
    let sum = total.checked_sub(current)?.checked_add(desired)?;
    (sum <= limit).then_some(sum)
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        match grown(self.memory, current, desired, self.memory_limit) {
            Some(sum) => {
                self.memory = sum;
                self.memory_peak = self.memory_peak.max(sum);
                Ok(true)
            }
            None => {
                self.memory_refused = true;
                Ok(false)
            }
        }
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        match grown(self.tables, current, desired, self.table_limit) {
            Some(sum) => {
                self.tables = sum;
                Ok(true)
            }
            None => {
                self.table_refused = true;
                Ok(false)
            }
        }
    }

    fn instances(&self) -> usize {
        256
    }

    fn tables(&self) -> usize {
        64
    }

    fn memories(&self) -> usize {
        16
    }
}

/// Stops a turn from outside.
#[derive(Debug, Clone, Default)]
pub struct KillSwitch(Arc<Switch>);

#[derive(Debug, Default)]
struct Switch {
    pulled: AtomicBool,
    waiting: Notify,
}

impl KillSwitch {
    /// Stops the turn: at its next fuel yield if it computes, at once if it
    /// waits.
    pub fn pull(&self) {
        self.0.pulled.store(true, Ordering::Release);
        self.0.waiting.notify_waiters();
    }

    /// Whether it was pulled.
    pub fn is_pulled(&self) -> bool {
        self.0.pulled.load(Ordering::Acquire)
    }
}

/// When a turn must have ended. Time in which it waits for somebody is added.
#[derive(Debug, Clone)]
pub struct Deadline(Arc<Mutex<Instant>>);

impl Deadline {
    /// A deadline after so many milliseconds.
    pub fn after_ms(ms: u64) -> Self {
        // A hundred years are as good as for ever, and no overflow.
        let ms = ms.min(100 * 365 * 86_400_000);
        Self(Arc::new(Mutex::new(
            Instant::now() + Duration::from_millis(ms),
        )))
    }

    /// Moves it on.
    pub fn extend(&self, by: Duration) {
        *self.lock() += by;
    }

    /// Takes back what was added and not needed.
    pub fn shorten(&self, by: Duration) {
        *self.lock() -= by;
    }

    fn get(&self) -> Instant {
        *self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `work` until it ends, its deadline passes or it is cancelled. The
/// deadline is checked at every poll as well as by a timer, because a guest that
/// computes is polled at each fuel yield and timers may be late on its thread.
///
/// # Errors
///
/// `deadline` or `cancelled`.
pub async fn within<T>(
    work: impl Future<Output = T>,
    deadline: &Deadline,
    kill: &KillSwitch,
) -> Result<T, Failure> {
    let mut work = pin!(work);
    let mut timer = pin!(tokio::time::sleep_until(deadline.get().into()));
    let mut killed = pin!(kill.0.waiting.notified());
    killed.as_mut().enable();
    poll_fn(|context| {
        if kill.is_pulled() || killed.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(Failure::new(
                FailureCode::Cancelled,
                "The turn was cancelled.",
            )));
        }
        while timer.as_mut().poll(context).is_ready() && Instant::now() < deadline.get() {
            timer.as_mut().reset(deadline.get().into());
        }
        if Instant::now() >= deadline.get() {
            return Poll::Ready(Err(Failure::new(
                FailureCode::Deadline,
                "The agent took longer than it may.",
            )));
        }
        work.as_mut().poll(context).map(Ok)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_count_together() {
        let mut limiter = Limiter::new(100, 10);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(!limiter.memory_growing(0, 41, None).unwrap());
        assert!(limiter.memory_refused);
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert!(!limiter.memory_growing(60, 61, None).unwrap());
        assert_eq!(limiter.memory_peak, 100);
    }

    #[tokio::test]
    async fn a_pulled_switch_ends_a_wait() {
        let kill = KillSwitch::default();
        let far = Deadline::after_ms(3_600_000);
        let wait = within(std::future::pending::<()>(), &far, &kill);
        let pull = async { kill.pull() };
        let (outcome, ()) = tokio::join!(wait, pull);
        assert_eq!(outcome.unwrap_err().code, FailureCode::Cancelled);
    }

    #[tokio::test]
    async fn a_deadline_that_passed_ends_work_that_is_always_ready() {
        let now = Deadline::after_ms(0);
        let outcome = within(async { 1 }, &now, &KillSwitch::default()).await;
        assert_eq!(outcome.unwrap_err().code, FailureCode::Deadline);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moves_on_is_waited_for() {
        let deadline = Deadline::after_ms(1_000);
        let work = async {
            deadline.extend(Duration::from_secs(60));
            tokio::time::sleep(Duration::from_secs(2)).await;
        };
        let outcome = within(work, &deadline, &KillSwitch::default()).await;
        outcome.unwrap();
    }
}
