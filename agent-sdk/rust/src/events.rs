//! The event bus: publishing, and reading what was received.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Result;
pub use crate::bindings::imports::anchorhold::agent::events::{
    CronTime, Event, Publication, ScheduleTime,
};
use crate::window::events as host;

/// Publishes `data` on `topic` and answers the id of the event.
pub fn publish(topic: &str, data: &impl Serialize) -> Result<String> {
    Publication::new(topic, data)?.publish()
}

/// Waits until a time, in milliseconds since 1970; longer than a moment costs nothing.
pub fn sleep_until(at_ms: u64) -> Result<()> {
    host::sleep_until(at_ms)
}

/// Removes a schedule; answers whether there was one.
pub fn unschedule(name: &str) -> Result<bool> {
    host::unschedule(name)
}

impl ScheduleTime {
    /// By a cron expression of five fields, in UTC: `0 9 * * 1-5`.
    pub fn cron(expression: impl Into<String>) -> Self {
        Self::Cron(CronTime {
            expression: expression.into(),
            time_zone: None,
        })
    }

    /// The same in a time zone: `Europe/Berlin`.
    pub fn cron_in(time_zone: impl Into<String>, expression: impl Into<String>) -> Self {
        Self::Cron(CronTime {
            expression: expression.into(),
            time_zone: Some(time_zone.into()),
        })
    }
}

impl Publication {
    /// An event of ordinary priority, delivered at once.
    pub fn new(topic: impl Into<String>, data: &impl Serialize) -> Result<Self> {
        Ok(Self {
            topic: topic.into(),
            data_json: serde_json::to_string(data)?,
            ordering_key: None,
            correlation: None,
            priority: None,
            deliver_at_ms: None,
            ttl_ms: None,
        })
    }

    /// Events of one key arrive in order.
    pub fn ordering_key(mut self, key: impl Into<String>) -> Self {
        self.ordering_key = Some(key.into());
        self
    }

    /// Passed on unchanged, to find what belongs together.
    pub fn correlation(mut self, correlation: impl Into<String>) -> Self {
        self.correlation = Some(correlation.into());
        self
    }

    /// Stores the event for its subscribers and answers its id.
    pub fn publish(&self) -> Result<String> {
        host::publish(self)
    }

    /// Publishes it later, again and again or once. A schedule of the same name
    /// is replaced.
    pub fn schedule(&self, name: &str, when: &ScheduleTime) -> Result<()> {
        host::schedule(name, when, self)
    }
}

impl Event {
    /// The data as a type.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(serde_json::from_str(&self.data_json)?)
    }
}
