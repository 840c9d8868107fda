//! Persistence: one SQLite database in the data folder, one writer with group
//! commit, some readers.
//!
//! SQL lives here and in `capability/database` only; each file below is a
//! resource, its statements beside the functions that use them.

mod agents;
mod budgets;
mod components;
mod conversations;
mod deliveries;
mod events;
mod feedback;
mod journal;
mod lock;
mod outbox;
mod plugin_files;
mod redelivery;
mod response_cache;
mod retention;
mod schedules;
mod slack;
mod sql;
mod state;
#[cfg(test)]
pub(crate) mod testing;
mod tokens;
mod turns;
mod usage;
mod waits;
mod writer;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rusqlite::Connection;
use rusqlite::types::Value;

pub use agents::{
    AgentRow, AgentVersion, AnsweringAgent, NewVersion, Origin, Overrides, VersionRow, VersionSpec,
};
pub use budgets::{
    Account, BudgetLimits, BudgetRow, Estimate, Exceeded, Reservation, Resource, Span,
};
pub use components::ComponentRow;
pub use conversations::{FIRST_POSITION, StoredMessage};
pub use deliveries::Delivery;
pub use events::{NewEvent, StoredEvent};
pub use feedback::{Feedback, FeedbackFilter, NewFeedback, Rating};
pub use journal::{Begin, JournalEntry, JournalPart, JournalStatus, LogLine};
pub use outbox::{Attempt, Outgoing, OutgoingStatus};
pub use plugin_files::PluginFile;
pub use redelivery::{Redelivered, Redelivery};
pub use response_cache::NewCachedResponse;
pub use retention::BATCH as RETENTION_BATCH;
pub use schedules::{NewSchedule, Recorded, ScheduleRow};
pub use slack::{SlackDelivery, SlackInstall, SlackItem, SlackKind, SlackPost, SlackPostState};
pub use state::{StateChange, StateScope, StateValue};
pub use tokens::{Scope, TokenRow};
pub use turns::{
    Accepted, Corrected, DeliveryKey, FinishedTurn, Idempotency, NewMessage, NewTurn, Parent,
    TurnFilter, TurnKind, TurnRow, TurnStatus, TurnSummary,
};
pub use usage::{UsageBy, UsageFilter, UsageGroup, UsageRow, UsageStatus};
pub use waits::{NewWait, Taker, WaitKind, WaitRow, Woken};
pub use writer::Durability;

use lock::FolderLock;
use sql::{FromRow, Readers, Sql};
use writer::Writer;

/// The tenant of everything until tokens and installs name others.
pub const DEFAULT_TENANT: &str = "default";

/// Everything that is kept. Cheap to share behind an `Arc`.
pub struct Store {
    readers: Readers,
    writer: Writer,
    data_dir: PathBuf,
    _lock: FolderLock,
}

impl Store {
    /// Opens the data folder, creating it and migrating its database.
    ///
    /// # Errors
    ///
    /// If the folder cannot be written, another host holds it, or the database
    /// was written by a newer version.
    pub fn open(data_dir: &Path, readers: u32) -> Result<Self> {
        std::fs::create_dir_all(data_dir).with_context(|| {
            format!(
                "cannot create the data folder {}; set [storage] data_dir to one that can be written",
                data_dir.display()
            )
        })?;
        let lock = FolderLock::take(data_dir)?;
        let path = data_dir.join("anchorhold.db");
        let mut db = sql::open(&path)?;
        sql::migrate(&mut db)?;
        budgets::settle_abandoned(&db, i64::MAX)?;
        let writer = Writer::start(db, &path)?;
        Ok(Self {
            readers: Readers::open(&path, readers)?,
            writer,
            data_dir: data_dir.to_owned(),
            _lock: lock,
        })
    }

    /// The folder that everything is kept in.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Runs `operation` in a transaction of the one writer; returns when it is
    /// as durable as asked. Operations that wait together are committed
    /// together. `operation` may run a second time, on a clean transaction, if
    /// another one of its group failed.
    async fn write<R, F>(&self, durability: Durability, operation: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnMut(&Connection) -> Result<R> + Send + 'static,
    {
        self.writer.write(durability, operation, |_| ()).await
    }

    /// As `write`; `committed` runs right after the commit, in the order of
    /// the operations, before anybody is told.
    async fn write_then<R, F, C>(
        &self,
        durability: Durability,
        operation: F,
        committed: C,
    ) -> Result<R>
    where
        R: Send + 'static,
        F: FnMut(&Connection) -> Result<R> + Send + 'static,
        C: FnOnce(&R) + Send + 'static,
    {
        self.writer.write(durability, operation, committed).await
    }

    /// The first row of a statement that reads.
    async fn one<T: FromRow + Send + 'static>(
        &self,
        sql: impl Into<Sql>,
        values: Vec<rusqlite::Result<Value>>,
    ) -> Result<Option<T>> {
        let sql = sql.into();
        self.readers
            .read(move |db| sql::one(db, &sql, sql::bound(values)?))
            .await
    }

    /// All rows of a statement that reads.
    async fn all<T: FromRow + Send + 'static>(
        &self,
        sql: impl Into<Sql>,
        values: Vec<rusqlite::Result<Value>>,
    ) -> Result<Vec<T>> {
        let sql = sql.into();
        self.readers
            .read(move |db| sql::all(db, &sql, sql::bound(values)?))
            .await
    }

    /// Waits until everything that can be read is synced. Whoever tells
    /// somebody outside what he read, and has no other reason to know that it
    /// is durable, waits for this first.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub async fn settle(&self) -> Result<()> {
        self.writer.settle().await
    }

    /// Whether the database answers and takes writes, and has not failed one a
    /// moment ago: the write that is tried here is small.
    ///
    /// # Errors
    ///
    /// Why it does not.
    pub async fn check(&self) -> Result<()> {
        self.writer.check()?;
        self.write(Durability::Written, |db: &Connection| {
            // A real write, so that a full disk is noticed.
            let sql = "UPDATE tenants SET created_at = created_at WHERE id = ?1";
            sql::execute(db, sql, [DEFAULT_TENANT])?;
            Ok(())
        })
        .await
    }

    /// Waits for what is being written and closes the database.
    pub async fn close(&self) {
        self.writer.close().await;
        self.readers.close();
    }
}
