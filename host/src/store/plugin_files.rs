//! What was last seen in the plugins folder, and what that means for the agents
//! named after its files.

use anyhow::Result;
use rusqlite::{Connection, params};

use super::sql::{self, columns, values};
use super::{Durability, Store, events};
use crate::clock::now_ms;
use crate::events::{agent_broken, agent_removed};

/// What was last seen of a file in the plugins folder.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginFile {
    /// The agent's name: the file's name without `.wasm`.
    pub name: String,
    /// Size and time of the files, to see that they changed.
    pub stamp: String,
    pub digest: Option<String>,
    pub error: Option<String>,
}

columns!(PluginFile: name, stamp, digest, error);

impl Store {
    /// What was last seen in the plugins folder.
    pub async fn plugin_files(&self, tenant: &str) -> Result<Vec<PluginFile>> {
        let rows = self.all("SELECT name, stamp, digest, error FROM plugin_files WHERE tenant_id = ?1 ORDER BY name", values![tenant]).await?;
        Ok(rows)
    }

    /// What was last seen of one file.
    pub async fn plugin_file(&self, tenant: &str, name: &str) -> Result<Option<PluginFile>> {
        let row = self.one("SELECT name, stamp, digest, error FROM plugin_files WHERE tenant_id = ?1 AND name = ?2", values![tenant, name]).await?;
        Ok(row)
    }

    /// Remembers a file of the plugins folder. If it cannot be used and no agent
    /// of its name exists, `agent` makes one that is broken, so that it is seen.
    pub async fn put_plugin_file(&self, tenant: &str, file: PluginFile, agent: bool) -> Result<()> {
        let tenant = tenant.to_owned();
        self.write(Durability::Written, move |db: &Connection| {
            let is_news = file.error.is_some() && file.error != error_of(db, &tenant, &file.name)?;
            put_file(db, &tenant, &file)?;
            if agent && file.error.is_some() {
                add_broken_agent(db, &tenant, &file.name)?;
            }
            if agent && is_news {
                events::publish(db, &agent_broken(&tenant, &file.name))?;
            }
            Ok(())
        })
        .await
    }

    /// Forgets a file that is gone and disables its agent, or removes it if it
    /// never worked. Agents that came by API stay as they are.
    pub async fn remove_plugin_file(&self, tenant: &str, name: &str, reason: &str) -> Result<()> {
        let (tenant, name, reason) = (tenant.to_owned(), name.to_owned(), reason.to_owned());
        self.write(Durability::Synced, move |db: &Connection| {
            for statement in [
                "DELETE FROM plugin_files WHERE tenant_id = ?1 AND name = ?2",
                "DELETE FROM agents WHERE tenant_id = ?1 AND name = ?2 AND source = 'folder' AND status = 'broken'",
            ] {
                sql::execute(db, statement, params![&tenant, &name])?;
            }
            let disabled = sql::execute(db, "UPDATE agents SET status = 'disabled', reason = ?3, updated_at = ?4
                 WHERE tenant_id = ?1 AND name = ?2 AND source = 'folder'", params![&tenant, &name, &reason, now_ms()])?;
            if disabled == 1 {
                events::publish(db, &agent_removed(&tenant, &name))?;
            }
            Ok(())
        })
        .await
    }
}

/// A file that has become a version has nothing wrong with it, from the same
/// moment on.
pub(super) fn clear_error(db: &Connection, tenant: &str, name: &str) -> Result<()> {
    sql::execute(
        db,
        "UPDATE plugin_files SET error = NULL WHERE tenant_id = ?1 AND name = ?2",
        params![tenant, name],
    )?;
    Ok(())
}

fn error_of(db: &Connection, tenant: &str, name: &str) -> Result<Option<String>> {
    let row: Option<(Option<String>,)> = sql::one(
        db,
        "SELECT error FROM plugin_files WHERE tenant_id = ?1 AND name = ?2",
        params![tenant, name],
    )?;
    Ok(row.and_then(|(error,)| error))
}

fn put_file(db: &Connection, tenant: &str, file: &PluginFile) -> Result<()> {
    sql::execute(db, "INSERT INTO plugin_files (tenant_id, name, stamp, digest, error, seen_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (tenant_id, name) DO UPDATE SET
         stamp = excluded.stamp, digest = excluded.digest, error = excluded.error, seen_at = excluded.seen_at", params![tenant, &file.name, &file.stamp, &file.digest, &file.error, now_ms()])?;
    Ok(())
}

fn add_broken_agent(db: &Connection, tenant: &str, name: &str) -> Result<()> {
    sql::execute(db, "INSERT INTO agents (tenant_id, name, description, status, source, overrides, created_at, updated_at)
         VALUES (?1, ?2, '', 'broken', 'folder', '{}', ?3, ?3) ON CONFLICT (tenant_id, name) DO NOTHING", params![tenant, name, now_ms()])?;
    Ok(())
}
