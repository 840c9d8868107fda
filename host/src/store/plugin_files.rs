//! What was last seen in the plugins folder, and what that means for the agents
//! named after its files.

use anyhow::Result;
use sqlx::FromRow;
use sqlx::sqlite::SqliteConnection;

use super::{Durability, Store};
use crate::clock::now_ms;

/// What was last seen of a file in the plugins folder.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct PluginFile {
    /// The agent's name: the file's name without `.wasm`.
    pub name: String,
    /// Size and time of the files, to see that they changed.
    pub stamp: String,
    pub digest: Option<String>,
    pub error: Option<String>,
}

impl Store {
    /// What was last seen in the plugins folder.
    pub async fn plugin_files(&self, tenant: &str) -> Result<Vec<PluginFile>> {
        let rows = sqlx::query_as(
            "SELECT name, stamp, digest, error FROM plugin_files WHERE tenant_id = $1 ORDER BY name",
        )
        .bind(tenant)
        .fetch_all(&self.reader)
        .await?;
        Ok(rows)
    }

    /// What was last seen of one file.
    pub async fn plugin_file(&self, tenant: &str, name: &str) -> Result<Option<PluginFile>> {
        let row = sqlx::query_as(
            "SELECT name, stamp, digest, error FROM plugin_files WHERE tenant_id = $1 AND name = $2",
        )
        .bind(tenant)
        .bind(name)
        .fetch_optional(&self.reader)
        .await?;
        Ok(row)
    }

    /// Remembers a file of the plugins folder. If it cannot be used and no agent
    /// of its name exists, `agent` makes one that is broken, so that it is seen.
    pub async fn put_plugin_file(&self, tenant: &str, file: PluginFile, agent: bool) -> Result<()> {
        let tenant = tenant.to_owned();
        self.write(Durability::Written, async move |db| {
            put_file(db, &tenant, &file).await?;
            if agent && file.error.is_some() {
                add_broken_agent(db, &tenant, &file.name).await?;
            }
            Ok(())
        })
        .await
    }

    /// Forgets a file that is gone and disables its agent, or removes it if it
    /// never worked. Agents that came by API stay as they are.
    pub async fn remove_plugin_file(&self, tenant: &str, name: &str, reason: &str) -> Result<()> {
        let (tenant, name, reason) = (tenant.to_owned(), name.to_owned(), reason.to_owned());
        self.write(Durability::Synced, async move |db| {
            for statement in [
                "DELETE FROM plugin_files WHERE tenant_id = $1 AND name = $2",
                "DELETE FROM agents WHERE tenant_id = $1 AND name = $2 AND source = 'folder' AND status = 'broken'",
            ] {
                sqlx::query(statement).bind(&tenant).bind(&name).execute(&mut *db).await?;
            }
            sqlx::query(
                "UPDATE agents SET status = 'disabled', reason = $3, updated_at = $4
                 WHERE tenant_id = $1 AND name = $2 AND source = 'folder'",
            )
            .bind(&tenant)
            .bind(&name)
            .bind(&reason)
            .bind(now_ms())
            .execute(&mut *db)
            .await?;
            Ok(())
        })
        .await
    }
}

/// A file that has become a version has nothing wrong with it, from the same
/// moment on.
pub(super) async fn clear_error(db: &mut SqliteConnection, tenant: &str, name: &str) -> Result<()> {
    sqlx::query("UPDATE plugin_files SET error = NULL WHERE tenant_id = $1 AND name = $2")
        .bind(tenant)
        .bind(name)
        .execute(&mut *db)
        .await?;
    Ok(())
}

async fn put_file(db: &mut SqliteConnection, tenant: &str, file: &PluginFile) -> Result<()> {
    sqlx::query(
        "INSERT INTO plugin_files (tenant_id, name, stamp, digest, error, seen_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (tenant_id, name) DO UPDATE SET
         stamp = excluded.stamp, digest = excluded.digest, error = excluded.error, seen_at = excluded.seen_at",
    )
    .bind(tenant)
    .bind(&file.name)
    .bind(&file.stamp)
    .bind(&file.digest)
    .bind(&file.error)
    .bind(now_ms())
    .execute(&mut *db)
    .await?;
    Ok(())
}

async fn add_broken_agent(db: &mut SqliteConnection, tenant: &str, name: &str) -> Result<()> {
    sqlx::query(
        "INSERT INTO agents (tenant_id, name, description, status, source, overrides, created_at, updated_at)
         VALUES ($1, $2, '', 'broken', 'folder', '{}', $3, $3) ON CONFLICT (tenant_id, name) DO NOTHING",
    )
    .bind(tenant)
    .bind(name)
    .bind(now_ms())
    .execute(&mut *db)
    .await?;
    Ok(())
}
