//! The open databases of all agents: a few at a time, each used by one call at
//! a time, on threads that may block.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use tokio::sync::{OwnedMutexGuard, Semaphore};

use super::applied::{self, Call};
use super::errors::{self, internal, invalid};
use super::open::Open;
use super::statement::Session;
use super::watch::{Cancelled, Watch};
use crate::config::DatabaseLimits;
use crate::runtime::bindings::database::{Outcome, RowSet, Statement, Value};
use crate::runtime::bindings::types::Error;

/// Statements that run at the same time, in all databases together.
const RUNNING: usize = 32;

/// The most statements of one batch.
const BATCH: usize = 1_000;

/// Whose database it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    pub tenant: String,
    pub agent: String,
}

/// A place for one database; empty until its first call.
type Slot = Arc<tokio::sync::Mutex<Option<Open>>>;

/// Agents' own databases, one file for each.
pub struct Databases {
    folder: PathBuf,
    max_open: usize,
    slots: Mutex<LruCache<Owner, Slot>>,
    running: Arc<Semaphore>,
}

impl Databases {
    /// Databases in `folder`, of which about `max_open` stay open. One that is
    /// in use is never closed.
    pub fn new(folder: PathBuf, max_open: usize) -> Self {
        Self {
            folder,
            max_open: max_open.max(1),
            slots: Mutex::new(LruCache::unbounded()),
            running: Arc::new(Semaphore::new(RUNNING)),
        }
    }

    /// One statement that reads.
    ///
    /// # Errors
    ///
    /// As wit/database.wit says; docs/reference/capabilities.md has the list.
    pub async fn query(
        &self,
        of: &Owner,
        limits: &DatabaseLimits,
        sql: String,
        params: Vec<Value>,
    ) -> Result<RowSet, Error> {
        self.run(of, limits, move |session| session.query(&sql, &params))
            .await
    }

    /// One statement that writes, in a transaction of its own, once for each
    /// `call`.
    ///
    /// # Errors
    ///
    /// As `query`; `internal` that begins with "diverged" if the same call was
    /// made before with other arguments.
    pub async fn execute(
        &self,
        of: &Owner,
        limits: &DatabaseLimits,
        call: Call,
        statement: Statement,
    ) -> Result<Outcome, Error> {
        self.batch(of, limits, call, vec![statement])
            .await?
            .pop()
            .ok_or_else(|| internal("a statement left no outcome"))
    }

    /// Statements that write, all or none, once for each `call`.
    ///
    /// # Errors
    ///
    /// As `execute`; the first statement that fails ends the batch.
    pub async fn batch(
        &self,
        of: &Owner,
        limits: &DatabaseLimits,
        call: Call,
        statements: Vec<Statement>,
    ) -> Result<Vec<Outcome>, Error> {
        if !(1..=BATCH).contains(&statements.len()) {
            return Err(invalid(format!("a batch has 1 to {BATCH} statements")));
        }
        self.run(of, limits, move |session| {
            applied::apply(session, &call, &statements)
        })
        .await
    }

    /// Syncs to disk what was written. Commits survive the end of the process
    /// as they are; after this they survive the end of the machine too.
    ///
    /// # Errors
    ///
    /// `unavailable` if the disk fails.
    pub async fn sync(&self, of: &Owner) -> Result<(), Error> {
        let mut log = self.path(of).into_os_string();
        log.push("-wal");
        tokio::task::spawn_blocking(move || match std::fs::File::open(log) {
            Ok(log) => log.sync_data().map_err(errors::unreachable),
            // The last connection moved it into the database, and synced.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(errors::unreachable(error)),
        })
        .await
        .map_err(internal)?
    }

    /// Databases that are open, or about to be.
    pub fn open_count(&self) -> usize {
        self.slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Runs `work` where it may block. If the caller goes away, the statement
    /// is stopped, and a transaction that it was in is rolled back.
    async fn run<T: Send + 'static>(
        &self,
        of: &Owner,
        limits: &DatabaseLimits,
        work: impl FnOnce(&Session<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let slot = self.slot(of).lock_owned().await;
        let permit = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(internal)?;
        let path = self.path(of);
        let limits = limits.clone();
        let cancelled = Cancelled::default();
        let _cancel = CancelOnDrop(Arc::clone(&cancelled));
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            on_thread(slot, &path, &limits, &cancelled, work)
        })
        .await
        .map_err(internal)?
    }

    fn slot(&self, of: &Owner) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = Arc::clone(slots.get_or_insert(of.clone(), Slot::default));
        while slots.len() > self.max_open {
            let Some(idle) = longest_idle(&slots) else {
                break;
            };
            let closing = slots.pop(&idle);
            // Closing moves the log into the database, which may take a while.
            tokio::task::spawn_blocking(move || drop(closing));
        }
        slot
    }

    fn path(&self, of: &Owner) -> PathBuf {
        self.folder
            .join(file_name(&of.tenant))
            .join(format!("{}.db", file_name(&of.agent)))
    }
}

struct CancelOnDrop(Cancelled);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        AtomicBool::store(&self.0, true, Ordering::Relaxed);
    }
}

fn longest_idle(slots: &LruCache<Owner, Slot>) -> Option<Owner> {
    slots
        .iter()
        .rev()
        .find(|(_, slot)| Arc::strong_count(slot) == 1)
        .map(|(owner, _)| owner.clone())
}

fn on_thread<T>(
    mut slot: OwnedMutexGuard<Option<Open>>,
    path: &Path,
    limits: &DatabaseLimits,
    cancelled: &Cancelled,
    work: impl FnOnce(&Session<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let open = match &mut *slot {
        Some(open) => open,
        empty => empty.insert(open_file(path)?),
    };
    let session = Session {
        open,
        limits,
        cancelled,
    };
    open.cap(limits.max_bytes)
        .map_err(|error| session.failed(error))?;
    work(&session)
}

fn open_file(path: &Path) -> Result<Open, Error> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(errors::unreachable)?;
    }
    Open::at(path).map_err(|error| errors::of(&Watch::default(), error))
}

/// A name that is a file name wherever it comes from.
fn file_name(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}
