//! Removal of what is old enough and referred to by nothing that is still to
//! happen. Usage stays: it is the bill.

use anyhow::Result;
use rusqlite::{Connection, params};

use super::sql;
use super::{Durability, Store};

/// Rows that are removed in one transaction, so that nobody waits for long.
pub const BATCH: usize = 200;

impl Store {
    /// Removes turns that ended before `before` (milliseconds since 1970), with
    /// journals, logs, feedback and idempotency keys. Those of deliveries, of events or
    /// answers, that are pending or dead stay. Answers how many; at most `BATCH` at a time, as below.
    pub async fn remove_turns(&self, before: i64) -> Result<usize> {
        self.write(Durability::Written, move |db: &Connection| {
            let old: Vec<(String, String)> = sql::all(
                db,
                "SELECT tenant_id, id FROM turns t WHERE finished_at < ?1
                   AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.turn = t.id AND d.status IN ('pending', 'dead'))
                   AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.tenant_id = t.tenant_id AND o.turn = t.id
                                   AND o.status IN ('pending', 'dead'))
                 ORDER BY finished_at LIMIT ?2",
                params![before, BATCH as i64],
            )?;
            for (tenant, turn) in &old {
                for statement in [
                    "DELETE FROM journal WHERE tenant_id = ?1 AND turn = ?2",
                    "DELETE FROM log_lines WHERE tenant_id = ?1 AND turn = ?2",
                    "DELETE FROM waits WHERE tenant_id = ?1 AND turn = ?2",
                    "DELETE FROM outbox WHERE tenant_id = ?1 AND turn = ?2",
                    "DELETE FROM slack_posts WHERE tenant_id = ?1 AND turn = ?2",
                    "DELETE FROM feedback WHERE tenant_id = ?1 AND turn = ?2",
                    "DELETE FROM idempotency_keys WHERE tenant_id = ?1 AND turn = ?2",
                    "DELETE FROM turns WHERE tenant_id = ?1 AND id = ?2",
                ] {
                    sql::execute(db, statement, params![tenant, turn])?;
                }
            }
            Ok(old.len())
        })
        .await
    }

    /// Removes conversations whose latest message came before `before` and in
    /// which no turn is still to end; answers how many.
    pub async fn remove_conversations(&self, before: i64) -> Result<usize> {
        self.write(Durability::Written, move |db: &Connection| {
            let old: Vec<(String, String)> = sql::all(
                db,
                "SELECT tenant_id, id FROM conversations c WHERE updated_at < ?1
                   AND NOT EXISTS (SELECT 1 FROM turns t WHERE t.tenant_id = c.tenant_id AND t.conversation = c.id
                                   AND t.status IN ('queued', 'running', 'waiting'))
                 ORDER BY updated_at LIMIT ?2",
                params![before, BATCH as i64],
            )?;
            for (tenant, conversation) in &old {
                for statement in [
                    "DELETE FROM messages WHERE tenant_id = ?1 AND conversation = ?2",
                    "DELETE FROM conversations WHERE tenant_id = ?1 AND id = ?2",
                ] {
                    sql::execute(db, statement, params![tenant, conversation])?;
                }
            }
            Ok(old.len())
        })
        .await
    }

    /// Removes events that were published before `before` and of which no
    /// delivery is pending or dead; answers how many.
    pub async fn remove_events(&self, before: i64) -> Result<usize> {
        self.write(Durability::Written, move |db: &Connection| {
            let old: Vec<(i64,)> = sql::all(
                db,
                "SELECT position FROM events e WHERE at < ?1
                   AND NOT EXISTS (SELECT 1 FROM deliveries d
                                   WHERE d.event_position = e.position AND d.status IN ('pending', 'dead'))
                 ORDER BY at LIMIT ?2",
                params![before, BATCH as i64],
            )?;
            for (position,) in &old {
                for statement in [
                    "DELETE FROM deliveries WHERE event_position = ?1",
                    "DELETE FROM events WHERE position = ?1",
                ] {
                    sql::execute(db, statement, params![position])?;
                }
            }
            Ok(old.len())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::testing::{accept, finished, new_turn_in, open};
    use crate::store::{DEFAULT_TENANT, DeliveryKey, NewEvent, NewTurn};

    /// Later than everything.
    const NOW: i64 = 2_000_000_000_000_000;

    async fn turn(store: &Store, id: &str, delivery: Option<DeliveryKey>) {
        let turn = NewTurn {
            delivery,
            ..new_turn_in(&format!("c-{id}"), id)
        };
        accept(store, turn).await;
    }

    async fn finish(store: &Store, id: &str) {
        store.finish_turn(Arc::new(finished(id))).await.unwrap();
    }

    async fn exists(store: &Store, id: &str) -> bool {
        let found = store.turn_summary(DEFAULT_TENANT, id).await.unwrap();
        found.is_some()
    }

    #[tokio::test]
    async fn what_is_still_to_happen_keeps_what_it_refers_to() {
        let (_folder, store) = open();
        for id in ["ended", "running"] {
            turn(&store, id, None).await;
        }
        finish(&store, "ended").await;
        assert_eq!(store.remove_turns(2).await.unwrap(), 0, "not old enough");
        assert_eq!(store.remove_turns(NOW).await.unwrap(), 1);
        assert!(!exists(&store, "ended").await && exists(&store, "running").await);
        assert_eq!(store.remove_conversations(NOW).await.unwrap(), 1);
        assert_eq!(
            store.remove_conversations(NOW).await.unwrap(),
            0,
            "that of the running turn stays"
        );
    }

    #[tokio::test]
    async fn dead_letters_keep_their_event_and_their_turn() {
        let (_folder, store) = open();
        subscribe(&store).await;
        let event = NewEvent {
            tenant: DEFAULT_TENANT.to_owned(),
            id: "e".to_owned(),
            topic: "t".to_owned(),
            source: "test".to_owned(),
            data: "{}".to_owned(),
            ordering_key: None,
            correlation: None,
            priority: 5,
            hops: 0,
            due_at: 0,
            expires_at: None,
        };
        assert_eq!(store.publish(event, Durability::Written).await.unwrap(), 1);
        let due = store.due_deliveries(1, &[]).await.unwrap().remove(0);
        let key = DeliveryKey {
            event: due.event.position,
            agent: due.agent.clone(),
        };
        turn(&store, "of-the-event", Some(key)).await;
        finish(&store, "of-the-event").await;
        let settle = async |status| {
            let turn = Some("of-the-event".to_owned());
            let settled = store.settle_delivery(&due, status, 0, None, turn);
            settled.await.unwrap();
        };
        settle("dead").await;
        assert_eq!(store.remove_turns(NOW).await.unwrap(), 0);
        let told = store.remove_events(NOW).await.unwrap();
        assert_eq!(
            told, 1,
            "that of the dead letter, to which nobody subscribes"
        );
        settle("done").await;
        assert_eq!(store.remove_turns(NOW).await.unwrap(), 1);
        assert_eq!(store.remove_events(NOW).await.unwrap(), 1);
    }

    /// An agent that subscribes to everything.
    async fn subscribe(store: &Store) {
        let operation = |db: &Connection| {
            db.execute_batch(
                "INSERT INTO agents (tenant_id, name, description, status, source, overrides, created_at, updated_at)
                 VALUES ('default', 'a', '', 'enabled', 'api', '{}', 0, 0);
                 INSERT INTO subscriptions VALUES ('default', 'a', 't', FALSE, '');",
            )?;
            Ok(())
        };
        store.write(Durability::Written, operation).await.unwrap();
    }
}
