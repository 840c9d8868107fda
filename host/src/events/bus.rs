//! The bus: how much each source may publish, and who is woken by it.

use anyhow::Result;
use tokio::sync::{Notify, watch};

use super::Unpublishable;
use super::rate::Rates;
use crate::config;
use crate::store::{Durability, NewEvent, Store};

/// Takes events in and wakes whoever waits for them.
pub struct Bus {
    published: Notify,
    scheduled: Notify,
    news: watch::Sender<()>,
    rates: Rates,
    max_hops: u32,
}

impl Bus {
    /// A bus with these limits.
    pub fn new(config: &config::Events) -> Self {
        Self {
            published: Notify::new(),
            scheduled: Notify::new(),
            news: watch::Sender::new(()),
            rates: Rates::new(config.per_source_per_minute),
            max_hops: config.max_hops,
        }
    }

    /// Something was published or may be due.
    pub fn wake(&self) {
        self.published.notify_one();
        self.news.send_replace(());
    }

    /// A schedule was set or removed.
    pub fn wake_schedules(&self) {
        self.scheduled.notify_one();
    }

    /// Changes whenever something may have been published.
    pub fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Whether an event may come after so many others.
    ///
    /// # Errors
    ///
    /// If these are more than `[events] max_hops`.
    pub fn check_hops(&self, hops: u32) -> Result<(), Unpublishable> {
        if hops <= self.max_hops {
            return Ok(());
        }
        metrics::counter!("anchorhold_events_refused_total", "why" => "hops").increment(1);
        Err(Unpublishable::TooFar {
            max_hops: self.max_hops,
        })
    }

    /// Whether this event may be published now; it counts from then on.
    ///
    /// # Errors
    ///
    /// If too many others led to it, or its source has published too much.
    pub fn admit(&self, event: &NewEvent) -> Result<(), Unpublishable> {
        self.check_hops(event.hops)?;
        let taken = self.rates.take(&event.tenant, &event.source);
        taken.map_err(|retry_after_ms| {
            metrics::counter!("anchorhold_events_refused_total", "why" => "rate").increment(1);
            Unpublishable::TooMany {
                publisher: event.source.clone(),
                limit: self.rates.limit(),
                retry_after_ms,
            }
        })
    }

    /// Stores an event and delivers it; answers to how many agents it goes.
    ///
    /// # Errors
    ///
    /// If the store fails; nothing is published then.
    pub async fn publish(&self, store: &Store, event: NewEvent) -> Result<usize> {
        let subscribers = store.publish(event, Durability::Synced).await?;
        self.wake();
        Ok(subscribers)
    }

    pub(super) async fn published(&self) {
        self.published.notified().await;
    }

    pub(super) async fn scheduled(&self) {
        self.scheduled.notified().await;
    }
}
