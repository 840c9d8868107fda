//! What the registry's tests share: components made from text, and a registry on
//! real folders with hooks that count.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, anyhow};
use futures_util::future::BoxFuture;
use tempfile::TempDir;

use super::{AgentDetail, AgentSummary, FolderWatch, Hooks, Registry};
use crate::config;
use crate::store::{DEFAULT_TENANT, Store};

/// The smallest component that exports `chat`, with this manifest inside unless
/// it is empty.
pub(crate) fn component(manifest: &str) -> Vec<u8> {
    component_with("chat", "0.1.0", "", manifest)
}

/// A component that exports `interface` in `version`, begins with `items`, and
/// has this manifest inside unless it is empty.
pub(crate) fn component_with(
    interface: &str,
    version: &str,
    items: &str,
    manifest: &str,
) -> Vec<u8> {
    let section = match manifest {
        "" => String::new(),
        text => format!("(@custom \"anchorhold:manifest\" {text:?})"),
    };
    let text = format!(
        "(component {items} (instance $i)
            (export \"anchorhold:agent/{interface}@{version}\" (instance $i)) {section})"
    );
    wat::parse_str(&text).unwrap()
}

/// A core module.
pub(crate) fn core_module() -> Vec<u8> {
    wat::parse_str("(module (memory 1))").unwrap()
}

/// Counts what the registry asks for, and refuses to compile on demand.
#[derive(Default)]
pub(crate) struct CountingHooks {
    pub(crate) changed: Mutex<Vec<String>>,
    pub(crate) prepared: Mutex<Vec<String>>,
    pub(crate) refuse: AtomicBool,
}

impl Hooks for CountingHooks {
    fn changed(&self, _tenant: &str, agent: &str) {
        self.changed.lock().unwrap().push(agent.to_owned());
    }

    fn prepare(&self, digest: &str) -> BoxFuture<'_, Result<()>> {
        self.prepared.lock().unwrap().push(digest.to_owned());
        let refuse = self.refuse.load(Ordering::Relaxed);
        Box::pin(async move {
            match refuse {
                true => Err(anyhow!("too many locals")),
                false => Ok(()),
            }
        })
    }
}

/// A registry on a data folder and a plugins folder of its own.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) store: Arc<Store>,
    pub(crate) hooks: Arc<CountingHooks>,
    pub(crate) registry: Arc<Registry>,
}

impl Place {
    pub(crate) async fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap()).await
    }

    /// As after a new start of the host.
    pub(crate) async fn again(self) -> Self {
        self.store.close().await;
        let Self {
            folder,
            store,
            hooks,
            registry,
        } = self;
        drop((hooks, registry));
        // The lock of the data folder goes with the last holder of the store.
        assert_eq!(Arc::strong_count(&store), 1);
        drop(store);
        Self::open(folder).await
    }

    async fn open(folder: TempDir) -> Self {
        let store = Arc::new(Store::open(&folder.path().join("data"), 2).unwrap());
        let hooks = Arc::new(CountingHooks::default());
        let config = config::Registry {
            plugins_dir: folder.path().join("plugins"),
            max_component_bytes: 4_096,
            ..config::Registry::default()
        };
        let registry = Registry::new(Arc::clone(&store), config, hooks.clone()).unwrap();
        Self {
            registry: Arc::new(registry),
            folder,
            store,
            hooks,
        }
    }

    pub(crate) fn plugin(&self, file: &str) -> PathBuf {
        self.folder.path().join("plugins").join(file)
    }

    pub(crate) async fn watch(&self) -> FolderWatch {
        FolderWatch::start(Arc::clone(&self.registry), DEFAULT_TENANT)
            .await
            .unwrap()
    }

    pub(crate) async fn agent(&self, name: &str) -> Option<AgentDetail> {
        self.registry.get(DEFAULT_TENANT, name).await.unwrap()
    }

    /// Waits until an agent is as expected.
    pub(crate) async fn until(
        &self,
        name: &str,
        expected: impl Fn(&AgentSummary) -> bool,
    ) -> AgentDetail {
        for _ in 0..600 {
            if let Some(agent) = self.agent(name).await
                && expected(&agent.summary)
            {
                return agent;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{name} is still {:?}", self.agent(name).await);
    }
}
