//! Where agents come from: components by folder or upload, their manifests,
//! and the rows that say which agent runs which component with what.
//!
//! The registry is rows and files; what is loaded is not its business. It never
//! runs a component, it only looks at it (`inspect`) and has it compiled
//! (`Hooks::prepare`) before an agent answers with it.

mod components;
mod folder;
mod grants;
mod inspect;
mod manifest;
mod settings;
mod subscription;
#[cfg(test)]
pub(crate) mod testing;
mod view;

use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, Notify};

use crate::clock::now_ms;
use crate::config;
use crate::store::{AgentVersion, ComponentRow, Store};

pub use components::ComponentFiles;
pub use folder::FolderWatch;
pub use grants::{Grant, Grants, Missing, Permit, parse_grants};
pub use inspect::{CONTRACT, Embedded, Inspection, Misfit, inspect};
pub use manifest::{ChatTrigger, Manifest, Triggers, Wants, WhenBusy};
pub use settings::{AgentSettings, SettingsError};
pub use subscription::Subscription;
pub use view::{AgentDetail, AgentSummary, UnusableFile, effective_config};

/// What the registry asks of the rest of the host.
pub trait Hooks: Send + Sync {
    /// An agent changed: what is kept of it in memory is out of date.
    fn changed(&self, tenant: &str, agent: &str);

    /// Compiles a component, whose file is there, and keeps the result on disk.
    fn prepare(&self, digest: &str) -> BoxFuture<'_, Result<()>>;
}

/// Why a component was not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error(transparent)]
    Misfit(#[from] Misfit),
    #[error("the component cannot be compiled: {0}; build it again with current tools")]
    Compile(String),
    #[error(transparent)]
    Internal(#[from] anyhow::Error),
}

/// The agents of the host and where they come from.
pub struct Registry {
    store: Arc<Store>,
    config: config::Registry,
    hooks: Arc<dyn Hooks>,
    files: ComponentFiles,
    /// Held while an agent is read, changed and written.
    edits: Mutex<()>,
    /// Tells the watched folder to look again at what it could not use.
    recheck: Notify,
}

impl Registry {
    /// A registry on what is stored.
    ///
    /// # Errors
    ///
    /// If `default_grants` has something that is not a grant, or the data
    /// folder cannot be written.
    pub fn new(store: Arc<Store>, config: config::Registry, hooks: Arc<dyn Hooks>) -> Result<Self> {
        parse_grants(&config.default_grants).context("[registry] default_grants is not valid")?;
        Ok(Self {
            files: ComponentFiles::open(store.data_dir())?,
            store,
            config,
            hooks,
            edits: Mutex::default(),
            recheck: Notify::new(),
        })
    }

    /// Checks, keeps and compiles a component. One that is there already stays
    /// as it is.
    ///
    /// # Errors
    ///
    /// If it does not fit (the sentence says why), cannot be compiled, or
    /// cannot be kept.
    pub async fn install_component(
        &self,
        tenant: &str,
        bytes: Vec<u8>,
    ) -> Result<Inspection, InstallError> {
        let max_bytes = self.config.max_component_bytes;
        let (inspected, bytes) =
            blocking(move || (inspect(&bytes, max_bytes, Embedded::Counts), bytes)).await?;
        let inspection = inspected?;
        self.keep(tenant, bytes, &inspection).await?;
        Ok(inspection)
    }

    /// Keeps and compiles a component that fits. The row comes last, so that a
    /// component that has one can run.
    async fn keep(
        &self,
        tenant: &str,
        bytes: Vec<u8>,
        inspection: &Inspection,
    ) -> Result<(), InstallError> {
        let (files, digest) = (self.files.clone(), inspection.digest.clone());
        let is_new = blocking(move || files.write(&digest, &bytes)).await??;
        if let Err(error) = self.hooks.prepare(&inspection.digest).await {
            if is_new {
                let (files, digest) = (self.files.clone(), inspection.digest.clone());
                blocking(move || files.remove(&digest)).await??;
            }
            return Err(InstallError::Compile(format!("{error:#}")));
        }
        let manifest = inspection.manifest.clone().unwrap_or_default();
        let row = ComponentRow {
            digest: inspection.digest.clone(),
            size_bytes: i64::try_from(inspection.size).unwrap_or(i64::MAX),
            contract: inspection.contract.clone(),
            exports: inspection.exports.join(" "),
            manifest: serde_json::to_string(&manifest).context("writing a manifest as JSON")?,
            created_at: now_ms(),
        };
        self.store.add_component(tenant, row).await?;
        Ok(())
    }

    /// What a version of an agent may do, with the grants of now.
    ///
    /// # Errors
    ///
    /// If what is stored is not a list of grants.
    pub fn grants(&self, version: &AgentVersion) -> Result<Grants> {
        Grants::new(
            &version.spec.manifest,
            version.granted.as_deref(),
            &self.config.default_grants,
        )
    }

    /// Looks again at the files of the plugins folder that could not be used.
    pub fn recheck_folder(&self) {
        self.recheck.notify_one();
    }
}

/// Runs what reads files or computes for long away from the threads that serve.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .context("a task of the registry was ended")
}

#[cfg(test)]
mod tests;
