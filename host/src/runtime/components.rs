//! Compiled components: on disk as `.cwasm`, in memory while an agent holds
//! them.
//!
//! Compiling takes long and happens off the message path where it can (when a
//! component is installed), one at a time, once for each component. Loading
//! maps the file. Compiled code is native code, so only files that this host
//! wrote are loaded: each has a digest beside it that is checked the first time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tracing::{info, warn};
use wasmtime::component::{Component, InstancePre};

use super::bindings::exports::anchorhold::agent as exports;
use super::engine::Engine;
use super::instance::HostState;

/// A component ready to be instantiated.
pub struct LoadedComponent {
    pub(super) pre: InstancePre<HostState>,
    pub(super) chat: Option<exports::chat::GuestIndices>,
    pub(super) subscriber: Option<exports::subscriber::GuestIndices>,
    pub(super) web: Option<exports::web::GuestIndices>,
    pub(super) guardrail: Option<exports::guardrail::GuestIndices>,
    /// Size of the compiled code.
    pub(super) bytes: u64,
}

/// How long it took to have a component.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    pub(super) load: Duration,
    pub(super) compile: Duration,
}

/// A component that takes more than a second to compile.
const LARGE_BYTES: u64 = 1 << 20;

/// Size and time of a file whose digest was checked.
type Stamp = (u64, Option<SystemTime>);

/// All components of the host.
pub struct Components {
    engine: Engine,
    sources: PathBuf,
    compiled: PathBuf,
    max_compiled_bytes: u64,
    loaded: Mutex<HashMap<String, Weak<LoadedComponent>>>,
    /// One lock for each component that is being loaded or compiled.
    busy: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
    /// One small component and one large one are compiled at a time, so that a
    /// Python agent does not keep a Rust agent waiting.
    compiling_small: Semaphore,
    compiling_large: Semaphore,
    verified: Mutex<HashMap<String, Stamp>>,
}

impl Components {
    /// Components whose bytes lie in `<data_dir>/components` and whose compiled
    /// code goes to `<data_dir>/compiled`.
    ///
    /// # Errors
    ///
    /// If the folders cannot be made.
    pub fn new(engine: Engine, data_dir: &Path, max_compiled_bytes: u64) -> Result<Self> {
        let sources = data_dir.join("components");
        let compiled = data_dir.join("compiled").join(engine.fingerprint());
        remove_others(&data_dir.join("compiled"), &compiled);
        for folder in [&sources, &compiled] {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        Ok(Self {
            engine,
            sources,
            compiled,
            max_compiled_bytes,
            loaded: Mutex::default(),
            busy: Mutex::default(),
            compiling_small: Semaphore::new(1),
            compiling_large: Semaphore::new(1),
            verified: Mutex::default(),
        })
    }

    /// Compiles a component unless that was done before.
    ///
    /// # Errors
    ///
    /// If its bytes are missing or cannot be compiled.
    pub async fn prepare(&self, digest: &str) -> Result<()> {
        let lock = self.busy_lock(digest);
        let _guard = lock.lock().await;
        if !self.compiled_path(digest).exists() {
            self.compile(digest).await?;
        }
        // What does not link is refused when it is installed, not when somebody
        // talks to it.
        self.map(digest).map(|_| ())
    }

    /// The component, loaded and if need be compiled; how long each took.
    pub(super) async fn load(&self, digest: &str) -> Result<(Arc<LoadedComponent>, Times)> {
        if let Some(component) = self.in_memory(digest) {
            return Ok((component, Times::default()));
        }
        let started = Instant::now();
        let lock = self.busy_lock(digest);
        let _guard = lock.lock().await;
        if let Some(component) = self.in_memory(digest) {
            return Ok((
                component,
                Times {
                    load: started.elapsed(),
                    compile: Duration::ZERO,
                },
            ));
        }
        let (component, times) = self.load_from_disk(digest).await?;
        let component = Arc::new(component);
        lock_of(&self.loaded).insert(digest.to_owned(), Arc::downgrade(&component));
        Ok((component, times))
    }

    async fn load_from_disk(&self, digest: &str) -> Result<(LoadedComponent, Times)> {
        let mut times = Times::default();
        let mapped = Instant::now();
        if let Some(component) = self.map_if_whole(digest)? {
            times.load = mapped.elapsed();
            return Ok((component, times));
        }
        let started = Instant::now();
        self.compile(digest).await?;
        times.compile = started.elapsed();
        metrics::counter!("anchorhold_components_compiled_total").increment(1);
        let started = Instant::now();
        let component = self.map(digest)?;
        times.load = started.elapsed();
        Ok((component, times))
    }

    /// Maps compiled code unless it is missing or damaged; then it is removed.
    fn map_if_whole(&self, digest: &str) -> Result<Option<LoadedComponent>> {
        if !self.compiled_path(digest).exists() {
            return Ok(None);
        }
        match self.code(digest) {
            Ok((code, bytes)) => self.link(&code, bytes).map(Some),
            Err(error) => {
                warn!(digest, error = %format!("{error:#}"), "compiled code cannot be loaded; compiling again");
                self.remove_compiled(digest);
                Ok(None)
            }
        }
    }

    fn map(&self, digest: &str) -> Result<LoadedComponent> {
        let (code, bytes) = self.code(digest)?;
        self.link(&code, bytes)
    }

    /// Maps compiled code; its size besides. Takes well under a millisecond, so
    /// it is done where it is asked for.
    fn code(&self, digest: &str) -> Result<(Component, u64)> {
        let path = self.compiled_path(digest);
        let bytes = self.verify(digest, &path)?;
        #[expect(
            unsafe_code,
            reason = "compiled code can only be loaded unsafely; `verify` has seen that this host wrote it"
        )]
        let code = unsafe { Component::deserialize_file(&self.engine.engine, &path) }
            .map_err(anyhow::Error::from)
            .with_context(|| format!("loading {}", path.display()))?;
        Ok((code, bytes))
    }

    fn link(&self, code: &Component, bytes: u64) -> Result<LoadedComponent> {
        let pre = self
            .engine
            .linker
            .instantiate_pre(code)
            .map_err(anyhow::Error::from)
            .context("the component imports something that the host does not lend")?;
        Ok(LoadedComponent {
            chat: exports::chat::GuestIndices::new(&pre).ok(),
            subscriber: exports::subscriber::GuestIndices::new(&pre).ok(),
            web: exports::web::GuestIndices::new(&pre).ok(),
            guardrail: exports::guardrail::GuestIndices::new(&pre).ok(),
            pre,
            bytes,
        })
    }

    /// Checks a compiled file against its digest, unless it has not changed
    /// since that was done; answers its size.
    fn verify(&self, digest: &str, path: &Path) -> Result<u64> {
        let metadata = std::fs::metadata(path)?;
        let stamp = (metadata.len(), metadata.modified().ok());
        if lock_of(&self.verified).get(digest) == Some(&stamp) {
            return Ok(stamp.0);
        }
        let expected =
            std::fs::read_to_string(digest_path(path)).context("its digest is missing")?;
        if hex::encode(Sha256::digest(std::fs::read(path)?)) != expected {
            bail!("{} was changed", path.display());
        }
        lock_of(&self.verified).insert(digest.to_owned(), stamp);
        Ok(stamp.0)
    }

    async fn compile(&self, digest: &str) -> Result<()> {
        let source = self.sources.join(format!("{digest}.wasm"));
        let is_large =
            std::fs::metadata(&source).is_ok_and(|metadata| metadata.len() > LARGE_BYTES);
        let lane = if is_large {
            &self.compiling_large
        } else {
            &self.compiling_small
        };
        let _turn = lane.acquire().await?;
        let started = Instant::now();
        let engine = self.engine.engine.clone();
        let target = self.compiled_path(digest);
        let expected = digest.to_owned();
        tokio::task::spawn_blocking(move || -> Result<()> {
            let wasm = std::fs::read(&source).with_context(|| {
                format!("the component's bytes are missing: {}", source.display())
            })?;
            if hex::encode(Sha256::digest(&wasm)) != expected {
                bail!("the component's bytes were changed: {}", source.display());
            }
            let code = engine
                .precompile_component(&wasm)
                .map_err(anyhow::Error::from)?;
            write_whole(
                &digest_path(&target),
                hex::encode(Sha256::digest(&code)).as_bytes(),
            )?;
            write_whole(&target, &code)
        })
        .await?
        .with_context(|| format!("compiling component {digest}"))?;
        info!(
            digest,
            ms = started.elapsed().as_millis(),
            "compiled a component"
        );
        self.prune();
        Ok(())
    }

    /// Keeps the folder of compiled code within its cap, oldest first out.
    fn prune(&self) {
        let mut files: Vec<(SystemTime, u64, PathBuf)> = std::fs::read_dir(&self.compiled)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| {
                entry
                    .path()
                    .extension()
                    .is_some_and(|extension| extension == "cwasm")
            })
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        files.sort();
        let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in files {
            if total <= self.max_compiled_bytes {
                break;
            }
            let _ = std::fs::remove_file(digest_path(&path));
            let _ = std::fs::remove_file(&path);
            total -= size;
        }
    }

    fn remove_compiled(&self, digest: &str) {
        lock_of(&self.verified).remove(digest);
        let path = self.compiled_path(digest);
        let _ = std::fs::remove_file(digest_path(&path));
        let _ = std::fs::remove_file(path);
    }

    fn compiled_path(&self, digest: &str) -> PathBuf {
        self.compiled.join(format!("{digest}.cwasm"))
    }

    fn in_memory(&self, digest: &str) -> Option<Arc<LoadedComponent>> {
        lock_of(&self.loaded).get(digest)?.upgrade()
    }

    /// Components in memory and the size of their code.
    pub fn in_memory_size(&self) -> (usize, u64) {
        let mut loaded = lock_of(&self.loaded);
        loaded.retain(|_, component| component.strong_count() > 0);
        let sizes = loaded
            .values()
            .filter_map(Weak::upgrade)
            .map(|component| component.bytes);
        (loaded.len(), sizes.sum())
    }

    fn busy_lock(&self, digest: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut busy = lock_of(&self.busy);
        busy.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = busy.get(digest).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        busy.insert(digest.to_owned(), Arc::downgrade(&lock));
        lock
    }
}

/// Removes what earlier engines compiled: this one cannot load it.
fn remove_others(folder: &Path, ours: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path() != ours
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            warn!(%error, folder = %entry.path().display(), "old compiled code cannot be removed");
        }
    }
}

fn digest_path(path: &Path) -> PathBuf {
    path.with_extension("sha256")
}

/// Writes a file so that it is there whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension(format!("tmp-{}", std::process::id()));
    std::fs::write(&temporary, bytes)
        .with_context(|| format!("writing {}", temporary.display()))?;
    std::fs::rename(&temporary, path).with_context(|| format!("writing {}", path.display()))
}

/// A poisoned lock guards plain maps here, which are whole at all times.
fn lock_of<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
