//! Bearer tokens, kept as hashes.

use std::str::FromStr;

use anyhow::{Result, anyhow};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::sql::{self, columns, values};
use super::{Durability, Store};
use crate::clock::now_ms;

/// What a token allows. `Admin` includes the others.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Talk to agents, and read one's own turns.
    Chat,
    /// Read everything: agents, turns, journals, usage, events.
    Read,
    /// Change agents, components, events.
    Write,
    /// All of it, and tokens.
    Admin,
}

impl FromStr for Scope {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "chat" => Ok(Self::Chat),
            "read" => Ok(Self::Read),
            "write" => Ok(Self::Write),
            "admin" => Ok(Self::Admin),
            _ => Err(anyhow!(
                "unknown scope {text:?}; scopes are chat, read, write, admin"
            )),
        }
    }
}

impl Scope {
    /// The name in configuration and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// A token as stored; its hash is not read back.
#[derive(Debug, Clone)]
pub struct TokenRow {
    pub tenant_id: String,
    pub id: String,
    pub name: String,
    /// Separated by spaces.
    pub scopes: String,
    pub created_at: i64,
    pub revoked_at: Option<i64>,
}

impl TokenRow {
    /// The scopes that this host knows.
    pub fn scopes(&self) -> Vec<Scope> {
        self.scopes
            .split(' ')
            .filter_map(|scope| scope.parse().ok())
            .collect()
    }
}

columns!(TokenRow: tenant_id, id, name, scopes, created_at, revoked_at);

impl Store {
    /// Stores a token by its hash (SHA-256, hex).
    pub async fn add_token(
        &self,
        tenant: &str,
        id: &str,
        name: &str,
        hash: &str,
        scopes: &[Scope],
    ) -> Result<()> {
        let (id, name, hash) = (id.to_owned(), name.to_owned(), hash.to_owned());
        let tenant = tenant.to_owned();
        let scopes: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
        let scopes = scopes.join(" ");
        self.write(Durability::Synced, move |db: &Connection| {
            sql::execute(db, "INSERT INTO tokens (tenant_id, id, name, hash, scopes, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)", params![&tenant, &id, &name, &hash, &scopes, now_ms()])?;
            Ok(())
        })
        .await
    }

    /// The token with this hash, unless it was revoked. The look-up is by a
    /// hash of a random value, so its time tells nothing of use.
    pub async fn token_by_hash(&self, hash: &str) -> Result<Option<TokenRow>> {
        let row = self
            .one(
                "SELECT tenant_id, id, name, scopes, created_at, revoked_at FROM tokens
             WHERE hash = ?1 AND revoked_at IS NULL",
                values![hash],
            )
            .await?;
        Ok(row)
    }

    /// All tokens of a tenant, revoked ones too.
    pub async fn tokens(&self, tenant: &str) -> Result<Vec<TokenRow>> {
        let rows = self
            .all(
                "SELECT tenant_id, id, name, scopes, created_at, revoked_at FROM tokens
             WHERE tenant_id = ?1 ORDER BY created_at, id",
                values![tenant],
            )
            .await?;
        Ok(rows)
    }

    /// Revokes a token; answers whether there was one.
    pub async fn revoke_token(&self, tenant: &str, id: &str) -> Result<bool> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.write(Durability::Synced, move |db: &Connection| {
            let revoked = sql::execute(db, "UPDATE tokens SET revoked_at = ?3 WHERE tenant_id = ?1 AND id = ?2 AND revoked_at IS NULL", params![&tenant, &id, now_ms()])?;
            Ok(revoked == 1)
        })
        .await
    }
}
