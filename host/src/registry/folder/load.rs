//! One file of the folder, from its bytes to an agent that answers.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tracing::error;

use super::scan::{Seen, look};
use crate::registry::inspect::check_manifest;
use crate::registry::manifest::{MAX_MANIFEST_BYTES, check_agent_name};
use crate::registry::settings::stored_overrides;
use crate::registry::{
    Embedded, Inspection, InstallError, Manifest, Misfit, Registry, blocking, inspect,
};
use crate::store::{NewVersion, Origin, Overrides, PluginFile, VersionSpec};

/// The reason of an agent whose file is gone.
const REMOVED: &str = "its file was removed from the plugins folder";

/// A file that does not fit and is younger than this may still be on its way.
const YOUNG: Duration = Duration::from_secs(1);

/// What became of a file.
pub(super) enum Outcome {
    Loaded {
        version: i64,
    },
    /// It cannot be used as it is.
    Refused(String),
    /// Something else is wrong, so that it is tried again.
    Failed(String),
    /// It is still being written.
    Unsettled,
}

/// Why a file does not become an agent.
enum Trouble {
    Refused(String),
    Failed(String),
    Unsettled,
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(format!("{error:#}"))
    }
}

impl From<Misfit> for Trouble {
    fn from(misfit: Misfit) -> Self {
        Self::Refused(misfit.to_string())
    }
}

/// A file that fits.
struct Good {
    bytes: Vec<u8>,
    inspection: Inspection,
    /// From beside the component, or else from inside.
    manifest: Manifest,
}

/// Makes a file's content the newest version of its agent, or records why not.
pub(super) async fn load(registry: &Registry, tenant: &str, name: &str, seen: &Seen) -> Outcome {
    let mut file = PluginFile {
        name: name.to_owned(),
        stamp: seen.stamp.clone(),
        digest: None,
        error: None,
    };
    let outcome = match install(registry, tenant, name, seen).await {
        Ok((version, digest)) => {
            file.digest = Some(digest);
            Outcome::Loaded { version }
        }
        Err(Trouble::Unsettled) => return Outcome::Unsettled,
        Err(Trouble::Refused(reason)) => Outcome::Refused(reason),
        Err(Trouble::Failed(reason)) => Outcome::Failed(reason),
    };
    if let Outcome::Refused(reason) | Outcome::Failed(reason) = &outcome {
        file.error = Some(reason.clone());
    }
    let is_agent = check_agent_name(name).is_ok();
    if let Err(error) = registry.store.put_plugin_file(tenant, file, is_agent).await {
        error!(agent = name, error = %format!("{error:#}"), "a file of the plugins folder could not be recorded");
    }
    if !matches!(outcome, Outcome::Loaded { .. }) {
        registry.hooks.changed(tenant, name);
    }
    outcome
}

/// Disables the agent of a file that is gone.
pub(super) async fn remove(registry: &Registry, tenant: &str, name: &str) -> Result<()> {
    let _edits = registry.edits.lock().await;
    registry
        .store
        .remove_plugin_file(tenant, name, REMOVED)
        .await?;
    registry.hooks.changed(tenant, name);
    Ok(())
}

async fn install(
    registry: &Registry,
    tenant: &str,
    name: &str,
    seen: &Seen,
) -> Result<(i64, String), Trouble> {
    check_agent_name(name)
        .map_err(|error| Trouble::Refused(format!("{error}; rename the file")))?;
    // Asked again below: compiling takes long, and this spares it.
    overrides(registry, tenant, name).await?;
    let seen = seen.clone();
    let max_bytes = registry.config.max_component_bytes;
    let good = blocking(move || read_settled(&seen, max_bytes)).await??;
    let kept = registry.keep(tenant, good.bytes, &good.inspection).await;
    kept.map_err(|error| match error {
        InstallError::Internal(error) => error.into(),
        error => Trouble::Refused(error.to_string()),
    })?;
    let digest = good.inspection.digest.clone();
    let version = add_version(registry, tenant, name, good.inspection, good.manifest).await?;
    Ok((version, digest))
}

async fn add_version(
    registry: &Registry,
    tenant: &str,
    name: &str,
    inspection: Inspection,
    manifest: Manifest,
) -> Result<i64, Trouble> {
    let edits = registry.edits.lock().await;
    let new = NewVersion {
        tenant: tenant.to_owned(),
        agent: name.to_owned(),
        origin: Origin::Folder,
        digest: inspection.digest,
        spec: VersionSpec {
            manifest,
            exports: inspection.exports,
            overrides: overrides(registry, tenant, name).await?,
        },
    };
    let (hooks, tenant, name) = (
        Arc::clone(&registry.hooks),
        tenant.to_owned(),
        name.to_owned(),
    );
    // At once, so that whoever sees the version gets its answers.
    let changed = move || hooks.changed(&tenant, &name);
    let version = registry.store.add_version_then(new, changed).await?;
    drop(edits);
    Ok(version)
}

/// What the operator set for the agent, which is no agent made by API.
async fn overrides(registry: &Registry, tenant: &str, name: &str) -> Result<Overrides, Trouble> {
    let row = registry.store.agent(tenant, name).await?;
    if row.as_ref().is_some_and(|row| row.source == "api") {
        return Err(Trouble::Refused(format!(
            "{name}.wasm in the plugins folder is not used, because an agent {name} was made by API; rename the file, or run: anchorhold agents remove {name}"
        )));
    }
    Ok(stored_overrides(row.as_ref())?)
}

/// Reads a file that nobody is writing.
fn read_settled(seen: &Seen, max_bytes: u64) -> Result<Good, Trouble> {
    let outcome = read(seen, max_bytes);
    let now = look(seen.component.clone());
    if now.is_none_or(|now| now.stamp != seen.stamp) {
        return Err(Trouble::Unsettled);
    }
    let age = seen.modified.and_then(|modified| modified.elapsed().ok());
    match outcome {
        Err(Trouble::Refused(_)) if age.is_some_and(|age| age < YOUNG) => Err(Trouble::Unsettled),
        outcome => outcome,
    }
}

fn read(seen: &Seen, max_bytes: u64) -> Result<Good, Trouble> {
    if let Some(problem) = &seen.problem {
        return Err(Trouble::Refused(problem.clone()));
    }
    if seen.size > max_bytes {
        return Err(Misfit::TooLarge { max_bytes }.into());
    }
    let beside = match &seen.manifest {
        Some(path) => Some(read_manifest(path)?),
        None => None,
    };
    let embedded = match beside {
        Some(_) => Embedded::Replaced,
        None => Embedded::Counts,
    };
    let bytes = read_file(&seen.component, max_bytes)?;
    let inspection = inspect(&bytes, max_bytes, embedded)?;
    let manifest = beside
        .or_else(|| inspection.manifest.clone())
        .unwrap_or_default();
    Ok(Good {
        bytes,
        inspection,
        manifest,
    })
}

fn read_manifest(path: &Path) -> Result<Manifest, Trouble> {
    let bytes = read_file(path, MAX_MANIFEST_BYTES as u64)?;
    let manifest = str::from_utf8(&bytes)
        .map_err(anyhow::Error::from)
        .and_then(Manifest::parse)
        .map_err(|error| {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            Trouble::Refused(format!("{file}: {error:#}"))
        })?;
    Ok(check_manifest(manifest)?)
}

/// At most one byte more than allowed, however large the file has become.
fn read_file(path: &Path, max_bytes: u64) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| {
        file.take(max_bytes.saturating_add(1))
            .read_to_end(&mut bytes)
    });
    match read {
        Ok(_) => Ok(bytes),
        Err(error) => {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            Err(Trouble::Failed(format!("{file} cannot be read: {error}")))
        }
    }
}
