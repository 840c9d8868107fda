//! What the operator sets: agents made by API, settings of agents from the
//! folder, labels, and removal.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::{Deserialize, Deserializer};

use super::view::AgentDetail;
use super::{Manifest, Registry, grants::parse_grants, manifest::check_agent_name};
use crate::config::LimitsPatch;
use crate::store::{AgentRow, NewVersion, Origin, Overrides, VersionSpec};

/// What to set; what is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AgentSettings {
    /// Digest of an installed component.
    pub component: Option<String>,
    /// Instead of `[registry] default_grants`; `null` goes back to these.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    pub grants: Option<Option<Vec<String>>>,
    /// Instead of `[limits]`; all that were set before are replaced.
    #[schema(value_type = Option<Object>)]
    pub limits: Option<LimitsPatch>,
    /// Over the manifest's `[config]`, key by key; all that were set before are
    /// replaced.
    pub config: Option<serde_json::Map<String, serde_json::Value>>,
    /// Versions by label. `production` answers; an earlier version rolls back.
    pub labels: BTreeMap<String, i64>,
}

/// Why settings were not taken.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("there is no agent {0}; to make one, name an installed component")]
    UnknownAgent(String),
    #[error("there is no component {0}; upload it first")]
    UnknownComponent(String),
    #[error("agent {agent} has no version {version}")]
    UnknownVersion { agent: String, version: i64 },
    #[error("{0}")]
    Invalid(String),
    /// The plugins folder decides.
    #[error("{0}")]
    Conflict(String),
    #[error(transparent)]
    Internal(#[from] anyhow::Error),
}

impl Registry {
    /// Makes an agent, or changes one. A change makes a new version, to which
    /// `production` moves, unless everything is as it was.
    ///
    /// # Errors
    ///
    /// If the name or a grant is malformed, the component or a labelled version
    /// does not exist, or the agent belongs to a file of the plugins folder and
    /// another component is set.
    pub async fn put_agent(
        &self,
        tenant: &str,
        name: &str,
        settings: AgentSettings,
    ) -> Result<AgentDetail, SettingsError> {
        check(name, &settings)?;
        let edits = self.edits.lock().await;
        let row = self.store.agent(tenant, name).await?;
        let changed = async {
            self.change(tenant, name, row.as_ref(), &settings).await?;
            for (label, version) in &settings.labels {
                self.move_label(tenant, name, label, *version).await?;
            }
            Ok::<(), SettingsError>(())
        };
        let changed = changed.await;
        drop(edits);
        // Also after an error: some of it may be stored.
        self.hooks.changed(tenant, name);
        changed?;
        self.get(tenant, name)
            .await?
            .ok_or_else(|| SettingsError::UnknownAgent(name.to_owned()))
    }

    /// Removes an agent; turns that run end on their version.
    ///
    /// # Errors
    ///
    /// If its file is in the plugins folder.
    pub async fn remove_agent(&self, tenant: &str, name: &str) -> Result<bool, SettingsError> {
        let edits = self.edits.lock().await;
        let row = self.store.agent(tenant, name).await?;
        let from_folder = row.is_some_and(|row| row.source == "folder");
        let file = self.store.plugin_file(tenant, name).await?;
        if from_folder && file.is_some() {
            return Err(SettingsError::Conflict(format!(
                "agent {name} comes from {name}.wasm in the plugins folder; remove that file instead"
            )));
        }
        let removed = self.store.remove_agent(tenant, name).await?;
        drop(edits);
        self.hooks.changed(tenant, name);
        // A file that was refused because of this agent can be used now.
        self.recheck_folder();
        Ok(removed)
    }

    async fn change(
        &self,
        tenant: &str,
        name: &str,
        row: Option<&AgentRow>,
        settings: &AgentSettings,
    ) -> Result<(), SettingsError> {
        let before = stored_overrides(row)?;
        let overrides = merged(&before, settings);
        if settings.component.is_none() && overrides == before && row.is_some() {
            return Ok(());
        }
        let Some((digest, manifest, exports)) = self
            .base(tenant, name, row, settings.component.as_deref())
            .await?
        else {
            return Ok(self.store.set_overrides(tenant, name, overrides).await?);
        };
        let new = NewVersion {
            tenant: tenant.to_owned(),
            agent: name.to_owned(),
            origin: self.origin(tenant, name, row, settings, &digest).await?,
            digest,
            spec: VersionSpec {
                manifest,
                exports,
                overrides,
            },
        };
        self.store.add_version(new).await?;
        Ok(())
    }

    /// What the new version is built on: the component that is set, or else
    /// what answers now. None for an agent that never worked.
    async fn base(
        &self,
        tenant: &str,
        name: &str,
        row: Option<&AgentRow>,
        component: Option<&str>,
    ) -> Result<Option<(String, Manifest, Vec<String>)>, SettingsError> {
        let current = row.and_then(|row| Some((row.version?, row.digest.clone()?)));
        let unchanged = |digest: &str| component.is_none_or(|component| component == digest);
        match (row, current, component) {
            // Also with a manifest from beside the component, which the
            // component's own row does not have.
            (Some(_), Some((version, digest)), _) if unchanged(&digest) => {
                let version = self
                    .store
                    .agent_version(tenant, name, Some(version))
                    .await?
                    .with_context(|| format!("agent {name} has lost its version {version}"))?;
                Ok(Some((digest, version.spec.manifest, version.spec.exports)))
            }
            (_, _, Some(digest)) => self.installed(tenant, digest).await.map(Some),
            (Some(_), _, None) => Ok(None),
            (None, _, None) => Err(SettingsError::UnknownAgent(name.to_owned())),
        }
    }

    async fn installed(
        &self,
        tenant: &str,
        digest: &str,
    ) -> Result<(String, Manifest, Vec<String>), SettingsError> {
        let row = self
            .store
            .component(tenant, digest)
            .await?
            .ok_or_else(|| SettingsError::UnknownComponent(digest.to_owned()))?;
        let manifest = serde_json::from_str(&row.manifest)
            .with_context(|| format!("the manifest of component {digest} cannot be read"))?;
        let exports = row.exports.split(' ').map(str::to_owned).collect();
        Ok((row.digest, manifest, exports))
    }

    /// Whether the agent is made by API from here on; the plugins folder decides
    /// on the components of its files.
    async fn origin(
        &self,
        tenant: &str,
        name: &str,
        row: Option<&AgentRow>,
        settings: &AgentSettings,
        digest: &str,
    ) -> Result<Origin, SettingsError> {
        let Some(row) = row else {
            return Ok(Origin::Api);
        };
        if settings.component.is_none() {
            return Ok(Origin::Settings);
        }
        if row.source == "api" {
            return Ok(Origin::Api);
        }
        if self.store.plugin_file(tenant, name).await?.is_none() {
            return Ok(Origin::Api);
        }
        if row.digest.as_deref() == Some(digest) {
            return Ok(Origin::Settings);
        }
        Err(SettingsError::Conflict(format!(
            "agent {name} comes from {name}.wasm in the plugins folder; replace that file, or remove it first"
        )))
    }

    async fn move_label(
        &self,
        tenant: &str,
        agent: &str,
        label: &str,
        version: i64,
    ) -> Result<(), SettingsError> {
        if self.store.set_label(tenant, agent, label, version).await? {
            return Ok(());
        }
        Err(SettingsError::UnknownVersion {
            agent: agent.to_owned(),
            version,
        })
    }
}

/// What the operator set so far.
pub(super) fn stored_overrides(row: Option<&AgentRow>) -> anyhow::Result<Overrides> {
    row.map_or_else(
        || Ok(Overrides::default()),
        |row| {
            serde_json::from_str(&row.overrides)
                .with_context(|| format!("the settings of agent {} cannot be read", row.name))
        },
    )
}

fn merged(before: &Overrides, settings: &AgentSettings) -> Overrides {
    let before = before.clone();
    Overrides {
        grants: settings.grants.clone().unwrap_or(before.grants),
        limits: settings.limits.clone().unwrap_or(before.limits),
        config: settings.config.clone().unwrap_or(before.config),
    }
}

fn check(name: &str, settings: &AgentSettings) -> Result<(), SettingsError> {
    let invalid = |error: anyhow::Error| SettingsError::Invalid(format!("{error:#}"));
    check_agent_name(name).map_err(invalid)?;
    if let Some(Some(grants)) = &settings.grants {
        parse_grants(grants).map_err(invalid)?;
    }
    for label in settings.labels.keys() {
        check_agent_name(label).map_err(|_| {
            SettingsError::Invalid(format!(
                "{label:?} is not a label: 1 to 64 of a-z, 0-9 and -, beginning with a letter"
            ))
        })?;
    }
    Ok(())
}

/// Tells a field that is null from one that is left out.
fn given<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<Vec<String>>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
