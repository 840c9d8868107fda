//! The outbox: delivers answers that do not go back by the request that asked.
//! An answer is stored with the end of its turn and leaves in order within its
//! conversation, again and later when that fails. What cannot be delivered is
//! kept and can be tried again by hand.
//!
//! It knows no channel: each runs one with a [`Courier`] of its own.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::config;
use crate::store::{Attempt, Outgoing, Store};

/// How long to wait at most before looking again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long to wait after the store failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Brings answers to where they go.
pub trait Courier: Send + Sync + 'static {
    /// The channel whose answers it brings.
    fn channel(&self) -> &'static str;

    /// Tries to deliver an answer once. The turn's id tells a second attempt
    /// from a second answer.
    fn deliver<'a>(&'a self, outgoing: &'a Outgoing) -> BoxFuture<'a, Result<(), Undelivered>>;
}

/// Why an answer was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undelivered {
    /// It may be delivered later: not sooner than after so long, if the other
    /// side says so.
    Later {
        error: String,
        after: Option<Duration>,
    },
    /// It will not be delivered however often it is tried.
    Never(String),
}

/// Says that there may be something to deliver.
#[derive(Debug)]
pub struct Doorbell(watch::Sender<()>);

impl Default for Doorbell {
    fn default() -> Self {
        Self(watch::Sender::new(()))
    }
}

impl Doorbell {
    /// Something was stored that is to be delivered.
    pub fn ring(&self) {
        self.0.send_replace(());
    }
}

/// Delivers the answers of one channel.
pub struct Outbox<C> {
    store: Arc<Store>,
    courier: C,
    config: config::Outbox,
    doorbell: watch::Receiver<()>,
    /// A delivery has finished, so that there may be room for another.
    finished: Notify,
    now: fn() -> i64,
    /// Positions of deliveries under way.
    under_way: Mutex<HashSet<i64>>,
}

impl<C: Courier> Outbox<C> {
    /// An outbox that looks when `doorbell` rings, or `now` says that it is time:
    /// milliseconds since 1970.
    pub fn new(
        store: Arc<Store>,
        courier: C,
        config: config::Outbox,
        doorbell: &Doorbell,
        now: fn() -> i64,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            courier,
            config,
            doorbell: doorbell.0.subscribe(),
            finished: Notify::new(),
            now,
            under_way: Mutex::default(),
        })
    }

    /// Delivers until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut doorbell = self.doorbell.clone();
        loop {
            let wait = match self.start_due().await {
                Ok(wait) => wait,
                Err(error) => {
                    error!(error = %format!("{error:#}"), "answers that are due cannot be read");
                    AFTER_FAILURE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                _ = doorbell.changed() => {}
                () = self.finished.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Starts what is due; answers how long to wait for more.
    async fn start_due(self: &Arc<Self>) -> Result<Duration> {
        let busy = self.under_way().len();
        let free = self.config.concurrent.saturating_sub(busy);
        if free == 0 {
            return Ok(LONGEST_WAIT);
        }
        let (channel, now) = (self.courier.channel(), (self.now)());
        // What is under way is due as well, so it is asked for besides.
        let limit = u32::try_from(free + busy).unwrap_or(u32::MAX);
        for outgoing in self.store.due_outgoing(channel, now, limit).await? {
            if self.under_way().insert(outgoing.position) {
                tokio::spawn(Arc::clone(self).deliver(outgoing));
            }
        }
        let next = self.store.next_outgoing_at(channel, now).await?;
        let wait = next.map_or(LONGEST_WAIT, |at| {
            Duration::from_millis(at.saturating_sub((self.now)()).max(0).unsigned_abs())
        });
        Ok(wait.min(LONGEST_WAIT))
    }

    async fn deliver(self: Arc<Self>, outgoing: Outgoing) {
        let attempt = match self.courier.deliver(&outgoing).await {
            Ok(()) => Attempt::Delivered,
            Err(undelivered) => self.failed(&outgoing, undelivered),
        };
        count(&attempt);
        while let Err(error) = self
            .store
            .settle_outgoing(outgoing.position, attempt.clone())
            .await
        {
            // Not forgotten: what was delivered must not be delivered again.
            error!(turn = outgoing.turn, error = %format!("{error:#}"), "a delivery cannot be recorded; trying again");
            tokio::time::sleep(AFTER_FAILURE).await;
        }
        self.under_way().remove(&outgoing.position);
        self.finished.notify_one();
    }

    /// What comes after a failure: another attempt, later each time, or none.
    fn failed(&self, outgoing: &Outgoing, undelivered: Undelivered) -> Attempt {
        let attempts = u32::try_from(outgoing.attempts + 1).unwrap_or(u32::MAX);
        let (error, after) = match undelivered {
            Undelivered::Never(error) => return dead(outgoing, error),
            Undelivered::Later { error, .. } if attempts >= self.config.max_attempts => {
                return dead(outgoing, error);
            }
            Undelivered::Later { error, after } => (error, after.unwrap_or_default()),
        };
        let wait = jittered(self.backoff(attempts)).max(after);
        let ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        let at = (self.now)().saturating_add(ms);
        Attempt::Again { at, error }
    }

    fn backoff(&self, attempts: u32) -> Duration {
        let factor = 1u64.checked_shl(attempts - 1).unwrap_or(u64::MAX);
        let ms = self.config.backoff_ms.saturating_mul(factor);
        Duration::from_millis(ms.min(self.config.max_backoff_ms))
    }

    fn under_way(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn dead(outgoing: &Outgoing, error: String) -> Attempt {
    warn!(
        turn = outgoing.turn,
        error, "an answer is a dead letter now"
    );
    Attempt::Dead { error }
}

/// Up to a quarter longer or shorter, so that what failed together does not
/// come back together.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::random_range(0.75..=1.25))
}

fn count(attempt: &Attempt) {
    let outcome = match attempt {
        Attempt::Delivered => "delivered",
        Attempt::Again { .. } => "again",
        Attempt::Dead { .. } => "dead",
    };
    metrics::counter!("anchorhold_deliveries_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests;
