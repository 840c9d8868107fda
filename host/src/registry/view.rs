//! Agents as people see them: what each wants, what it gets, what is wrong.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use serde_json::{Map, Value};

use super::settings::stored_overrides;
use super::{Grants, Missing, Registry, Subscription};
use crate::store::{AgentRow, VersionRow, VersionSpec};

/// The most versions that are shown.
const SHOWN_VERSIONS: u32 = 100;

/// An agent in a list.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct AgentSummary {
    pub name: String,
    pub description: String,
    /// `enabled`, `disabled` or `broken` (it never worked).
    pub status: String,
    /// Why it is disabled or broken; for an enabled one, why its latest file
    /// cannot be used.
    pub reason: Option<String>,
    /// `folder` or `api`.
    pub source: String,
    /// The version that answers.
    pub version: Option<i64>,
    /// The component of that version.
    pub component: Option<String>,
    /// Milliseconds since 1970.
    pub updated_at: i64,
}

/// An agent with all that is set and granted.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct AgentDetail {
    #[serde(flatten)]
    pub summary: AgentSummary,
    /// What the host calls: `chat`, `subscriber`, `web`, `guardrail`.
    pub exports: Vec<String>,
    /// What its manifest wants.
    pub wants: Vec<String>,
    /// What the operator grants, wanted or not.
    pub granted: Vec<String>,
    /// What it may do: wanted and granted.
    pub grants: Vec<String>,
    /// Wanted and not granted.
    pub not_granted: Vec<Missing>,
    /// Topics whose events it receives: texts, or `topic` and `filter`.
    #[schema(value_type = Vec<Value>)]
    pub topics: Vec<Subscription>,
    /// The operator's limits for it.
    pub limits: Value,
    /// The manifest's, and over it the operator's.
    pub config: Map<String, Value>,
    pub labels: BTreeMap<String, i64>,
    /// The latest, newest first.
    pub versions: Vec<VersionRow>,
}

/// A file in the plugins folder that cannot be used.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct UnusableFile {
    pub file: String,
    pub reason: String,
}

impl From<AgentRow> for AgentSummary {
    fn from(row: AgentRow) -> Self {
        Self {
            name: row.name,
            description: row.description,
            status: row.status,
            reason: row.reason,
            source: row.source,
            version: row.version,
            component: row.digest,
            updated_at: row.updated_at,
        }
    }
}

impl Registry {
    /// Agents after `after`, by name.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub async fn list(&self, tenant: &str, after: &str, limit: u32) -> Result<Vec<AgentSummary>> {
        let rows = self.store.agents(tenant, after, limit).await?;
        Ok(rows.into_iter().map(AgentSummary::from).collect())
    }

    /// Files of the plugins folder that cannot be used, also those whose names
    /// are no agents'.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub async fn unusable_files(&self, tenant: &str) -> Result<Vec<UnusableFile>> {
        let files = self.store.plugin_files(tenant).await?;
        let unusable = files.into_iter().filter_map(|file| {
            Some(UnusableFile {
                file: format!("{}.wasm", file.name),
                reason: file.error?,
            })
        });
        Ok(unusable.collect())
    }

    /// One agent, whole.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub async fn get(&self, tenant: &str, name: &str) -> Result<Option<AgentDetail>> {
        let Some(row) = self.store.agent(tenant, name).await? else {
            return Ok(None);
        };
        let overrides = stored_overrides(Some(&row))?;
        let spec = match row.version {
            Some(version) => {
                let version = self
                    .store
                    .agent_version(tenant, name, Some(version))
                    .await?;
                version.map(|version| version.spec)
            }
            None => None,
        };
        let spec = spec.unwrap_or_else(|| VersionSpec {
            manifest: super::Manifest::default(),
            exports: Vec::new(),
            overrides: overrides.clone(),
        });
        let grants = Grants::new(
            &spec.manifest,
            overrides.grants.as_deref(),
            &self.config.default_grants,
        )?;
        Ok(Some(AgentDetail {
            wants: grants.wanted(),
            granted: grants.granted(),
            grants: grants.effective(),
            not_granted: grants.missing(name),
            limits: serde_json::to_value(&overrides.limits)?,
            config: effective_config(&spec)?,
            labels: self.store.labels(tenant, name).await?.into_iter().collect(),
            versions: self
                .store
                .agent_versions(tenant, name, SHOWN_VERSIONS)
                .await?,
            exports: spec.exports,
            topics: spec.manifest.triggers.topics,
            summary: row.into(),
        }))
    }
}

/// A version's configuration: the manifest's `[config]`, and over it, key by
/// key, what the operator set.
///
/// # Errors
///
/// If the manifest has a number that JSON does not (infinity, for example).
pub fn effective_config(spec: &VersionSpec) -> Result<Map<String, Value>> {
    let mut config = match serde_json::to_value(&spec.manifest.config)? {
        Value::Object(config) => config,
        _ => Map::new(),
    };
    config.extend(spec.overrides.config.clone());
    Ok(config)
}
