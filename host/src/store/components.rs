//! Components: what is known of each; their bytes are files.

use anyhow::Result;
use sqlx::FromRow;

use super::{Durability, Store};

/// A component that was checked and stored.
#[derive(Debug, Clone, FromRow)]
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

impl Store {
    /// Stores what is known of a component.
    pub async fn add_component(&self, tenant: &str, component: ComponentRow) -> Result<()> {
        let tenant = tenant.to_owned();
        self.write(Durability::Synced, async move |db| {
            sqlx::query(
                "INSERT INTO components (tenant_id, digest, size_bytes, contract, exports, manifest, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
            )
            .bind(&tenant)
            .bind(&component.digest)
            .bind(component.size_bytes)
            .bind(&component.contract)
            .bind(&component.exports)
            .bind(&component.manifest)
            .bind(component.created_at)
            .execute(&mut *db)
            .await?;
            Ok(())
        })
        .await
    }

    /// A stored component.
    pub async fn component(&self, tenant: &str, digest: &str) -> Result<Option<ComponentRow>> {
        let row = sqlx::query_as(
            "SELECT digest, size_bytes, contract, exports, manifest, created_at FROM components
             WHERE tenant_id = $1 AND digest = $2",
        )
        .bind(tenant)
        .bind(digest)
        .fetch_optional(&self.reader)
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
        let rows = sqlx::query_as(
            "SELECT digest, size_bytes, contract, exports, manifest, created_at FROM components
             WHERE tenant_id = $1 AND digest > $2 ORDER BY digest LIMIT $3",
        )
        .bind(tenant)
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?;
        Ok(rows)
    }
}
