//! Components: what is known of each; their bytes are files.

use anyhow::Result;
use rusqlite::{Connection, params};

use super::sql::{self, columns, values};
use super::{Durability, Store};

/// A component that was checked and stored.
#[derive(Debug, Clone)]
pub struct ComponentRow {
    pub digest: String,
    pub size_bytes: i64,
    pub contract: String,
    /// Names of exported interfaces, separated by spaces.
    pub exports: String,
    /// JSON.
    pub manifest: String,
    pub created_at: i64,
}

columns!(ComponentRow: digest, size_bytes, contract, exports, manifest, created_at);

impl Store {
    /// Stores what is known of a component.
    pub async fn add_component(&self, tenant: &str, component: ComponentRow) -> Result<()> {
        let tenant = tenant.to_owned();
        self.write(Durability::Synced, move |db: &Connection| {
            sql::execute(db, "INSERT INTO components (tenant_id, digest, size_bytes, contract, exports, manifest, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING", params![&tenant, &component.digest, component.size_bytes, &component.contract, &component.exports, &component.manifest, component.created_at])?;
            Ok(())
        })
        .await
    }

    /// A stored component.
    pub async fn component(&self, tenant: &str, digest: &str) -> Result<Option<ComponentRow>> {
        let row = self
            .one(
                "SELECT digest, size_bytes, contract, exports, manifest, created_at FROM components
             WHERE tenant_id = ?1 AND digest = ?2",
                values![tenant, digest],
            )
            .await?;
        Ok(row)
    }

    /// Components after `after`, by digest.
    pub async fn components(
        &self,
        tenant: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<ComponentRow>> {
        let rows = self
            .all(
                "SELECT digest, size_bytes, contract, exports, manifest, created_at FROM components
             WHERE tenant_id = ?1 AND digest > ?2 ORDER BY digest LIMIT ?3",
                values![tenant, after, i64::from(limit)],
            )
            .await?;
        Ok(rows)
    }
}
