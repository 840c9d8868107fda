//! Syncing the write-ahead log, on a thread of its own.
//!
//! SQLite's `synchronous = NORMAL` writes the log at a commit and syncs it when
//! it is copied into the database, so nothing can be corrupted; what it leaves
//! open is when a commit survives a power cut. That is after the first sync of
//! the log that began after the commit, and waiting for one is all that
//! `synchronous = FULL` does besides, but there the writer waits with it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rusqlite::ErrorCode;
use tracing::error;

use super::Job;

/// How far commits and syncs are, by the numbers of commits.
#[derive(Default)]
pub(super) struct Progress {
    begun: AtomicU64,
    synced: AtomicU64,
    /// When the disk had no room for a write, or failed it.
    failed: Mutex<Option<(Instant, String)>>,
}

/// How long after a failed write the disk is not believed to have room because
/// a small one succeeds.
const DOUBT: Duration = Duration::from_secs(3);

impl Progress {
    /// Counts before the commit, so that no reader sees what is not counted.
    pub(super) fn begin_commit(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Keeps in mind that the disk failed a write, if it was the disk.
    pub(super) fn note(&self, error: &anyhow::Error) {
        let of_disk = |code| matches!(code, ErrorCode::DiskFull | ErrorCode::SystemIoFailure);
        let mut causes = error.chain();
        let sql = causes.find_map(|cause| cause.downcast_ref::<rusqlite::Error>());
        if sql
            .and_then(rusqlite::Error::sqlite_error_code)
            .is_some_and(of_disk)
        {
            *self.failed() = Some((Instant::now(), format!("{error:#}")));
        }
    }

    /// How the disk failed a moment ago.
    pub(super) fn failure(&self) -> Option<String> {
        let failed = self.failed();
        let (at, error) = failed.as_ref()?;
        (at.elapsed() < DOUBT).then(|| error.clone())
    }

    /// A poisoned lock guards a plain value here, which is whole at all times.
    fn failed(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether everything is synced that can be read.
    pub(super) fn is_settled(&self) -> bool {
        self.synced.load(Ordering::SeqCst) >= self.begun.load(Ordering::SeqCst)
    }
}

enum Message {
    Sync(u64, Vec<Box<dyn Job>>),
    Close(Sender<()>),
}

pub(super) struct Disk {
    pub(super) progress: Arc<Progress>,
    queue: Sender<Message>,
    broken: Arc<AtomicBool>,
}

impl Disk {
    /// Starts the thread that syncs the log of the database at `path`.
    pub(super) fn start(path: &Path, progress: Arc<Progress>) -> Result<Self> {
        let (queue, messages) = channel();
        let broken = Arc::new(AtomicBool::new(false));
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let thread = Syncer {
            path: log.into(),
            log: None,
            progress: Arc::clone(&progress),
            broken: Arc::clone(&broken),
        };
        std::thread::Builder::new()
            .name("store-sync".to_owned())
            .spawn(move || thread.run(&messages))
            .context("cannot start the thread that syncs")?;
        Ok(Self {
            progress,
            queue,
            broken,
        })
    }

    /// After a sync that failed nobody knows what is on the disk, and a second
    /// one may succeed without having written it: nothing more is taken in.
    pub(super) fn check(&self) -> Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            bail!("the disk failed to sync the database; see to it and start the host again");
        }
        Ok(())
    }

    /// Finishes the jobs of a commit when it is synced.
    pub(super) fn sync(&self, commit: u64, jobs: Vec<Box<dyn Job>>) {
        // The thread ends after `close` only.
        let _ = self.queue.send(Message::Sync(commit, jobs));
    }

    /// Waits until everything is synced.
    pub(super) fn close(&self) {
        let (done, closed) = channel();
        if self.queue.send(Message::Close(done)).is_ok() {
            let _ = closed.recv();
        }
    }
}

struct Syncer {
    path: PathBuf,
    log: Option<File>,
    progress: Arc<Progress>,
    broken: Arc<AtomicBool>,
}

impl Syncer {
    fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(first) = messages.recv() {
            let mut jobs = Vec::new();
            let (mut last, mut closing) = (0, None);
            for message in std::iter::once(first).chain(messages.try_iter()) {
                match message {
                    Message::Sync(commit, more) => {
                        last = commit;
                        jobs.extend(more);
                    }
                    Message::Close(done) => closing = Some(done),
                }
            }
            if !jobs.is_empty() {
                self.finish(last, jobs);
            }
            if let Some(done) = closing {
                let _ = done.send(());
                return;
            }
        }
    }

    fn finish(&mut self, commit: u64, jobs: Vec<Box<dyn Job>>) {
        let outcome = self.sync().map_err(|error| format!("{error:#}"));
        match &outcome {
            Ok(()) => self.progress.synced.store(commit, Ordering::SeqCst),
            Err(error) => {
                error!(error, "syncing the database failed");
                self.broken.store(true, Ordering::SeqCst);
            }
        }
        for job in jobs {
            job.finish(outcome.clone().map_err(|error| anyhow!(error)));
        }
    }

    /// The log is there from the first commit on, and stays the same file while
    /// a connection is open.
    fn sync(&mut self) -> Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            bail!("an earlier sync failed");
        }
        let log = match self.log.take() {
            Some(log) => log,
            None => File::open(&self.path)
                .with_context(|| format!("opening {}", self.path.display()))?,
        };
        log.sync_data()
            .with_context(|| format!("syncing {}", self.path.display()))?;
        self.log = Some(log);
        Ok(())
    }
}
