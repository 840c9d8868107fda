//! The agents' key-value state.
//!
//! A write happens in one transaction with its journal entry, so that a turn
//! that is run again finds either both or neither.

use anyhow::Result;
use rusqlite::{Connection, params};

use super::sql::{self, values};
use super::{Durability, JournalPart, Store, journal};
use crate::clock::now_ms;

/// Whose state it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateScope {
    pub tenant: String,
    pub agent: String,
    /// `agent`, `conversation` or `user`.
    pub scope: &'static str,
    /// The conversation or user; empty for the agent's own.
    pub scope_id: String,
}

/// A stored value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateValue {
    pub value: Vec<u8>,
    pub revision: String,
    pub expires_at: Option<i64>,
}

/// A change of one key.
#[derive(Debug, Clone)]
pub enum StateChange {
    Set {
        value: Vec<u8>,
        revision: String,
        expires_at: Option<i64>,
    },
    /// As `Set`, if the current revision is `expected`.
    CompareAndSet {
        expected: Option<String>,
        value: Vec<u8>,
        revision: String,
        expires_at: Option<i64>,
    },
    Remove,
}

impl Store {
    /// The value of a key, unless it has expired.
    pub async fn state(&self, scope: &StateScope, key: &str) -> Result<Option<StateValue>> {
        let row: Option<(Vec<u8>, String, Option<i64>)> = self
            .one(
                "SELECT value, revision, expires_at FROM state
             WHERE tenant_id = ?1 AND agent = ?2 AND scope = ?3 AND scope_id = ?4 AND key = ?5
               AND (expires_at IS NULL OR expires_at > ?6)",
                values![
                    &scope.tenant,
                    &scope.agent,
                    scope.scope,
                    &scope.scope_id,
                    key,
                    now_ms()
                ],
            )
            .await?;
        Ok(row.map(|(value, revision, expires_at)| StateValue {
            value,
            revision,
            expires_at,
        }))
    }

    /// Keys with `prefix`, after `after`, in byte order.
    pub async fn state_keys(
        &self,
        scope: &StateScope,
        prefix: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<String>> {
        let rows: Vec<(String,)> = self
            .all(
                "SELECT key FROM state
             WHERE tenant_id = ?1 AND agent = ?2 AND scope = ?3 AND scope_id = ?4
               AND substr(key, 1, length(?5)) = ?5 AND key > ?6
               AND (expires_at IS NULL OR expires_at > ?7)
             ORDER BY key LIMIT ?8",
                values![
                    &scope.tenant,
                    &scope.agent,
                    scope.scope,
                    &scope.scope_id,
                    prefix,
                    after,
                    now_ms(),
                    i64::from(limit)
                ],
            )
            .await?;
        Ok(rows.into_iter().map(|(key,)| key).collect())
    }

    /// Changes a key and stores journal entries in the same transaction.
    /// `part` makes them from whether the change took place.
    pub async fn change_state<P>(
        &self,
        scope: StateScope,
        key: String,
        change: StateChange,
        turn: String,
        part: P,
    ) -> Result<bool>
    where
        P: Fn(bool) -> Result<JournalPart> + Send + 'static,
    {
        self.write(Durability::Written, move |db: &Connection| {
            let changed = apply(db, &scope, &key, &change)?;
            journal::append(db, &scope.tenant, &turn, &part(changed)?)?;
            Ok(changed)
        })
        .await
    }

    /// Deletes values that have expired; answers how many.
    pub async fn remove_expired_state(&self) -> Result<usize> {
        self.write(Durability::Written, |db: &Connection| {
            sql::execute(
                db,
                "DELETE FROM state WHERE expires_at <= ?1",
                params![now_ms()],
            )
        })
        .await
    }
}

fn apply(db: &Connection, scope: &StateScope, key: &str, change: &StateChange) -> Result<bool> {
    match change {
        StateChange::Set {
            value,
            revision,
            expires_at,
        } => {
            put(db, scope, key, value, revision, *expires_at)?;
            Ok(true)
        }
        StateChange::CompareAndSet {
            expected,
            value,
            revision,
            expires_at,
        } => {
            if current_revision(db, scope, key)? != *expected {
                return Ok(false);
            }
            put(db, scope, key, value, revision, *expires_at)?;
            Ok(true)
        }
        StateChange::Remove => {
            let existed = current_revision(db, scope, key)?.is_some();
            sql::execute(
                db,
                "DELETE FROM state WHERE tenant_id = ?1 AND agent = ?2 AND scope = ?3 AND scope_id = ?4 AND key = ?5",
                params![
                    &scope.tenant,
                    &scope.agent,
                    scope.scope,
                    &scope.scope_id,
                    key
                ],
            )?;
            Ok(existed)
        }
    }
}

fn current_revision(db: &Connection, scope: &StateScope, key: &str) -> Result<Option<String>> {
    let row: Option<(String,)> = sql::one(
        db,
        "SELECT revision FROM state
         WHERE tenant_id = ?1 AND agent = ?2 AND scope = ?3 AND scope_id = ?4 AND key = ?5
           AND (expires_at IS NULL OR expires_at > ?6)",
        params![
            &scope.tenant,
            &scope.agent,
            scope.scope,
            &scope.scope_id,
            key,
            now_ms()
        ],
    )?;
    Ok(row.map(|(revision,)| revision))
}

fn put(
    db: &Connection,
    scope: &StateScope,
    key: &str,
    value: &[u8],
    revision: &str,
    expires_at: Option<i64>,
) -> Result<()> {
    sql::execute(db, "INSERT INTO state (tenant_id, agent, scope, scope_id, key, value, revision, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (tenant_id, agent, scope, scope_id, key) DO UPDATE SET
             value = excluded.value, revision = excluded.revision, expires_at = excluded.expires_at", params![&scope.tenant, &scope.agent, scope.scope, &scope.scope_id, key, value, revision, expires_at])?;
    Ok(())
}
