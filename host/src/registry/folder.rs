//! The watched plugins folder: `name.wasm`, with an optional `name.toml`, is the
//! agent `name`.
//!
//! One task looks at the folder when the system reports a change, when nothing
//! more was reported for a moment, and every now and then in any case. It
//! compares names, sizes and times with what it saw last; only files that differ
//! are read, a few at a time, in tasks of their own.

mod load;
mod scan;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::Registry;
use load::Outcome;
use scan::Seen;

/// How long nothing may have changed before the folder is looked at.
const QUIET: Duration = Duration::from_millis(150);

/// How long changes that never stop may put that off.
const PATIENCE: Duration = Duration::from_secs(1);

/// When a file that is still being copied is looked at again.
const UNSETTLED: Duration = Duration::from_millis(300);

/// How often the folder is looked at in any case: some file systems report
/// nothing, and a watch can be lost.
const RESCAN: Duration = Duration::from_secs(30);

/// The same where there is no watch at all.
const RESCAN_UNWATCHED: Duration = Duration::from_secs(2);

/// Files that are read and compiled at the same time.
const PARALLEL: usize = 4;

/// The plugins folder, watched until this is stopped or dropped.
pub struct FolderWatch {
    task: JoinHandle<()>,
    stop: CancellationToken,
    settled: watch::Receiver<bool>,
}

impl FolderWatch {
    /// Makes the folder, if need be, and begins to watch it for this tenant.
    /// What is in it is looked at in the background.
    ///
    /// # Errors
    ///
    /// If the folder cannot be made, or the store cannot be read.
    pub async fn start(registry: Arc<Registry>, tenant: &str) -> Result<Self> {
        let path = registry.config.plugins_dir.clone();
        std::fs::create_dir_all(&path).with_context(|| {
            format!(
                "cannot create the plugins folder {}; set [registry] plugins_dir to one that can be written",
                path.display()
            )
        })?;
        let (report, events) = mpsc::channel(1);
        let watcher = watcher(&path, report);
        let (settle, settled) = watch::channel(false);
        let stop = CancellationToken::new();
        let folder = Folder::new(registry, tenant, path, watcher, settle).await?;
        let task = tokio::spawn(folder.run(events, stop.clone()));
        Ok(Self {
            task,
            stop,
            settled,
        })
    }

    /// Waits until everything that was there at the start has been looked at.
    pub async fn settled(&self) {
        // It fails when the task has ended: then nothing more will come.
        let _ = self.settled.clone().wait_for(|settled| *settled).await;
    }

    /// Stops watching. What was under way is begun again at the next start.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.task).await {
            error!(%error, "watching the plugins folder ended badly");
        }
    }
}

impl Drop for FolderWatch {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What was last seen of a file.
struct Known {
    stamp: String,
    /// Why it cannot be used, as it was reported.
    reason: Option<String>,
    /// Look again although it did not change.
    again: bool,
}

struct Folder {
    registry: Arc<Registry>,
    tenant: Arc<str>,
    path: PathBuf,
    watcher: Option<RecommendedWatcher>,
    known: HashMap<String, Known>,
    queue: VecDeque<(String, Seen)>,
    tasks: JoinSet<(String, Seen, Outcome)>,
    running: HashMap<Id, String>,
    /// A file changed while it was being read.
    outdated: bool,
    /// The folder could not be read, which was reported.
    unreadable: bool,
    settle: watch::Sender<bool>,
}

impl Folder {
    async fn new(
        registry: Arc<Registry>,
        tenant: &str,
        path: PathBuf,
        watcher: Option<RecommendedWatcher>,
        settle: watch::Sender<bool>,
    ) -> Result<Self> {
        let files = registry.store.plugin_files(tenant).await?;
        let known = files.into_iter().map(|file| {
            let known = Known {
                stamp: file.stamp,
                reason: None,
                // The limits, or this host's version, may be others by now.
                again: file.error.is_some(),
            };
            (file.name, known)
        });
        Ok(Self {
            known: known.collect(),
            registry,
            tenant: tenant.into(),
            path,
            watcher,
            queue: VecDeque::new(),
            tasks: JoinSet::new(),
            running: HashMap::new(),
            outdated: false,
            unreadable: false,
            settle,
        })
    }

    async fn run(mut self, mut events: mpsc::Receiver<()>, stop: CancellationToken) {
        let registry = Arc::clone(&self.registry);
        let mut due = Instant::now();
        let mut changing_since = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(()) = events.recv() => {
                    let since = *changing_since.get_or_insert_with(Instant::now);
                    due = (Instant::now() + QUIET).min(since + PATIENCE);
                }
                () = registry.recheck.notified() => {
                    self.known.values_mut().for_each(|known| known.again |= known.reason.is_some());
                    due = Instant::now();
                }
                () = tokio::time::sleep_until(due) => {
                    if changing_since.take().is_none() {
                        self.rewatch();
                    }
                    self.look().await;
                    due = Instant::now() + self.period();
                }
                Some(ended) = self.tasks.join_next_with_id() => {
                    if let Some(pause) = self.finish(ended) {
                        due = due.min(Instant::now() + pause);
                    }
                }
            }
            self.start_tasks();
            if !self.unreadable && self.queue.is_empty() && self.tasks.is_empty() {
                self.settle.send_replace(true);
            }
        }
    }

    fn period(&self) -> Duration {
        match self.watcher {
            Some(_) => RESCAN,
            None => RESCAN_UNWATCHED,
        }
    }

    /// Compares the folder with what is known of it.
    async fn look(&mut self) {
        let path = self.path.clone();
        let known: Vec<String> = self.known.keys().cloned().collect();
        let found = super::blocking(move || scan::scan(&path, &known)).await;
        match found.and_then(|found| found) {
            Ok(found) => {
                self.unreadable = false;
                self.compare(found).await;
            }
            // Nothing is taken for removed because of a volume that is not there.
            Err(error) if !self.unreadable => {
                self.unreadable = true;
                warn!(folder = %self.path.display(), error = %format!("{error:#}"), "the plugins folder cannot be read; its agents stay as they are");
            }
            Err(_) => {}
        }
    }

    async fn compare(&mut self, found: BTreeMap<String, Seen>) {
        let gone: Vec<String> = self
            .known
            .keys()
            .filter(|name| !found.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            self.remove(name).await;
        }
        self.queue.clear();
        for (name, seen) in found {
            if self.running.values().any(|running| *running == name) {
                self.outdated = true;
            } else if self.is_news(&name, &seen) {
                self.queue.push_back((name, seen));
            }
        }
    }

    fn is_news(&self, name: &str, seen: &Seen) -> bool {
        self.known
            .get(name)
            .is_none_or(|known| known.again || known.stamp != seen.stamp)
    }

    async fn remove(&mut self, name: String) {
        if self.running.values().any(|running| *running == name) {
            self.outdated = true;
            return;
        }
        match load::remove(&self.registry, &self.tenant, &name).await {
            Ok(()) => {
                self.known.remove(&name);
                info!(agent = name, "a file was removed from the plugins folder");
            }
            // Still known, so that the next look tries again.
            Err(error) => {
                error!(agent = name, error = %format!("{error:#}"), "a removed file could not be recorded");
            }
        }
    }

    fn start_tasks(&mut self) {
        while self.tasks.len() < PARALLEL {
            let Some((name, seen)) = self.queue.pop_front() else {
                return;
            };
            let (registry, tenant) = (Arc::clone(&self.registry), Arc::clone(&self.tenant));
            let running = name.clone();
            let task = self.tasks.spawn(async move {
                let outcome = load::load(&registry, &tenant, &name, &seen).await;
                (name, seen, outcome)
            });
            self.running.insert(task.id(), running);
        }
    }

    /// Takes the outcome of a file; answers when to look again, if it must be
    /// sooner than ever.
    fn finish(
        &mut self,
        ended: Result<(Id, (String, Seen, Outcome)), JoinError>,
    ) -> Option<Duration> {
        let pause = match ended {
            Ok((id, (name, seen, outcome))) => {
                self.running.remove(&id);
                self.record(name, seen, outcome)
            }
            Err(error) => {
                let name = self.running.remove(&error.id());
                error!(?name, %error, "reading a file of the plugins folder ended badly");
                None
            }
        };
        match std::mem::take(&mut self.outdated) {
            true => Some(Duration::ZERO),
            false => pause,
        }
    }

    fn record(&mut self, name: String, seen: Seen, outcome: Outcome) -> Option<Duration> {
        let (reason, again) = match outcome {
            Outcome::Unsettled => return Some(UNSETTLED),
            Outcome::Loaded { version } => {
                info!(
                    agent = name,
                    version, "a file of the plugins folder answers"
                );
                (None, false)
            }
            Outcome::Refused(reason) => (Some(reason), false),
            Outcome::Failed(reason) => (Some(reason), true),
        };
        if let Some(reason) = &reason {
            let told = self.known.get(&name).is_some_and(|known| {
                known.stamp == seen.stamp && known.reason.as_ref() == Some(reason)
            });
            if !told {
                warn!(
                    agent = name,
                    reason, "a file of the plugins folder cannot be used"
                );
            }
        }
        let stamp = seen.stamp;
        self.known.insert(
            name,
            Known {
                stamp,
                reason,
                again,
            },
        );
        None
    }

    /// A watch ends when its folder is replaced by another of the same name, so
    /// it is set anew before each look that no report asked for.
    fn rewatch(&mut self) {
        if let Some(watcher) = &mut self.watcher {
            // There is nothing to end where the folder was gone.
            let _ = watcher.unwatch(&self.path);
            if let Err(error) = watcher.watch(&self.path, RecursiveMode::NonRecursive) {
                tracing::debug!(%error, "the plugins folder cannot be watched for now");
            }
        }
    }
}

/// A watcher that reports that something changed, never what: the folder itself
/// is the truth.
fn watcher(path: &Path, report: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let made = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !is_change(event.kind)) {
            return;
        }
        // Full means that a report is waiting already.
        let _ = report.try_send(());
    });
    let watched = made.and_then(|mut watcher| {
        watcher.watch(path, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watched
        .inspect_err(|error| {
            warn!(%error, "the plugins folder cannot be watched; it is looked at every 2 seconds instead");
        })
        .ok()
}

/// Reading is no change, or looking at the folder would be one.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests;
