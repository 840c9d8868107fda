//! The one writer: operations that arrive while a commit is under way are
//! committed together by the next one (group commit).
//!
//! An operation says how durable it must be. `Written` survives the end of the
//! process, because the write-ahead log is in the page cache; `Synced`
//! survives the end of the machine, because the log was synced. A commit only
//! writes; the log is synced by a thread of its own (`disk`), so that what need
//! only be written never waits for the disk, and what must be synced gathers
//! meanwhile for the next sync.

mod disk;

use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use disk::{Disk, Progress};

/// How durable a write is when its caller goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Survives kill -9.
    Written,
    /// Survives a power cut.
    Synced,
}

/// The most operations of one commit.
const GROUP: usize = 256;

/// A group of so many operations means that more are on their way; waiting for
/// them a moment saves commits.
const CROWD: usize = 4;
const GATHERING: Duration = Duration::from_micros(300);

pub(super) struct Writer {
    jobs: mpsc::Sender<Message>,
    progress: Arc<Progress>,
}

enum Message {
    Job(Durability, Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

type Group = Vec<(Durability, Box<dyn Job>)>;

/// An operation with its type forgotten.
trait Job: Send {
    fn run(&mut self, db: &Connection) -> Result<()>;
    /// It was committed; nobody is told yet.
    fn committed(&mut self);
    /// It is as durable as it must be, or never will be.
    fn finish(self: Box<Self>, outcome: Result<()>);
}

struct Operation<F, R, C> {
    operation: F,
    result: Option<R>,
    committed: Option<C>,
    reply: oneshot::Sender<Result<R>>,
}

impl<F, R, C> Job for Operation<F, R, C>
where
    R: Send + 'static,
    F: FnMut(&Connection) -> Result<R> + Send,
    C: FnOnce(&R) + Send,
{
    fn run(&mut self, db: &Connection) -> Result<()> {
        self.result = Some((self.operation)(db)?);
        Ok(())
    }

    fn committed(&mut self) {
        if let (Some(committed), Some(result)) = (self.committed.take(), &self.result) {
            committed(result);
        }
    }

    fn finish(self: Box<Self>, outcome: Result<()>) {
        let result = match (outcome, self.result) {
            (Ok(()), Some(result)) => Ok(result),
            (Ok(()), None) => Err(anyhow!("a write was committed that never ran")),
            (Err(error), _) => Err(error),
        };
        // Nobody waits any more: the write stands all the same.
        let _ = self.reply.send(result);
    }
}

impl Writer {
    /// Starts the thread that writes to `db`, which lies at `path`.
    pub(super) fn start(db: Connection, path: &Path) -> Result<Self> {
        let (jobs, queue) = mpsc::channel(GROUP * 16);
        let progress = Arc::new(Progress::default());
        let disk = Disk::start(path, Arc::clone(&progress))?;
        // A thread of its own, so that no request that computes can delay a
        // commit.
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(db, queue, &disk))
            .context("cannot start the writer")?;
        Ok(Self { jobs, progress })
    }

    pub(super) async fn write<R, F, C>(
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
        let (reply, answer) = oneshot::channel();
        let job = Operation {
            operation,
            result: None,
            committed: Some(committed),
            reply,
        };
        self.jobs
            .send(Message::Job(durability, Box::new(job)))
            .await
            .map_err(|_| anyhow!("the store is closed"))?;
        answer.await.map_err(|_| anyhow!("the store is closed"))?
    }

    /// Waits until everything is synced that can be read by now.
    pub(super) async fn settle(&self) -> Result<()> {
        if self.progress.is_settled() {
            return Ok(());
        }
        let nothing = |_: &Connection| Ok(());
        self.write(Durability::Synced, nothing, |()| ()).await
    }

    /// Whether the disk took what was written a moment ago.
    pub(super) fn check(&self) -> Result<()> {
        match self.progress.failure() {
            Some(error) => Err(anyhow!("{error}")),
            None => Ok(()),
        }
    }

    pub(super) async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.jobs.send(Message::Close(reply)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

fn run(db: Connection, mut queue: mpsc::Receiver<Message>, disk: &Disk) {
    let mut messages = Vec::with_capacity(GROUP);
    while queue.blocking_recv_many(&mut messages, GROUP) > 0 {
        let mut group = Group::with_capacity(messages.len());
        let mut closing = None;
        for message in messages.drain(..) {
            match message {
                Message::Job(wanted, job) => group.push((wanted, job)),
                Message::Close(reply) => closing = Some(reply),
            }
        }
        let size = group.len();
        metrics::histogram!("anchorhold_store_group_size").record(size as f64);
        commit(&db, group, disk);
        if let Some(reply) = closing {
            disk.close();
            if let Err((_, error)) = db.close() {
                error!(%error, "closing the database failed");
            }
            let _ = reply.send(());
            return;
        }
        if size >= CROWD {
            // This thread does nothing else.
            sleep(GATHERING);
        }
    }
}

/// Commits a group; if that fails, each of its operations alone, so that one
/// bad operation spoils no other.
fn commit(db: &Connection, mut group: Group, disk: &Disk) {
    if group.is_empty() {
        return;
    }
    match commit_once(db, &mut group, disk) {
        Ok(number) => hand_on(group, number, disk),
        Err(error) if group.len() == 1 => {
            disk.progress.note(&error);
            for (_, job) in group {
                job.finish(Err(anyhow!("{error:#}")));
            }
        }
        Err(error) => {
            warn!(%error, operations = group.len(), "a group of writes failed; trying each alone");
            for job in group {
                let mut alone = vec![job];
                match commit_once(db, &mut alone, disk) {
                    Ok(number) => hand_on(alone, number, disk),
                    Err(error) => {
                        disk.progress.note(&error);
                        for (_, job) in alone {
                            job.finish(Err(anyhow!("{error:#}")));
                        }
                    }
                }
            }
        }
    }
}

/// What was committed is told to whom it concerns: at once where that is
/// enough, after the next sync otherwise.
fn hand_on(mut group: Group, number: u64, disk: &Disk) {
    for (_, job) in &mut group {
        job.committed();
    }
    let mut to_sync = Vec::new();
    for (wanted, job) in group {
        match wanted {
            Durability::Written => job.finish(Ok(())),
            Durability::Synced => to_sync.push(job),
        }
    }
    if !to_sync.is_empty() {
        disk.sync(number, to_sync);
    }
}

/// Answers the number of the commit.
fn commit_once(db: &Connection, group: &mut Group, disk: &Disk) -> Result<u64> {
    disk.check()?;
    begin(db)?;
    for (_, job) in group.iter_mut() {
        if let Err(error) = job.run(db) {
            roll_back(db);
            return Err(error);
        }
    }
    let number = disk.progress.begin_commit();
    match execute(db, "COMMIT") {
        Ok(()) => Ok(number),
        Err(error) => {
            roll_back(db);
            Err(error).context("committing")
        }
    }
}

const PAUSES: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1_600),
];

/// Another process may hold the lock for a moment (a copy, an inspection);
/// `busy_timeout` waits for that, and this for a little longer.
fn begin(db: &Connection) -> Result<()> {
    for pause in PAUSES {
        if execute(db, "BEGIN IMMEDIATE").is_ok() {
            return Ok(());
        }
        sleep(pause);
    }
    execute(db, "BEGIN IMMEDIATE").context("beginning a transaction")
}

fn execute(db: &Connection, sql: &str) -> rusqlite::Result<()> {
    db.prepare_cached(sql)?.execute([])?;
    Ok(())
}

fn roll_back(db: &Connection) {
    // Fails where SQLite has rolled back by itself, which is as good.
    let _ = db.execute_batch("ROLLBACK");
}

#[cfg(test)]
mod tests;
