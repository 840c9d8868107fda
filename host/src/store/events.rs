//! Events and their deliveries.
//!
//! An event is stored together with one pending delivery for each agent whose
//! subscriptions match at that moment. Deliveries of one agent and ordering key
//! are taken strictly in order.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use sqlx::sqlite::SqliteConnection;

use super::{Durability, JournalEntry, Store, journal};
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
#[derive(Debug, Clone, FromRow, Serialize, Deserialize)]
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
#[derive(Debug, Clone, FromRow)]
pub struct Delivery {
    pub tenant_id: String,
    pub agent: String,
    pub status: String,
    pub attempts: i64,
    pub error: Option<String>,
    pub expires_at: Option<i64>,
    #[sqlx(flatten)]
    pub event: StoredEvent,
}

const EVENT_COLUMNS: &str =
    "e.position, e.id, e.topic, e.source, e.data, e.ordering_key, e.correlation, e.priority, e.at";

impl Store {
    /// Stores an event and its deliveries; answers to how many agents it goes.
    pub async fn publish(&self, event: NewEvent, durability: Durability) -> Result<usize> {
        self.write(durability, async move |db| publish(db, &event).await)
            .await
    }

    /// Stores an event, its deliveries and journal entries of the turn that
    /// publishes it, in one transaction.
    pub async fn publish_with_journal(
        &self,
        event: NewEvent,
        turn: String,
        entries: Vec<JournalEntry>,
    ) -> Result<usize> {
        self.write(Durability::Written, async move |db| {
            let subscribers = publish(db, &event).await?;
            journal::append(db, &event.tenant, &turn, &entries).await?;
            Ok(subscribers)
        })
        .await
    }

    /// Deliveries that are due, best first: at most one for each agent and
    /// ordering key, and only the earliest pending of a key.
    pub async fn due_deliveries(&self, limit: u32) -> Result<Vec<Delivery>> {
        let rows = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "SELECT d.tenant_id, d.agent, d.status, d.attempts, d.error, e.expires_at, {EVENT_COLUMNS}
             FROM deliveries d JOIN events e ON e.position = d.event_position
             WHERE d.status = 'pending' AND d.next_at <= $1
               AND (d.ordering_key IS NULL OR NOT EXISTS (
                   SELECT 1 FROM deliveries earlier
                   WHERE earlier.status = 'pending' AND earlier.tenant_id = d.tenant_id AND earlier.agent = d.agent
                     AND earlier.ordering_key = d.ordering_key AND earlier.event_position < d.event_position))
             ORDER BY d.priority, d.event_position LIMIT $2"
        )))
        .bind(now_ms())
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?;
        Ok(rows)
    }

    /// When the next delivery is due, in milliseconds since 1970.
    pub async fn next_delivery_at(&self) -> Result<Option<i64>> {
        let (at,): (Option<i64>,) =
            sqlx::query_as("SELECT min(next_at) FROM deliveries WHERE status = 'pending'")
                .fetch_one(&self.reader)
                .await?;
        Ok(at)
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
        self.write(Durability::Written, async move |db| {
            sqlx::query(
                "UPDATE deliveries SET status = $3, attempts = attempts + 1, next_at = $4, error = $5, turn = $6
                 WHERE event_position = $1 AND agent = $2",
            )
            .bind(position)
            .bind(&agent)
            .bind(status)
            .bind(next_at)
            .bind(&error)
            .bind(&turn)
            .execute(&mut *db)
            .await?;
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
        let rows = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "SELECT {EVENT_COLUMNS} FROM events e
             WHERE e.tenant_id = $1 AND e.position > $2 AND ($3 IS NULL OR e.topic = $3)
             ORDER BY e.position LIMIT $4"
        )))
        .bind(tenant)
        .bind(after)
        .bind(topic)
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
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
        let rows = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "SELECT d.tenant_id, d.agent, d.status, d.attempts, d.error, e.expires_at, {EVENT_COLUMNS}
             FROM deliveries d JOIN events e ON e.position = d.event_position
             WHERE d.tenant_id = $1 AND d.status = 'dead' AND (d.event_position, d.agent) > ($2, $3)
             ORDER BY d.event_position, d.agent LIMIT $4"
        )))
        .bind(tenant)
        .bind(after.0)
        .bind(after.1)
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?;
        Ok(rows)
    }

    /// Makes a dead letter pending again, for one more attempt; answers whether
    /// there was one.
    pub async fn retry_dead_letter(&self, tenant: &str, event: &str, agent: &str) -> Result<bool> {
        let (tenant, event, agent) = (tenant.to_owned(), event.to_owned(), agent.to_owned());
        self.write(Durability::Synced, async move |db| {
            let retried = sqlx::query(
                "UPDATE deliveries SET status = 'pending', next_at = $4
                 WHERE tenant_id = $1 AND agent = $3 AND status = 'dead'
                   AND event_position = (SELECT position FROM events WHERE tenant_id = $1 AND id = $2)",
            )
            .bind(&tenant)
            .bind(&event)
            .bind(&agent)
            .bind(now_ms())
            .execute(&mut *db)
            .await?;
            Ok(retried.rows_affected() == 1)
        })
        .await
    }
}

async fn publish(db: &mut SqliteConnection, event: &NewEvent) -> Result<usize> {
    let (position,): (i64,) = sqlx::query_as(
        "INSERT INTO events (tenant_id, id, topic, source, data, ordering_key, correlation, priority, at, due_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING position",
    )
    .bind(&event.tenant)
    .bind(&event.id)
    .bind(&event.topic)
    .bind(&event.source)
    .bind(&event.data)
    .bind(&event.ordering_key)
    .bind(&event.correlation)
    .bind(i64::from(event.priority))
    .bind(now_ms())
    .bind(event.due_at)
    .bind(event.expires_at)
    .fetch_one(&mut *db)
    .await?;
    let agents = subscribers(db, event).await?;
    for agent in &agents {
        sqlx::query(
            "INSERT INTO deliveries (tenant_id, event_position, agent, status, priority, ordering_key, attempts, next_at)
             VALUES ($1, $2, $3, 'pending', $4, $5, 0, $6)",
        )
        .bind(&event.tenant)
        .bind(position)
        .bind(agent)
        .bind(i64::from(event.priority))
        .bind(&event.ordering_key)
        .bind(event.due_at)
        .execute(&mut *db)
        .await?;
    }
    Ok(agents.len())
}

/// Agents whose subscriptions match, each once.
async fn subscribers(db: &mut SqliteConnection, event: &NewEvent) -> Result<Vec<String>> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT s.agent, s.pattern FROM subscriptions s
         JOIN agents a ON a.tenant_id = s.tenant_id AND a.name = s.agent AND a.status = 'enabled'
         WHERE s.tenant_id = $1 AND ((NOT s.wildcard AND s.pattern = $2) OR s.wildcard)
         ORDER BY s.agent",
    )
    .bind(&event.tenant)
    .bind(&event.topic)
    .fetch_all(&mut *db)
    .await?;
    let mut agents: Vec<String> = rows
        .into_iter()
        .filter(|(_, pattern)| topic_matches(pattern, &event.topic))
        .map(|(agent, _)| agent)
        .collect();
    agents.dedup();
    Ok(agents)
}
