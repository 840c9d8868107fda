//! Answers of models that may be given again to the same question.

use anyhow::Result;
use rusqlite::{Connection, params};

use super::sql::{self, values};
use super::{Durability, RETENTION_BATCH, Store};

/// An answer to keep.
#[derive(Debug, Clone)]
pub struct NewCachedResponse {
    pub tenant: String,
    pub key: String,
    pub response: Vec<u8>,
    /// Milliseconds since 1970.
    pub expires_at: i64,
}

impl Store {
    /// The answer under a key, if it has not expired by `now`.
    pub async fn cached_response(
        &self,
        tenant: &str,
        key: &str,
        now: i64,
    ) -> Result<Option<Vec<u8>>> {
        let sql = "SELECT response FROM response_cache
                   WHERE tenant_id = ?1 AND key = ?2 AND expires_at > ?3";
        let row: Option<(Vec<u8>,)> = self.one(sql, values![tenant, key, now]).await?;
        Ok(row.map(|(response,)| response))
    }

    /// Keeps an answer, and of its tenant's the `most` that expire last.
    pub async fn cache_response(&self, kept: NewCachedResponse, most: u32) -> Result<()> {
        self.write(Durability::Written, move |db: &Connection| {
            sql::execute(
                db,
                "INSERT INTO response_cache (tenant_id, key, response, expires_at)
                 VALUES (?1, ?2, ?3, ?4) ON CONFLICT (tenant_id, key) DO UPDATE SET
                     response = excluded.response, expires_at = excluded.expires_at",
                params![kept.tenant, kept.key, kept.response, kept.expires_at],
            )?;
            sql::execute(
                db,
                "DELETE FROM response_cache WHERE tenant_id = ?1 AND key IN
                     (SELECT key FROM response_cache WHERE tenant_id = ?1
                      ORDER BY expires_at DESC, key LIMIT -1 OFFSET ?2)",
                params![kept.tenant, most],
            )?;
            Ok(())
        })
        .await
    }

    /// Removes answers that expired by `now`; answers how many.
    pub async fn remove_cached_responses(&self, now: i64) -> Result<usize> {
        self.write(Durability::Written, move |db: &Connection| {
            sql::execute(
                db,
                "DELETE FROM response_cache WHERE (tenant_id, key) IN
                     (SELECT tenant_id, key FROM response_cache WHERE expires_at <= ?1 LIMIT ?2)",
                params![now, RETENTION_BATCH as i64],
            )
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::DEFAULT_TENANT;
    use crate::store::testing::open;

    async fn keep(store: &Store, key: &str, expires_at: i64, most: u32) {
        let kept = NewCachedResponse {
            tenant: DEFAULT_TENANT.to_owned(),
            key: key.to_owned(),
            response: key.as_bytes().to_vec(),
            expires_at,
        };
        store.cache_response(kept, most).await.unwrap();
    }

    async fn has(store: &Store, tenant: &str, key: &str, now: i64) -> bool {
        let found = store.cached_response(tenant, key, now).await.unwrap();
        found.is_some()
    }

    #[tokio::test]
    async fn answers_expire_and_belong_to_a_tenant() {
        let (_folder, store) = open();
        keep(&store, "a", 100, 10).await;
        assert!(has(&store, DEFAULT_TENANT, "a", 99).await);
        assert!(!has(&store, DEFAULT_TENANT, "a", 100).await);
        assert!(!has(&store, "other", "a", 99).await);
        assert!(!has(&store, DEFAULT_TENANT, "b", 99).await);
        keep(&store, "a", 200, 10).await;
        assert_eq!(store.remove_cached_responses(150).await.unwrap(), 0);
        assert_eq!(store.remove_cached_responses(200).await.unwrap(), 1);
        assert!(!has(&store, DEFAULT_TENANT, "a", 0).await);
    }

    #[tokio::test]
    async fn the_oldest_make_room() {
        let (_folder, store) = open();
        for (key, expires_at) in [("a", 1), ("b", 3), ("c", 2)] {
            keep(&store, key, expires_at, 2).await;
        }
        assert!(!has(&store, DEFAULT_TENANT, "a", 0).await);
        assert!(has(&store, DEFAULT_TENANT, "b", 0).await);
        assert!(has(&store, DEFAULT_TENANT, "c", 0).await);
    }
}
