//! Persistence: one SQLite database in the data folder, one writer with group
//! commit, some readers.
//!
//! SQL lives here and in `capability/database` only; each file below is a
//! resource, its statements beside the functions that use them.

mod agents;
mod components;
mod conversations;
mod events;
mod journal;
mod lock;
mod plugin_files;
mod state;
mod tokens;
mod turns;
mod usage;
mod writer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::SqlitePool;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};

pub use agents::{AgentRow, AgentVersion, NewVersion, Origin, Overrides, VersionRow, VersionSpec};
pub use components::ComponentRow;
pub use conversations::StoredMessage;
pub use events::{Delivery, NewEvent, StoredEvent};
pub use journal::{JournalEntry, JournalStatus, LogLine};
pub use plugin_files::PluginFile;
pub use state::{StateChange, StateScope, StateValue};
pub use tokens::{Scope, TokenRow};
pub use turns::{
    Accepted, FinishedTurn, Idempotency, NewMessage, NewTurn, TurnFilter, TurnKind, TurnRow,
    TurnStatus,
};
pub use usage::{UsageGroup, UsageRow};
pub use writer::Durability;

use lock::FolderLock;
use writer::Writer;

/// The tenant of everything until tokens and installs name others.
pub const DEFAULT_TENANT: &str = "default";

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// Everything that is kept. Cheap to share behind an `Arc`.
pub struct Store {
    reader: SqlitePool,
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
    pub async fn open(data_dir: &Path, readers: u32) -> Result<Self> {
        std::fs::create_dir_all(data_dir).with_context(|| {
            format!(
                "cannot create the data folder {}; set [storage] data_dir to one that can be written",
                data_dir.display()
            )
        })?;
        let lock = FolderLock::take(data_dir)?;
        let options = connect_options(&data_dir.join("anchorhold.db"));
        migrate(&options).await?;
        let writer = Writer::start(&options).await?;
        let reader = SqlitePoolOptions::new()
            .min_connections(1)
            .max_connections(readers.max(1))
            .connect_with(options.read_only(true).create_if_missing(false))
            .await
            .context("cannot open the database for reading")?;
        Ok(Self {
            reader,
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
        F: AsyncFnMut(&mut SqliteConnection) -> Result<R> + Send + 'static,
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
        F: AsyncFnMut(&mut SqliteConnection) -> Result<R> + Send + 'static,
        C: FnOnce(&R) + Send + 'static,
    {
        self.writer.write(durability, operation, committed).await
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

    /// Whether the database answers and takes writes.
    pub async fn check(&self) -> Result<()> {
        self.write(Durability::Written, async |db| {
            // A real write, so that a full disk is noticed.
            sqlx::query("UPDATE tenants SET created_at = created_at WHERE id = $1")
                .bind(DEFAULT_TENANT)
                .execute(&mut *db)
                .await?;
            Ok(())
        })
        .await
    }

    /// Waits for what is being written and closes the database.
    pub async fn close(&self) {
        self.writer.close().await;
        self.reader.close().await;
    }
}

fn connect_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // The writer itself syncs what must be synced.
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_secs(10))
        .pragma("temp_store", "memory")
        .pragma("cache_size", "-32000")
        .statement_cache_capacity(200)
}

async fn migrate(options: &SqliteConnectOptions) -> Result<()> {
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options.clone())
        .await
        .context("cannot open the database; the data folder must be writable")?;
    MIGRATIONS
        .run(&pool)
        .await
        .context("cannot migrate the database; was it written by a newer anchorhold?")?;
    pool.close().await;
    Ok(())
}
