//! Deliveries: one for each event and agent that receives it, pending until it
//! is done, dead or expired.

use std::sync::LazyLock;

use anyhow::Result;
use rusqlite::{Connection, Row, params};

use super::events::{EVENT_COLUMNS, StoredEvent};
use super::sql::{self, values};
use super::{DeliveryKey, Durability, Store, events};
use crate::clock::now_ms;
use crate::events::dead_letter;

/// A delivery that is due, or one that failed for good.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub tenant_id: String,
    pub agent: String,
    pub status: String,
    pub attempts: i64,
    pub error: Option<String>,
    pub expires_at: Option<i64>,
    /// The turn of the attempt under way, or of the last one.
    pub turn: Option<String>,
    pub event: StoredEvent,
}

impl<'a> TryFrom<&Row<'a>> for Delivery {
    type Error = rusqlite::Error;

    fn try_from(row: &Row<'a>) -> rusqlite::Result<Self> {
        Ok(Self {
            tenant_id: row.get("tenant_id")?,
            agent: row.get("agent")?,
            status: row.get("status")?,
            attempts: row.get("attempts")?,
            error: row.get("error")?,
            expires_at: row.get("expires_at")?,
            turn: row.get("turn")?,
            event: row.try_into()?,
        })
    }
}

/// What a delivery is read from; one that was asked for by hand never expires.
static DELIVERY_COLUMNS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "d.tenant_id, d.agent, d.status, d.attempts, d.error, d.turn,
         CASE WHEN d.replayed THEN NULL ELSE e.expires_at END AS expires_at, {EVENT_COLUMNS}"
    )
});

impl Store {
    /// Deliveries that are due, best first, but for those to the agents
    /// (tenant and name) in `without`: at most one for each agent and ordering
    /// key, and only the earliest pending of a key.
    pub async fn due_deliveries(
        &self,
        limit: u32,
        without: &[(String, String)],
    ) -> Result<Vec<Delivery>> {
        let mut values = values![now_ms(), i64::from(limit)];
        let mut others = String::new();
        for (tenant, agent) in without {
            let next = values.len() + 1;
            others.push_str(&format!(
                " AND NOT (d.tenant_id = ?{next} AND d.agent = ?{})",
                next + 1
            ));
            values.extend(values![tenant, agent]);
        }
        let rows = self.all(format!(
            "SELECT {}
             FROM deliveries d JOIN events e ON e.position = d.event_position
             WHERE d.status = 'pending' AND d.next_at <= ?1{others}
               AND (d.ordering_key IS NULL OR NOT EXISTS (
                   SELECT 1 FROM deliveries earlier
                   WHERE earlier.status = 'pending' AND earlier.tenant_id = d.tenant_id AND earlier.agent = d.agent
                     AND earlier.ordering_key = d.ordering_key AND earlier.event_position < d.event_position))
             ORDER BY d.priority, d.event_position LIMIT ?2",
            *DELIVERY_COLUMNS
        ), values).await?;
        Ok(rows)
    }

    /// When the next delivery after `now` is due, in milliseconds since 1970.
    /// What is due already is under way, or waits for one that is.
    pub async fn next_delivery_at(&self, now: i64) -> Result<Option<i64>> {
        let sql = "SELECT min(next_at) FROM deliveries WHERE status = 'pending' AND next_at > ?1";
        let at: Option<(Option<i64>,)> = self.one(sql, values![now]).await?;
        Ok(at.and_then(|(at,)| at))
    }

    /// Records how an attempt ended: `done`, `dead` (which is published),
    /// `expired`, or `pending` until `next_at`.
    pub async fn settle_delivery(
        &self,
        delivery: &Delivery,
        status: &'static str,
        next_at: i64,
        error: Option<String>,
        turn: Option<String>,
    ) -> Result<()> {
        let (position, agent) = (delivery.event.position, delivery.agent.clone());
        let letter = match status {
            "dead" => dead_letter(delivery, error.as_deref()),
            _ => None,
        };
        self.write(Durability::Written, move |db: &Connection| {
            sql::execute(db, "UPDATE deliveries SET status = ?3, attempts = attempts + 1, next_at = ?4, error = ?5, turn = ?6
                 WHERE event_position = ?1 AND agent = ?2", params![position, &agent, status, next_at, &error, &turn])?;
            if let Some(letter) = &letter {
                events::publish(db, letter)?;
            }
            Ok(())
        })
        .await
    }

    /// Looks at a delivery again when its turn, which waits, has ended, and at
    /// `next_at` in any case.
    pub async fn defer_delivery(
        &self,
        delivery: &Delivery,
        turn: &str,
        next_at: i64,
    ) -> Result<()> {
        let (position, agent) = (delivery.event.position, delivery.agent.clone());
        let (tenant, turn) = (delivery.tenant_id.clone(), turn.to_owned());
        self.write(Durability::Written, move |db: &Connection| {
            sql::execute(
                db,
                "UPDATE deliveries SET next_at = ?3, turn = ?4 WHERE event_position = ?1 AND agent = ?2
                 AND EXISTS (SELECT 1 FROM turns WHERE tenant_id = ?5 AND id = ?4
                             AND status IN ('queued', 'running', 'waiting'))",
                params![position, agent, next_at, turn, tenant],
            )?;
            Ok(())
        })
        .await
    }

    /// Dead letters after `after` (the position of an event and an agent),
    /// oldest first.
    pub async fn dead_letters(
        &self,
        tenant: &str,
        after: (i64, &str),
        limit: u32,
    ) -> Result<Vec<Delivery>> {
        let rows = self
            .all(
                format!(
                    "SELECT {}
             FROM deliveries d JOIN events e ON e.position = d.event_position
             WHERE d.tenant_id = ?1 AND d.status = 'dead' AND (d.event_position, d.agent) > (?2, ?3)
             ORDER BY d.event_position, d.agent LIMIT ?4",
                    *DELIVERY_COLUMNS
                ),
                values![tenant, after.0, after.1, i64::from(limit)],
            )
            .await?;
        Ok(rows)
    }

    /// Makes a dead letter pending again, for one more attempt; answers whether
    /// there was one.
    pub async fn retry_dead_letter(&self, tenant: &str, event: &str, agent: &str) -> Result<bool> {
        let (tenant, event, agent) = (tenant.to_owned(), event.to_owned(), agent.to_owned());
        self.write(Durability::Synced, move |db: &Connection| {
            let retried = sql::execute(db, "UPDATE deliveries SET status = 'pending', next_at = ?4
                 WHERE tenant_id = ?1 AND agent = ?3 AND status = 'dead'
                   AND event_position = (SELECT position FROM events WHERE tenant_id = ?1 AND id = ?2)", params![&tenant, &event, &agent, now_ms()])?;
            Ok(retried == 1)
        })
        .await
    }
}

/// The turn of a delivery that waited has ended.
pub(super) fn resume(db: &Connection, turn: &str) -> Result<()> {
    sql::execute(
        db,
        "UPDATE deliveries SET next_at = ?2 WHERE turn = ?1 AND status = 'pending'",
        params![turn, now_ms()],
    )?;
    Ok(())
}

/// The attempt to deliver is this turn from now on.
pub(super) fn begin_delivery(db: &Connection, delivery: &DeliveryKey, turn: &str) -> Result<()> {
    sql::execute(
        db,
        "UPDATE deliveries SET turn = ?3 WHERE event_position = ?1 AND agent = ?2",
        params![delivery.event, delivery.agent, turn],
    )?;
    Ok(())
}
