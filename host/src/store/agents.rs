//! Agents, their versions and labels.

use anyhow::{Context, Result};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::sql::{self, columns, values};
use super::{Durability, Store, events, plugin_files};
use crate::clock::now_ms;
use crate::config::LimitsPatch;
use crate::events::{agent_registered, agent_removed, agent_updated};
use crate::registry::{Manifest, Subscription};

/// The label of the version that answers.
const PRODUCTION: &str = "production";

/// What the operator sets for one agent, over its manifest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Overrides {
    /// Instead of `[registry] default_grants`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grants: Option<Vec<String>>,
    /// Instead of `[limits]`.
    #[schema(value_type = Object)]
    pub limits: LimitsPatch,
    /// Over the manifest's `[config]`, key by key.
    pub config: serde_json::Map<String, serde_json::Value>,
}

/// An agent as listed.
#[derive(Debug, Clone)]
pub struct AgentRow {
    pub name: String,
    pub description: String,
    pub status: String,
    /// What is wrong with its file in the plugins folder, or why it is disabled.
    pub reason: Option<String>,
    pub source: String,
    /// JSON.
    pub overrides: String,
    /// The version that `production` points at, if there is one.
    pub version: Option<i64>,
    pub digest: Option<String>,
    pub updated_at: i64,
}

/// A version that can answer.
#[derive(Debug, Clone)]
pub struct AgentVersion {
    pub agent: String,
    pub version: i64,
    pub digest: String,
    pub spec: VersionSpec,
    /// The operator's grants as they are now: they are no part of a version, so
    /// that rolling back brings back no grant that was taken away.
    pub granted: Option<Vec<String>>,
}

/// An agent that answers messages.
#[derive(Debug, Clone, PartialEq)]
pub struct AnsweringAgent {
    pub name: String,
    pub description: String,
    pub updated_at: i64,
}

/// A version as listed.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct VersionRow {
    pub version: i64,
    pub digest: String,
    pub created_at: i64,
}

/// What a version is made of besides the component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionSpec {
    pub manifest: Manifest,
    pub exports: Vec<String>,
    pub overrides: Overrides,
}

/// Who adds a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A file in the plugins folder; the agent is enabled.
    Folder,
    /// The API, with a component; the agent is enabled.
    Api,
    /// The operator's settings for an agent that there is: its source and its
    /// status stay.
    Settings,
}

/// A version to add.
#[derive(Debug, Clone)]
pub struct NewVersion {
    pub tenant: String,
    pub agent: String,
    pub origin: Origin,
    pub digest: String,
    pub spec: VersionSpec,
}

const AGENT_COLUMNS: &str = "a.name, a.description, a.status, coalesce(p.error, a.reason) AS reason, a.source, a.overrides,
    l.version, v.digest, a.updated_at
    FROM agents a
    LEFT JOIN plugin_files p ON p.tenant_id = a.tenant_id AND p.name = a.name
    LEFT JOIN agent_labels l ON l.tenant_id = a.tenant_id AND l.agent = a.name AND l.label = 'production'
    LEFT JOIN agent_versions v ON v.tenant_id = a.tenant_id AND v.agent = a.name AND v.version = l.version";

columns!(AgentRow: name, description, status, reason, source, overrides, version, digest, updated_at);
columns!(AnsweringAgent: name, description, updated_at);
columns!(VersionRow: version, digest, created_at);

impl Store {
    /// Adds a version and points `production` at it. A version equal to the
    /// current one is not added again. Answers the version number.
    pub async fn add_version(&self, new: NewVersion) -> Result<i64> {
        self.add_version_then(new, || ()).await
    }

    /// As `add_version`; `added` runs as soon as the version can be read, before
    /// it is synced.
    pub async fn add_version_then(
        &self,
        new: NewVersion,
        added: impl FnOnce() + Send + 'static,
    ) -> Result<i64> {
        let operation = move |db: &Connection| add_version(db, &new);
        self.write_then(Durability::Synced, operation, |_| added())
            .await
    }

    /// Points a label at a version; answers whether that version exists. With
    /// `production` the agent's configuration and limits become those of the
    /// version; its grants stay.
    pub async fn set_label(
        &self,
        tenant: &str,
        agent: &str,
        label: &str,
        version: i64,
    ) -> Result<bool> {
        let (tenant, agent, label) = (tenant.to_owned(), agent.to_owned(), label.to_owned());
        self.write(Durability::Synced, move |db: &Connection| {
            let Some(spec) = version_spec(db, &tenant, &agent, version)? else {
                return Ok(false);
            };
            let before = answering(db, &tenant, &agent)?;
            put_label(db, &tenant, &agent, &label, version)?;
            if label == PRODUCTION {
                adopt(db, &tenant, &agent, &spec)?;
                subscribe(db, &tenant, &agent, &spec)?;
                if before.is_some_and(|before| before != version) {
                    events::publish(db, &agent_updated(&tenant, &agent, version))?;
                }
            }
            Ok(true)
        })
        .await
    }

    /// The labels of an agent.
    pub async fn labels(&self, tenant: &str, agent: &str) -> Result<Vec<(String, i64)>> {
        let rows = self.all("SELECT label, version FROM agent_labels WHERE tenant_id = ?1 AND agent = ?2 ORDER BY label", values![tenant, agent]).await?;
        Ok(rows)
    }

    /// The versions of an agent, newest first.
    pub async fn agent_versions(
        &self,
        tenant: &str,
        agent: &str,
        limit: u32,
    ) -> Result<Vec<VersionRow>> {
        self.agent_versions_before(tenant, agent, i64::MAX, limit)
            .await
    }

    /// The versions of an agent before `before`, newest first.
    pub async fn agent_versions_before(
        &self,
        tenant: &str,
        agent: &str,
        before: i64,
        limit: u32,
    ) -> Result<Vec<VersionRow>> {
        let rows = self
            .all(
                "SELECT version, digest, created_at FROM agent_versions
             WHERE tenant_id = ?1 AND agent = ?2 AND version < ?3 ORDER BY version DESC LIMIT ?4",
                values![tenant, agent, before, i64::from(limit)],
            )
            .await?;
        Ok(rows)
    }

    /// Stores what the operator set for an agent that has no version yet.
    pub async fn set_overrides(
        &self,
        tenant: &str,
        name: &str,
        overrides: Overrides,
    ) -> Result<()> {
        let (tenant, name) = (tenant.to_owned(), name.to_owned());
        self.write(Durability::Synced, move |db: &Connection| {
            put_overrides(db, &tenant, &name, &overrides)
        })
        .await
    }

    /// One agent.
    pub async fn agent(&self, tenant: &str, name: &str) -> Result<Option<AgentRow>> {
        let row = self
            .one(
                format!("SELECT {AGENT_COLUMNS} WHERE a.tenant_id = ?1 AND a.name = ?2"),
                values![tenant, name],
            )
            .await?;
        Ok(row)
    }

    /// Agents after `after`, by name.
    pub async fn agents(&self, tenant: &str, after: &str, limit: u32) -> Result<Vec<AgentRow>> {
        let rows = self.all(format!(
            "SELECT {AGENT_COLUMNS} WHERE a.tenant_id = ?1 AND a.name > ?2 ORDER BY a.name LIMIT ?3"
        ), values![tenant, after, i64::from(limit)]).await?;
        Ok(rows)
    }

    /// Agents after `after`, by name, that answer messages now.
    pub async fn answering_agents(
        &self,
        tenant: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<AnsweringAgent>> {
        let rows = self.all("SELECT a.name, a.description, a.updated_at FROM agents a
             JOIN agent_labels l ON l.tenant_id = a.tenant_id AND l.agent = a.name AND l.label = 'production'
             JOIN agent_versions v ON v.tenant_id = a.tenant_id AND v.agent = a.name AND v.version = l.version
             WHERE a.tenant_id = ?1 AND a.name > ?2 AND a.status = 'enabled'
                 AND EXISTS (SELECT 1 FROM json_each(v.spec, '$.exports') WHERE value = 'chat')
             ORDER BY a.name LIMIT ?3", values![tenant, after, i64::from(limit)]).await?;
        Ok(rows)
    }

    /// The version of an enabled agent that answers, or `version` if given.
    pub async fn agent_version(
        &self,
        tenant: &str,
        agent: &str,
        version: Option<i64>,
    ) -> Result<Option<AgentVersion>> {
        let row: Option<(i64, String, String, String)> = self.one("SELECT v.version, v.digest, v.spec, a.overrides FROM agents a
             JOIN agent_labels l ON l.tenant_id = a.tenant_id AND l.agent = a.name AND l.label = 'production'
             JOIN agent_versions v ON v.tenant_id = a.tenant_id AND v.agent = a.name AND v.version = coalesce(?3, l.version)
             WHERE a.tenant_id = ?1 AND a.name = ?2 AND (a.status = 'enabled' OR ?3 IS NOT NULL)", values![tenant, agent, version]).await?;
        row.map(|(version, digest, spec, overrides)| {
            let unreadable = || format!("version {version} of agent {agent} cannot be read");
            let now: Overrides = serde_json::from_str(&overrides).with_context(unreadable)?;
            Ok(AgentVersion {
                agent: agent.to_owned(),
                version,
                digest,
                spec: serde_json::from_str(&spec).with_context(unreadable)?,
                granted: now.grants,
            })
        })
        .transpose()
    }

    /// Removes an agent; its versions stay while turns may refer to them. Answers whether there was one.
    pub async fn remove_agent(&self, tenant: &str, name: &str) -> Result<bool> {
        let (tenant, name) = (tenant.to_owned(), name.to_owned());
        self.write(Durability::Synced, move |db: &Connection| {
            for statement in [
                "DELETE FROM subscriptions WHERE tenant_id = ?1 AND agent = ?2",
                "DELETE FROM schedules WHERE tenant_id = ?1 AND agent = ?2",
                "DELETE FROM agent_labels WHERE tenant_id = ?1 AND agent = ?2",
            ] {
                sql::execute(db, statement, params![&tenant, &name])?;
            }
            let removed = sql::execute(
                db,
                "DELETE FROM agents WHERE tenant_id = ?1 AND name = ?2",
                params![&tenant, &name],
            )?;
            if removed == 1 {
                events::publish(db, &agent_removed(&tenant, &name))?;
            }
            Ok(removed == 1)
        })
        .await
    }
}

fn add_version(db: &Connection, new: &NewVersion) -> Result<i64> {
    let (tenant, agent) = (&new.tenant, &new.agent);
    let before = answering(db, tenant, agent)?;
    put_agent(db, new)?;
    let spec = serde_json::to_string(&new.spec)?;
    let equal = equal_version(db, new, &spec)?;
    let version = match equal {
        Some(version) => version,
        None => insert_version(db, new, &spec)?,
    };
    put_label(db, tenant, agent, PRODUCTION, version)?;
    subscribe(db, tenant, agent, &new.spec)?;
    let event = match (before, answering(db, tenant, agent)?) {
        (None, Some(_)) => agent_registered(tenant, agent, version, &new.digest),
        (Some(before), Some(_)) if before != version => agent_updated(tenant, agent, version),
        _ => return Ok(version),
    };
    events::publish(db, &event)?;
    Ok(version)
}

/// The version of an agent that answers.
fn answering(db: &Connection, tenant: &str, agent: &str) -> Result<Option<i64>> {
    let row: Option<(i64,)> = sql::one(
        db,
        "SELECT l.version FROM agents a
         JOIN agent_labels l ON l.tenant_id = a.tenant_id AND l.agent = a.name AND l.label = 'production'
         WHERE a.tenant_id = ?1 AND a.name = ?2 AND a.status = 'enabled'",
        params![tenant, agent],
    )?;
    Ok(row.map(|(version,)| version))
}

/// The current version, if it is the same as the one to be added.
fn equal_version(db: &Connection, new: &NewVersion, spec: &str) -> Result<Option<i64>> {
    let row: Option<(i64,)> = sql::one(db, "SELECT v.version FROM agent_versions v
         JOIN agent_labels l ON l.tenant_id = v.tenant_id AND l.agent = v.agent AND l.version = v.version
         WHERE v.tenant_id = ?1 AND v.agent = ?2 AND l.label = 'production' AND v.digest = ?3 AND v.spec = ?4", params![&new.tenant, &new.agent, &new.digest, spec])?;
    Ok(row.map(|(version,)| version))
}

fn insert_version(db: &Connection, new: &NewVersion, spec: &str) -> Result<i64> {
    let (version,): (i64,) = sql::only(db, "INSERT INTO agent_versions (tenant_id, agent, version, digest, spec, created_at)
         SELECT ?1, ?2, coalesce(max(version), 0) + 1, ?3, ?4, ?5 FROM agent_versions WHERE tenant_id = ?1 AND agent = ?2
         RETURNING version", params![&new.tenant, &new.agent, &new.digest, spec, now_ms()])?;
    Ok(version)
}

/// Adds or changes the agent of a new version.
fn put_agent(db: &Connection, new: &NewVersion) -> Result<()> {
    let source = match new.origin {
        Origin::Folder => {
            plugin_files::clear_error(db, &new.tenant, &new.agent)?;
            "folder"
        }
        Origin::Api => "api",
        Origin::Settings => {
            return put_overrides(db, &new.tenant, &new.agent, &new.spec.overrides);
        }
    };
    sql::execute(db, "INSERT INTO agents (tenant_id, name, description, status, source, overrides, created_at, updated_at)
         VALUES (?1, ?2, ?3, 'enabled', ?4, ?5, ?6, ?6)
         ON CONFLICT (tenant_id, name) DO UPDATE SET
             description = excluded.description, status = 'enabled', reason = NULL,
             source = excluded.source, overrides = excluded.overrides, updated_at = excluded.updated_at", params![&new.tenant, &new.agent, &new.spec.manifest.description, source, serde_json::to_string(&new.spec.overrides)?, now_ms()])?;
    Ok(())
}

fn put_overrides(db: &Connection, tenant: &str, name: &str, overrides: &Overrides) -> Result<()> {
    sql::execute(
        db,
        "UPDATE agents SET overrides = ?3, updated_at = ?4 WHERE tenant_id = ?1 AND name = ?2",
        params![tenant, name, serde_json::to_string(overrides)?, now_ms()],
    )?;
    Ok(())
}

/// Makes description, configuration and limits of an agent those of a version;
/// the grants stay as the operator has them now.
fn adopt(db: &Connection, tenant: &str, agent: &str, spec: &VersionSpec) -> Result<()> {
    let (current,): (String,) = sql::only(
        db,
        "SELECT overrides FROM agents WHERE tenant_id = ?1 AND name = ?2",
        params![tenant, agent],
    )?;
    let current: Overrides = serde_json::from_str(&current)?;
    let overrides = Overrides {
        grants: current.grants,
        ..spec.overrides.clone()
    };
    put_overrides(db, tenant, agent, &overrides)?;
    sql::execute(
        db,
        "UPDATE agents SET description = ?3 WHERE tenant_id = ?1 AND name = ?2",
        params![tenant, agent, &spec.manifest.description],
    )?;
    Ok(())
}

fn put_label(db: &Connection, tenant: &str, agent: &str, label: &str, version: i64) -> Result<()> {
    sql::execute(
        db,
        "INSERT INTO agent_labels (tenant_id, agent, label, version) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (tenant_id, agent, label) DO UPDATE SET version = excluded.version",
        params![tenant, agent, label, version],
    )?;
    Ok(())
}

fn version_spec(
    db: &Connection,
    tenant: &str,
    agent: &str,
    version: i64,
) -> Result<Option<VersionSpec>> {
    let row: Option<(String,)> = sql::one(
        db,
        "SELECT v.spec FROM agent_versions v
         JOIN agents a ON a.tenant_id = v.tenant_id AND a.name = v.agent
         WHERE v.tenant_id = ?1 AND v.agent = ?2 AND v.version = ?3",
        params![tenant, agent, version],
    )?;
    row.map(|(spec,)| Ok(serde_json::from_str(&spec)?))
        .transpose()
}

/// Makes the subscriptions those of the version that answers.
fn subscribe(db: &Connection, tenant: &str, agent: &str, spec: &VersionSpec) -> Result<()> {
    sql::execute(
        db,
        "DELETE FROM subscriptions WHERE tenant_id = ?1 AND agent = ?2",
        params![tenant, agent],
    )?;
    if !spec.exports.iter().any(|export| export == "subscriber") {
        return Ok(());
    }
    for Subscription { topic, filter } in &spec.manifest.triggers.topics {
        sql::execute(
            db,
            "INSERT INTO subscriptions (tenant_id, agent, pattern, wildcard, filter) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
            params![
                tenant,
                agent,
                topic,
                topic.contains('*'),
                filter.as_deref().unwrap_or_default()
            ],
        )?;
    }
    Ok(())
}
