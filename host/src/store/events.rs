//! Events.
//!
//! An event is stored together with one pending delivery for each agent whose
//! subscriptions match at that moment. Deliveries of one agent and ordering key
//! are taken strictly in order.

use anyhow::Result;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::sql::{self, columns, values};
use super::{Durability, JournalPart, Store, journal};
use crate::clock::now_ms;
use crate::events::{Facts, topic_matches};

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
    /// How many events led to it.
    pub hops: u32,
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
    pub hops: i64,
    pub at: i64,
}

pub(super) const EVENT_COLUMNS: &str = "e.position, e.id, e.topic, e.source, e.data, e.ordering_key, e.correlation, e.priority, e.hops, e.at";

columns!(StoredEvent: position, id, topic, source, data, ordering_key, correlation, priority, hops, at);

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

    /// The position of the latest event of all.
    pub async fn last_event_position(&self) -> Result<i64> {
        let sql = "SELECT max(position) FROM events";
        let row: Option<(Option<i64>,)> = self.one(sql, values![]).await?;
        Ok(row.and_then(|(position,)| position).unwrap_or(0))
    }

    /// Events after `after` and up to `last`, oldest first: of all topics, or
    /// roughly those that `pattern` covers, and maybe a few others.
    pub async fn events_like(
        &self,
        tenant: &str,
        pattern: Option<&str>,
        after: i64,
        last: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>> {
        self.all(
            format!(
                "SELECT {EVENT_COLUMNS} FROM events e
             WHERE e.tenant_id = ?1 AND e.position > ?2 AND e.position <= ?3 AND (?4 IS NULL OR e.topic GLOB ?4)
             ORDER BY e.position LIMIT ?5"
            ),
            values![tenant, after, last, pattern, i64::from(limit)],
        )
        .await
    }

    /// How many events led to what this turn does: one more than to the event
    /// that it handles, or one of the turns that asked for it.
    pub async fn hops_of_turn(&self, tenant: &str, turn: &str) -> Result<u32> {
        let handled: Option<(Option<i64>,)> = self
            .one(
                "WITH RECURSIVE up (turn) AS (
                 SELECT ?2 UNION SELECT t.parent FROM turns t JOIN up ON t.id = up.turn
                 WHERE t.tenant_id = ?1 AND t.parent IS NOT NULL)
             SELECT max(e.hops) FROM up JOIN deliveries d ON d.turn = up.turn
             JOIN events e ON e.position = d.event_position
             WHERE d.tenant_id = ?1 AND d.status IN ('pending', 'dead')",
                values![tenant, turn],
            )
            .await?;
        let hops = handled.and_then(|(hops,)| hops).map_or(0, |hops| hops + 1);
        Ok(u32::try_from(hops).unwrap_or(u32::MAX))
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
}

pub(super) fn publish(db: &Connection, event: &NewEvent) -> Result<usize> {
    let (position,): (i64,) = sql::only(db, "INSERT INTO events (tenant_id, id, topic, source, data, ordering_key, correlation, priority, hops, at, due_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) RETURNING position", params![&event.tenant, &event.id, &event.topic, &event.source, &event.data, &event.ordering_key, &event.correlation, i64::from(event.priority), i64::from(event.hops), now_ms(), event.due_at, event.expires_at])?;
    let agents = subscribers(db, event)?;
    for agent in &agents {
        sql::execute(db, "INSERT INTO deliveries (tenant_id, event_position, agent, status, priority, ordering_key, attempts, next_at)
             VALUES (?1, ?2, ?3, 'pending', ?4, ?5, 0, ?6)", params![&event.tenant, position, agent, i64::from(event.priority), &event.ordering_key, event.due_at])?;
    }
    Ok(agents.len())
}

/// Agents with a subscription that matches, each once.
fn subscribers(db: &Connection, event: &NewEvent) -> Result<Vec<String>> {
    let rows: Vec<(String, String, String)> = sql::all(
        db,
        "SELECT s.agent, s.pattern, s.filter FROM subscriptions s
         JOIN agents a ON a.tenant_id = s.tenant_id AND a.name = s.agent AND a.status = 'enabled'
         WHERE s.tenant_id = ?1 AND ((NOT s.wildcard AND s.pattern = ?2) OR s.wildcard)
         ORDER BY s.agent",
        params![&event.tenant, &event.topic],
    )?;
    let facts = Facts::from(event);
    let mut agents: Vec<String> = Vec::new();
    for (agent, pattern, filter) in rows {
        let is_new = agents.last() != Some(&agent);
        if is_new && topic_matches(&pattern, &event.topic) && facts.pass(&agent, &filter) {
            agents.push(agent);
        }
    }
    Ok(agents)
}
