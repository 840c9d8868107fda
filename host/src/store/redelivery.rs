//! Delivering again what was published before, to one agent.

use anyhow::Result;
use rusqlite::{Connection, params};

use super::events::{EVENT_COLUMNS, StoredEvent};
use super::sql::{self, values};
use super::{Durability, Store};
use crate::clock::now_ms;
use crate::events::{Facts, topic_matches};

/// Events that are looked at in one transaction, so that nobody waits for long.
const BATCH: i64 = 100;

/// What to deliver again.
#[derive(Debug, Clone)]
pub struct Redelivery {
    pub tenant: String,
    pub agent: String,
    /// The position of the first event.
    pub first: i64,
    /// Events of these topics, instead of those that the agent subscribes to.
    pub pattern: Option<String>,
    /// How many deliveries at most.
    pub limit: u32,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redelivered {
    pub deliveries: u32,
    /// The event to go on from, where there are more than the limit.
    pub next: Option<String>,
}

impl Store {
    /// Makes deliveries of stored events pending, new or again, but for those
    /// that are. They do not expire any more.
    pub async fn deliver_again(&self, asked: Redelivery) -> Result<Redelivered> {
        let last = self.last_event_position().await?;
        let (mut deliveries, mut after) = (0, asked.first.saturating_sub(1));
        loop {
            let (asked, room) = (asked.clone(), asked.limit - deliveries);
            let batch = self
                .write(Durability::Synced, move |db: &Connection| {
                    deliver_some(db, &asked, after, last, room)
                })
                .await?;
            deliveries += batch.deliveries;
            match batch.after {
                Some(position) if batch.next.is_none() => after = position,
                _ => {
                    let next = batch.next;
                    return Ok(Redelivered { deliveries, next });
                }
            }
        }
    }

    /// The position of an event.
    pub async fn event_position(&self, tenant: &str, event: &str) -> Result<Option<i64>> {
        let sql = "SELECT position FROM events WHERE tenant_id = ?1 AND id = ?2";
        let row: Option<(i64,)> = self.one(sql, values![tenant, event]).await?;
        Ok(row.map(|(position,)| position))
    }

    /// The position of the first event that was published at `time` or later,
    /// or a position after all.
    pub async fn position_at(&self, time: i64) -> Result<i64> {
        let sql = "SELECT min(position) FROM events WHERE at >= ?1";
        let row: Option<(Option<i64>,)> = self.one(sql, values![time]).await?;
        Ok(row.and_then(|(position,)| position).unwrap_or(i64::MAX))
    }
}

/// One batch; `after` is the last event that was looked at, none at the end.
struct Batch {
    deliveries: u32,
    after: Option<i64>,
    next: Option<String>,
}

fn deliver_some(
    db: &Connection,
    asked: &Redelivery,
    after: i64,
    last: i64,
    room: u32,
) -> Result<Batch> {
    let events: Vec<StoredEvent> = sql::all(
        db,
        &format!(
            "SELECT {EVENT_COLUMNS} FROM events e
             WHERE e.tenant_id = ?1 AND e.position > ?2 AND e.position <= ?3 ORDER BY e.position LIMIT ?4"
        ),
        params![&asked.tenant, after, last, BATCH],
    )?;
    let wanted = wanted(db, asked)?;
    let mut batch = Batch {
        deliveries: 0,
        after: None,
        next: None,
    };
    for event in events {
        if is_wanted(&wanted, &asked.agent, &event) {
            if batch.deliveries == room {
                batch.next = Some(event.id);
                break;
            }
            batch.deliveries += u32::from(deliver(db, &asked.agent, event.position)?);
        }
        batch.after = Some(event.position);
    }
    Ok(batch)
}

/// Patterns and filters: those that were asked for, or the agent's own.
fn wanted(db: &Connection, asked: &Redelivery) -> Result<Vec<(String, String)>> {
    if let Some(pattern) = &asked.pattern {
        return Ok(vec![(pattern.clone(), String::new())]);
    }
    sql::all(
        db,
        "SELECT pattern, filter FROM subscriptions WHERE tenant_id = ?1 AND agent = ?2",
        params![&asked.tenant, &asked.agent],
    )
}

fn is_wanted(wanted: &[(String, String)], agent: &str, event: &StoredEvent) -> bool {
    let facts = Facts::from(event);
    wanted
        .iter()
        .any(|(pattern, filter)| topic_matches(pattern, &event.topic) && facts.pass(agent, filter))
}

fn deliver(db: &Connection, agent: &str, position: i64) -> Result<bool> {
    let made = sql::execute(
        db,
        "INSERT INTO deliveries (tenant_id, event_position, agent, status, priority, ordering_key, attempts, next_at, replayed)
         SELECT e.tenant_id, e.position, ?2, 'pending', e.priority, e.ordering_key, 0, max(e.due_at, ?3), TRUE
         FROM events e WHERE e.position = ?1
         ON CONFLICT (event_position, agent) DO UPDATE SET
             status = 'pending', attempts = 0, next_at = excluded.next_at, error = NULL, turn = NULL, replayed = TRUE
             WHERE deliveries.status <> 'pending'",
        params![position, agent, now_ms()],
    )?;
    Ok(made == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::of_host;
    use crate::store::{DEFAULT_TENANT, Delivery, NewEvent};

    async fn publish(store: &Store, topic: &str, data: &str) {
        let event = NewEvent {
            data: data.to_owned(),
            expires_at: Some(1),
            ..of_host(DEFAULT_TENANT, topic, &().into())
        };
        store.publish(event, Durability::Written).await.unwrap();
    }

    async fn due(store: &Store) -> Vec<Delivery> {
        store.due_deliveries(1_000, &[]).await.unwrap()
    }

    async fn again(store: &Store, pattern: Option<&str>, limit: u32) -> Redelivered {
        let asked = Redelivery {
            tenant: DEFAULT_TENANT.to_owned(),
            agent: "a".to_owned(),
            first: 1,
            pattern: pattern.map(str::to_owned),
            limit,
        };
        store.deliver_again(asked).await.unwrap()
    }

    #[tokio::test]
    async fn what_an_agent_missed_or_had_is_delivered_anew_and_what_is_pending_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1).unwrap();
        for number in 0..250 {
            let topic = if number % 2 == 0 { "even.x" } else { "odd.x" };
            publish(&store, topic, &format!("{{\"n\": {number}}}")).await;
        }
        store
            .write(Durability::Written, |db: &Connection| {
                db.execute_batch(
                    "INSERT INTO subscriptions VALUES ('default', 'a', 'even.*', TRUE, 'data.n >= 200');",
                )?;
                Ok(())
            })
            .await
            .unwrap();
        let all = again(&store, None, 1_000).await;
        assert_eq!((all.deliveries, all.next), (25, None));
        assert_eq!(again(&store, None, 1_000).await.deliveries, 0);
        let pending = due(&store).await;
        assert_eq!(pending.len(), 25);
        assert!(pending.iter().all(|one| one.expires_at.is_none()));
        for one in &pending {
            let settled = store.settle_delivery(one, "done", 0, None, None);
            settled.await.unwrap();
        }
        assert!(due(&store).await.is_empty());
        let some = again(&store, Some("*.x"), 30).await;
        assert_eq!(some.deliveries, 30);
        let next = some.next.unwrap();
        let position = store.event_position(DEFAULT_TENANT, &next);
        assert_eq!(position.await.unwrap(), Some(31));
        assert!(due(&store).await.iter().all(|one| one.attempts == 0));
    }
}
