//! Answers on their way out: stored with the end of their turn, delivered in
//! order within a conversation, kept when they cannot be.

use anyhow::Result;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::sql::{self, columns, stored_as_text, values};
use super::{Durability, Store};
use crate::clock::now_ms;

/// Where an answer is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutgoingStatus {
    Pending,
    Delivered,
    /// It could not be delivered and is not tried again by itself.
    Dead,
}

stored_as_text!(OutgoingStatus: Pending = "pending", Delivered = "delivered", Dead = "dead");

impl OutgoingStatus {
    /// The name in the database and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

/// An answer that is to be delivered.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub position: i64,
    pub tenant_id: String,
    /// Whose answer it is, and the idempotency key of its delivery.
    pub turn: String,
    pub channel: String,
    pub conversation: Option<String>,
    /// Where to, for the channel.
    pub target: String,
    pub status: OutgoingStatus,
    /// Attempts that failed.
    pub attempts: i64,
    pub next_at: i64,
    pub error: Option<String>,
    pub created_at: i64,
    pub settled_at: Option<i64>,
}

columns!(Outgoing: position, tenant_id, turn, channel, conversation, target, status, attempts, next_at, error,
    created_at, settled_at);

/// How an attempt to deliver came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    Delivered,
    /// Not before this time, in milliseconds since 1970.
    Again {
        at: i64,
        error: String,
    },
    Dead {
        error: String,
    },
}

impl Store {
    /// Answers of a channel that are due, in order: of a conversation only the
    /// first that is not delivered.
    pub async fn due_outgoing(&self, channel: &str, now: i64, limit: u32) -> Result<Vec<Outgoing>> {
        let sql = "SELECT * FROM outbox o
             WHERE channel = ?1 AND status = 'pending' AND next_at <= ?2
               AND (conversation IS NULL OR NOT EXISTS (
                   SELECT 1 FROM outbox earlier
                   WHERE earlier.status = 'pending' AND earlier.tenant_id = o.tenant_id
                     AND earlier.conversation = o.conversation AND earlier.position < o.position))
             ORDER BY position LIMIT ?3";
        self.all(sql, values![channel, now, i64::from(limit)]).await
    }

    /// When an answer of a channel is due after `now`, in milliseconds since 1970.
    pub async fn next_outgoing_at(&self, channel: &str, now: i64) -> Result<Option<i64>> {
        // What is due and waits for an answer before it says nothing of when.
        let sql = "SELECT min(next_at) FROM outbox WHERE channel = ?1 AND status = 'pending' AND next_at > ?2";
        let at: Option<(Option<i64>,)> = self.one(sql, values![channel, now]).await?;
        Ok(at.and_then(|(at,)| at))
    }

    /// Records how an attempt to deliver came out.
    pub async fn settle_outgoing(&self, position: i64, attempt: Attempt) -> Result<()> {
        let (status, failed, next_at, error) = match attempt {
            Attempt::Delivered => (OutgoingStatus::Delivered, 0, now_ms(), None),
            Attempt::Again { at, error } => (OutgoingStatus::Pending, 1, at, Some(error)),
            Attempt::Dead { error } => (OutgoingStatus::Dead, 1, now_ms(), Some(error)),
        };
        let settled_at = (status != OutgoingStatus::Pending).then(now_ms);
        self.write(Durability::Written, move |db: &Connection| {
            sql::execute(
                db,
                "UPDATE outbox SET status = ?2, attempts = attempts + ?3, next_at = ?4, error = ?5, settled_at = ?6
                 WHERE position = ?1 AND status = 'pending'",
                params![position, status, failed, next_at, &error, settled_at],
            )?;
            Ok(())
        })
        .await
    }

    /// Answers with this status, or any, oldest first, after the position
    /// `after`.
    pub async fn outgoing(
        &self,
        tenant: &str,
        status: Option<OutgoingStatus>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Outgoing>> {
        let sql = "SELECT * FROM outbox WHERE tenant_id = ?1 AND position > ?2 AND (?3 IS NULL OR status = ?3)
                   ORDER BY position LIMIT ?4";
        let status = status.map(OutgoingStatus::name);
        self.all(sql, values![tenant, after, status, i64::from(limit)])
            .await
    }

    /// Tries an answer again that is a dead letter; answers whether there is one.
    pub async fn retry_outgoing(&self, tenant: &str, turn: &str) -> Result<bool> {
        let (tenant, turn) = (tenant.to_owned(), turn.to_owned());
        self.write(Durability::Synced, move |db: &Connection| {
            let retried = sql::execute(
                db,
                "UPDATE outbox SET status = 'pending', attempts = 0, next_at = ?3, settled_at = NULL
                 WHERE tenant_id = ?1 AND turn = ?2 AND status = 'dead'",
                params![tenant, turn, now_ms()],
            )?;
            Ok(retried == 1)
        })
        .await
    }
}

/// The answer of a turn is to be delivered to `target`.
pub(super) fn send(
    db: &Connection,
    tenant: &str,
    turn: &str,
    target: &str,
    now: i64,
) -> Result<()> {
    sql::execute(
        db,
        "INSERT INTO outbox (tenant_id, turn, channel, conversation, target, status, next_at, created_at)
         SELECT tenant_id, id, channel, conversation, ?3, 'pending', ?4, ?4 FROM turns
         WHERE tenant_id = ?1 AND id = ?2",
        params![tenant, turn, target, now],
    )?;
    Ok(())
}
