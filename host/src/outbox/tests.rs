//! Limits of deliveries and their times, with a courier and a clock that tests
//! set.

use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::FutureExt;
use tokio::sync::{Semaphore, mpsc};

use super::*;
use crate::store::testing::{accept, finished, new_turn, open};
use crate::store::{DEFAULT_TENANT, FinishedTurn, OutgoingStatus};

const HOUR_MS: i64 = 3_600_000;

/// Answers one delivery for each permit, all in the same way.
struct Fake {
    answer: fn() -> Result<(), Undelivered>,
    permits: Arc<Semaphore>,
    came: mpsc::UnboundedSender<String>,
}

impl Courier for Fake {
    fn channel(&self) -> &'static str {
        "http"
    }

    fn deliver<'a>(&'a self, outgoing: &'a Outgoing) -> BoxFuture<'a, Result<(), Undelivered>> {
        async move {
            self.came.send(outgoing.turn.clone()).unwrap();
            self.permits.acquire().await.unwrap().forget();
            (self.answer)()
        }
        .boxed()
    }
}

/// An outbox, and what its courier was given.
struct Place {
    outbox: Arc<Outbox<Fake>>,
    permits: Arc<Semaphore>,
    came: mpsc::UnboundedReceiver<String>,
    _folder: tempfile::TempDir,
}

impl Place {
    /// With the answers of these turns to deliver.
    async fn with(
        turns: &[&str],
        config: config::Outbox,
        answer: fn() -> Result<(), Undelivered>,
        now: fn() -> i64,
    ) -> Self {
        let (folder, store) = open();
        for turn in turns {
            accept(&store, new_turn(turn)).await;
            let end = FinishedTurn {
                callback: Some("https://example.com".to_owned()),
                ..finished(turn)
            };
            store.finish_turn(Arc::new(end)).await.unwrap();
        }
        let (sender, came) = mpsc::unbounded_channel();
        let permits = Arc::new(Semaphore::new(0));
        let courier = Fake {
            answer,
            permits: Arc::clone(&permits),
            came: sender,
        };
        let outbox = Outbox::new(Arc::new(store), courier, config, &Doorbell::default(), now);
        Self {
            outbox,
            permits,
            came,
            _folder: folder,
        }
    }

    /// Starts what is due and answers for one delivery.
    async fn deliver_one(&mut self) -> String {
        self.outbox.start_due().await.unwrap();
        let turn = self.came.recv().await.unwrap();
        self.permits.add_permits(1);
        self.outbox.finished.notified().await;
        turn
    }

    /// Looks for what is due where nothing is to be started.
    async fn starts_nothing(&mut self) -> bool {
        let wait = self.outbox.start_due().await.unwrap();
        wait <= LONGEST_WAIT && self.outbox.under_way().is_empty()
    }

    /// How many have this status, and after how many failures.
    async fn settled(&self, status: OutgoingStatus) -> Vec<i64> {
        let store = &self.outbox.store;
        let rows = store.outgoing(DEFAULT_TENANT, Some(status), 0, 9).await;
        rows.unwrap().into_iter().map(|row| row.attempts).collect()
    }
}

fn later() -> Result<(), Undelivered> {
    Err(Undelivered::Later {
        error: "not now".to_owned(),
        after: None,
    })
}

fn config() -> config::Outbox {
    config::Outbox {
        backoff_ms: 0,
        ..config::Outbox::default()
    }
}

#[tokio::test]
async fn an_answer_is_tried_max_attempts_times() {
    let config = config::Outbox {
        max_attempts: 3,
        ..config()
    };
    let mut place = Place::with(&["t"], config, later, || HOUR_MS).await;
    for _ in 0..3 {
        assert_eq!(place.settled(OutgoingStatus::Dead).await, Vec::<i64>::new());
        place.deliver_one().await;
    }
    assert_eq!(place.settled(OutgoingStatus::Dead).await, [3]);
    assert!(place.starts_nothing().await);
}

#[tokio::test]
async fn so_many_deliveries_run_at_once_as_may() {
    let config = config::Outbox {
        concurrent: 2,
        ..config()
    };
    let mut place = Place::with(&["a", "b", "c"], config, || Ok(()), || HOUR_MS).await;
    for expected in ["a", "b"] {
        place.outbox.start_due().await.unwrap();
        assert_eq!(place.came.recv().await.unwrap(), expected);
    }
    place.outbox.start_due().await.unwrap();
    assert_eq!(place.outbox.under_way().len(), 2);
    place.permits.add_permits(1);
    place.outbox.finished.notified().await;
    place.outbox.start_due().await.unwrap();
    assert_eq!(place.came.recv().await.unwrap(), "c");
    assert_eq!(place.outbox.under_way().len(), 2);
}

#[tokio::test]
async fn a_clock_that_is_set_loses_no_answer_and_delivers_none_twice() {
    static NOW: AtomicI64 = AtomicI64::new(100 * HOUR_MS);
    static FAILS: AtomicI64 = AtomicI64::new(1);
    let answer = || match FAILS.fetch_sub(1, Ordering::Relaxed) {
        1.. => later(),
        _ => Ok(()),
    };
    let config = config::Outbox {
        backoff_ms: 60_000,
        ..config()
    };
    let now = || NOW.load(Ordering::Relaxed);
    let mut place = Place::with(&["t"], config, answer, now).await;
    assert_eq!(place.deliver_one().await, "t");
    // Its time has not come, and has not when the clock goes back.
    assert!(place.starts_nothing().await);
    NOW.store(HOUR_MS, Ordering::Relaxed);
    assert!(place.starts_nothing().await);
    NOW.store(1_000 * HOUR_MS, Ordering::Relaxed);
    assert_eq!(place.deliver_one().await, "t");
    for hour in [1, 100, 2_000] {
        NOW.store(hour * HOUR_MS, Ordering::Relaxed);
        assert!(place.starts_nothing().await);
    }
    assert_eq!(place.settled(OutgoingStatus::Delivered).await, [1]);
    assert!(place.came.try_recv().is_err());
}
