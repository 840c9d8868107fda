//! Events and their deliveries.
//!
//! An event is stored together with one pending delivery for each agent whose
//! subscriptions match at that moment. Deliveries of one agent and ordering key
//! are taken strictly in order.

use anyhow::Result;
use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};

use super::sql::{self, columns, values};
use super::{DeliveryKey, Durability, JournalPart, Store, journal};
use crate::clock::now_ms;
use crate::events::topic_matches;

/// An event to publish.
#[derive(Debug, Clone)]
pub struct NewEvent {
    pub tenant: String,
    pub id: String,
    pub topic: String,
    pub source: String,
    /// JSON.
    pub data: String,
    pub ordering_key: Option<String>,
    pub correlation: Option<String>,
    pub priority: u8,
    pub due_at: i64,
    pub expires_at: Option<i64>,
}

/// An event as stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredEvent {
    pub position: i64,
    pub id: String,
    pub topic: String,
    pub source: String,
    pub data: String,
    pub ordering_key: Option<String>,
    pub correlation: Option<String>,
    pub priority: i64,
    pub at: i64,
}

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

const EVENT_COLUMNS: &str =
    "e.position, e.id, e.topic, e.source, e.data, e.ordering_key, e.correlation, e.priority, e.at";

columns!(StoredEvent: position, id, topic, source, data, ordering_key, correlation, priority, at);

impl Store {
    /// Stores an event and its deliveries; answers to how many agents it goes.
    pub async fn publish(&self, event: NewEvent, durability: Durability) -> Result<usize> {
        self.write(durability, move |db: &Connection| publish(db, &event))
            .await
    }

    /// Stores an event, its deliveries and journal entries of the turn that
    /// publishes it, in one transaction.
    pub async fn publish_with_journal(
        &self,
        event: NewEvent,
        turn: String,
        part: JournalPart,
    ) -> Result<usize> {
        self.write(Durability::Written, move |db: &Connection| {
            let subscribers = publish(db, &event)?;
            journal::append(db, &event.tenant, &turn, &part)?;
            Ok(subscribers)
        })
        .await
    }

    /// Deliveries that are due, best first: at most one for each agent and
    /// ordering key, and only the earliest pending of a key.
    pub async fn due_deliveries(&self, limit: u32) -> Result<Vec<Delivery>> {
        let rows = self.all(format!(
            "SELECT d.tenant_id, d.agent, d.status, d.attempts, d.error, d.turn, e.expires_at, {EVENT_COLUMNS}
             FROM deliveries d JOIN events e ON e.position = d.event_position
             WHERE d.status = 'pending' AND d.next_at <= ?1
               AND (d.ordering_key IS NULL OR NOT EXISTS (
                   SELECT 1 FROM deliveries earlier
                   WHERE earlier.status = 'pending' AND earlier.tenant_id = d.tenant_id AND earlier.agent = d.agent
                     AND earlier.ordering_key = d.ordering_key AND earlier.event_position < d.event_position))
             ORDER BY d.priority, d.event_position LIMIT ?2"
        ), values![now_ms(), i64::from(limit)]).await?;
        Ok(rows)
    }

    /// When the next delivery is due, in milliseconds since 1970.
    pub async fn next_delivery_at(&self) -> Result<Option<i64>> {
        let sql = "SELECT min(next_at) FROM deliveries WHERE status = 'pending'";
        let at: Option<(Option<i64>,)> = self.one(sql, values![]).await?;
        Ok(at.and_then(|(at,)| at))
    }

    /// Records how an attempt ended: `done`, `dead`, `expired`, or `pending`
    /// until `next_at`.
    pub async fn settle_delivery(
        &self,
        delivery: &Delivery,
        status: &'static str,
        next_at: i64,
        error: Option<String>,
        turn: Option<String>,
    ) -> Result<()> {
        let (position, agent) = (delivery.event.position, delivery.agent.clone());
        self.write(Durability::Written, move |db: &Connection| {
            sql::execute(db, "UPDATE deliveries SET status = ?3, attempts = attempts + 1, next_at = ?4, error = ?5, turn = ?6
                 WHERE event_position = ?1 AND agent = ?2", params![position, &agent, status, next_at, &error, &turn])?;
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

    /// Events after `after`, oldest first.
    pub async fn events(
        &self,
        tenant: &str,
        topic: Option<&str>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>> {
        let rows = self
            .all(
                format!(
                    "SELECT {EVENT_COLUMNS} FROM events e
             WHERE e.tenant_id = ?1 AND e.position > ?2 AND (?3 IS NULL OR e.topic = ?3)
             ORDER BY e.position LIMIT ?4"
                ),
                values![tenant, after, topic, i64::from(limit)],
            )
            .await?;
        Ok(rows)
    }

    /// Dead letters after `after` (the position of an event and an agent),
    /// oldest first.
    pub async fn dead_letters(
        &self,
        tenant: &str,
        after: (i64, &str),
        limit: u32,
    ) -> Result<Vec<Delivery>> {
        let rows = self.all(format!(
            "SELECT d.tenant_id, d.agent, d.status, d.attempts, d.error, d.turn, e.expires_at, {EVENT_COLUMNS}
             FROM deliveries d JOIN events e ON e.position = d.event_position
             WHERE d.tenant_id = ?1 AND d.status = 'dead' AND (d.event_position, d.agent) > (?2, ?3)
             ORDER BY d.event_position, d.agent LIMIT ?4"
        ), values![tenant, after.0, after.1, i64::from(limit)]).await?;
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
pub(super) fn resume_delivery(db: &Connection, turn: &str) -> Result<()> {
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

fn publish(db: &Connection, event: &NewEvent) -> Result<usize> {
    let (position,): (i64,) = sql::only(db, "INSERT INTO events (tenant_id, id, topic, source, data, ordering_key, correlation, priority, at, due_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) RETURNING position", params![&event.tenant, &event.id, &event.topic, &event.source, &event.data, &event.ordering_key, &event.correlation, i64::from(event.priority), now_ms(), event.due_at, event.expires_at])?;
    let agents = subscribers(db, event)?;
    for agent in &agents {
        sql::execute(db, "INSERT INTO deliveries (tenant_id, event_position, agent, status, priority, ordering_key, attempts, next_at)
             VALUES (?1, ?2, ?3, 'pending', ?4, ?5, 0, ?6)", params![&event.tenant, position, agent, i64::from(event.priority), &event.ordering_key, event.due_at])?;
    }
    Ok(agents.len())
}

/// Agents whose subscriptions match, each once.
fn subscribers(db: &Connection, event: &NewEvent) -> Result<Vec<String>> {
    let rows: Vec<(String, String)> = sql::all(
        db,
        "SELECT s.agent, s.pattern FROM subscriptions s
         JOIN agents a ON a.tenant_id = s.tenant_id AND a.name = s.agent AND a.status = 'enabled'
         WHERE s.tenant_id = ?1 AND ((NOT s.wildcard AND s.pattern = ?2) OR s.wildcard)
         ORDER BY s.agent",
        params![&event.tenant, &event.topic],
    )?;
    let mut agents: Vec<String> = rows
        .into_iter()
        .filter(|(_, pattern)| topic_matches(pattern, &event.topic))
        .map(|(agent, _)| agent)
        .collect();
    agents.dedup();
    Ok(agents)
}
