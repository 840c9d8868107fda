//! The one writer: operations that arrive while a commit is under way are
//! committed together by the next one (group commit).
//!
//! An operation says how durable it must be. `Written` survives the end of the
//! process, because the write-ahead log is in the page cache; `Synced`
//! survives the end of the machine, because the log was synced. SQLite decides
//! by its `synchronous` setting at commit, and a sync covers all earlier
//! commits of the log.

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Executor};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

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

pub(super) struct Writer {
    jobs: mpsc::Sender<Message>,
}

enum Message {
    Job(Durability, Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// An operation with its type forgotten.
trait Job: Send {
    fn run<'a>(&'a mut self, db: &'a mut SqliteConnection) -> LocalFuture<'a, Result<()>>;
    fn finish(self: Box<Self>, outcome: Result<()>);
}

struct Operation<F, R, C> {
    operation: F,
    result: Option<R>,
    committed: C,
    reply: oneshot::Sender<Result<R>>,
}

impl<F, R, C> Job for Operation<F, R, C>
where
    R: Send + 'static,
    F: AsyncFnMut(&mut SqliteConnection) -> Result<R> + Send,
    C: FnOnce(&R) + Send,
{
    fn run<'a>(&'a mut self, db: &'a mut SqliteConnection) -> LocalFuture<'a, Result<()>> {
        Box::pin(async move {
            self.result = Some((self.operation)(db).await?);
            Ok(())
        })
    }

    fn finish(self: Box<Self>, outcome: Result<()>) {
        let result = match (outcome, self.result) {
            (Ok(()), Some(result)) => {
                (self.committed)(&result);
                Ok(result)
            }
            (Ok(()), None) => Err(anyhow!("a write was committed that never ran")),
            (Err(error), _) => Err(error),
        };
        // Nobody waits any more: the write stands all the same.
        let _ = self.reply.send(result);
    }
}

impl Writer {
    pub(super) async fn start(options: &SqliteConnectOptions) -> Result<Self> {
        let (jobs, queue) = mpsc::channel(GROUP * 16);
        let (ready, started) = oneshot::channel();
        let options = options.clone();
        // A thread of its own, so that no request that computes can delay a
        // commit.
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run_thread(&options, queue, ready))
            .context("cannot start the writer")?;
        started.await.context("the writer did not start")??;
        Ok(Self { jobs })
    }

    pub(super) async fn write<R, F, C>(
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
        let (reply, answer) = oneshot::channel();
        let job = Operation {
            operation,
            result: None,
            committed,
            reply,
        };
        self.jobs
            .send(Message::Job(durability, Box::new(job)))
            .await
            .map_err(|_| anyhow!("the store is closed"))?;
        answer.await.map_err(|_| anyhow!("the store is closed"))?
    }

    pub(super) async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.jobs.send(Message::Close(reply)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

fn run_thread(
    options: &SqliteConnectOptions,
    queue: mpsc::Receiver<Message>,
    ready: oneshot::Sender<Result<()>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = ready.send(Err(error.into()));
            return;
        }
    };
    runtime.block_on(async {
        match options.connect().await {
            Ok(db) => {
                let _ = ready.send(Ok(()));
                run(db, queue).await;
            }
            Err(error) => {
                let _ = ready.send(Err(error.into()));
            }
        }
    });
}

async fn run(mut db: SqliteConnection, mut queue: mpsc::Receiver<Message>) {
    let mut messages = Vec::with_capacity(GROUP);
    let mut synced_setting = false;
    while queue.recv_many(&mut messages, GROUP).await > 0 {
        let mut group = Vec::with_capacity(messages.len());
        let mut closing = None;
        let mut durability = Durability::Written;
        for message in messages.drain(..) {
            match message {
                Message::Job(wanted, job) => {
                    durability = durability.max(wanted);
                    group.push(job);
                }
                Message::Close(reply) => closing = Some(reply),
            }
        }
        metrics::histogram!("anchorhold_store_group_size").record(group.len() as f64);
        commit(&mut db, group, durability, &mut synced_setting).await;
        if let Some(reply) = closing {
            if let Err(error) = db.close().await {
                error!(%error, "closing the database failed");
            }
            let _ = reply.send(());
            return;
        }
    }
}

/// Commits a group; if that fails, each of its operations alone, so that one
/// bad operation spoils no other.
async fn commit(
    db: &mut SqliteConnection,
    mut group: Vec<Box<dyn Job>>,
    durability: Durability,
    synced_setting: &mut bool,
) {
    if group.is_empty() {
        return;
    }
    match commit_once(db, &mut group, durability, synced_setting).await {
        Ok(()) => group.into_iter().for_each(|job| job.finish(Ok(()))),
        Err(error) if group.len() == 1 => {
            group
                .into_iter()
                .for_each(|job| job.finish(Err(anyhow!("{error:#}"))));
        }
        Err(error) => {
            warn!(%error, operations = group.len(), "a group of writes failed; trying each alone");
            for job in group {
                let mut alone = vec![job];
                let outcome = commit_once(db, &mut alone, durability, synced_setting).await;
                let outcome = outcome.map_err(|error| format!("{error:#}"));
                for job in alone {
                    job.finish(outcome.clone().map_err(|error| anyhow!(error)));
                }
            }
        }
    }
}

async fn commit_once(
    db: &mut SqliteConnection,
    group: &mut [Box<dyn Job>],
    durability: Durability,
    synced_setting: &mut bool,
) -> Result<()> {
    let sync = durability == Durability::Synced;
    if *synced_setting != sync {
        let pragma = if sync {
            "PRAGMA synchronous = FULL"
        } else {
            "PRAGMA synchronous = NORMAL"
        };
        db.execute(pragma).await.context("setting the durability")?;
        *synced_setting = sync;
    }
    begin(db).await?;
    for job in group.iter_mut() {
        if let Err(error) = job.run(db).await {
            roll_back(db).await;
            return Err(error);
        }
    }
    match db.execute("COMMIT").await {
        Ok(_) => Ok(()),
        Err(error) => {
            roll_back(db).await;
            Err(error).context("committing")
        }
    }
}

/// Another process may hold the lock for a moment (a copy, an inspection);
/// `busy_timeout` waits for that, and this for a little longer.
async fn begin(db: &mut SqliteConnection) -> Result<()> {
    for pause_ms in [100, 400, 1_600] {
        if db.execute("BEGIN IMMEDIATE").await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
    db.execute("BEGIN IMMEDIATE")
        .await
        .context("beginning a transaction")?;
    Ok(())
}

async fn roll_back(db: &mut SqliteConnection) {
    // Fails where SQLite has rolled back by itself, which is as good.
    let _ = db.execute("ROLLBACK").await;
}

#[cfg(test)]
mod tests;
