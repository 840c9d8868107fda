//! Schedules: events that are published later, again and again or once.

use anyhow::Result;
use rusqlite::{Connection, params};

use super::sql::{self, columns, values};
use super::{Durability, JournalPart, NewEvent, Store, events, journal};
use crate::clock::now_ms;

/// A schedule to store; one of the same agent and name is replaced.
#[derive(Debug, Clone)]
pub struct NewSchedule {
    pub tenant: String,
    /// Whose it is; empty for one made by API.
    pub agent: String,
    pub name: String,
    /// None for once.
    pub cron: Option<String>,
    pub time_zone: String,
    /// JSON.
    pub publication: String,
    pub source: String,
    /// How many events led to it.
    pub hops: u32,
    pub next_at: i64,
    /// As many as there may be of this agent.
    pub most: u32,
}

/// A schedule as stored.
#[derive(Debug, Clone)]
pub struct ScheduleRow {
    pub tenant_id: String,
    pub agent: String,
    pub name: String,
    pub cron: Option<String>,
    pub time_zone: String,
    pub publication: String,
    pub source: String,
    pub hops: i64,
    pub next_at: i64,
    pub last_at: Option<i64>,
    /// Why the last time passed without an event.
    pub problem: Option<String>,
    pub created_at: i64,
}

columns!(ScheduleRow: tenant_id, agent, name, cron, time_zone, publication, source, hops, next_at, last_at, problem, created_at);

/// What a turn records of a change: one part where there was something to do,
/// the other where there was not.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub turn: String,
    pub done: JournalPart,
    pub otherwise: JournalPart,
}

const SCHEDULE_COLUMNS: &str = "tenant_id, agent, name, cron, time_zone, publication, source, hops, next_at, last_at, problem, created_at FROM schedules";

impl Store {
    /// Stores a schedule; answers whether there was room for it. A turn's
    /// journal entries go with it, in one transaction.
    pub async fn set_schedule(&self, new: NewSchedule, recorded: Option<Recorded>) -> Result<bool> {
        let durability = durability(recorded.as_ref());
        self.write(durability, move |db: &Connection| {
            let has_room = has_room(db, &new)?;
            if has_room {
                put(db, &new)?;
            }
            record(db, &new.tenant, recorded.as_ref(), has_room)?;
            Ok(has_room)
        })
        .await
    }

    /// Removes a schedule; answers whether there was one. Journal entries as
    /// above.
    pub async fn remove_schedule(
        &self,
        tenant: &str,
        agent: &str,
        name: &str,
        recorded: Option<Recorded>,
    ) -> Result<bool> {
        let (tenant, agent, name) = (tenant.to_owned(), agent.to_owned(), name.to_owned());
        self.write(durability(recorded.as_ref()), move |db: &Connection| {
            let removed = sql::execute(
                db,
                "DELETE FROM schedules WHERE tenant_id = ?1 AND agent = ?2 AND name = ?3",
                params![&tenant, &agent, &name],
            )?;
            record(db, &tenant, recorded.as_ref(), removed == 1)?;
            Ok(removed == 1)
        })
        .await
    }

    /// One schedule.
    pub async fn schedule(
        &self,
        tenant: &str,
        agent: &str,
        name: &str,
    ) -> Result<Option<ScheduleRow>> {
        self.one(
            format!("SELECT {SCHEDULE_COLUMNS} WHERE tenant_id = ?1 AND agent = ?2 AND name = ?3"),
            values![tenant, agent, name],
        )
        .await
    }

    /// Schedules after `after` (agent and name), by agent and name.
    pub async fn schedules(
        &self,
        tenant: &str,
        after: (&str, &str),
        limit: u32,
    ) -> Result<Vec<ScheduleRow>> {
        self.all(
            format!(
                "SELECT {SCHEDULE_COLUMNS} WHERE tenant_id = ?1 AND (agent, name) > (?2, ?3)
                 ORDER BY agent, name LIMIT ?4"
            ),
            values![tenant, after.0, after.1, i64::from(limit)],
        )
        .await
    }

    /// Schedules whose time has come, the longest due first.
    pub async fn due_schedules(&self, now: i64, limit: u32) -> Result<Vec<ScheduleRow>> {
        self.all(
            format!("SELECT {SCHEDULE_COLUMNS} WHERE next_at <= ?1 ORDER BY next_at LIMIT ?2"),
            values![now, i64::from(limit)],
        )
        .await
    }

    /// When the next schedule is due, in milliseconds since 1970.
    pub async fn next_schedule_at(&self) -> Result<Option<i64>> {
        let at: Option<(Option<i64>,)> = self
            .one("SELECT min(next_at) FROM schedules", values![])
            .await?;
        Ok(at.and_then(|(at,)| at))
    }

    /// Publishes the event of a schedule that is due and moves it on to `next`,
    /// or removes it, in one transaction; answers whether it was still due.
    pub async fn fire_schedule(
        &self,
        due: &ScheduleRow,
        event: NewEvent,
        next: Option<i64>,
    ) -> Result<bool> {
        let due = due.clone();
        self.write(Durability::Written, move |db: &Connection| {
            let was_due = advance(db, &due, next, Some(due.next_at), None)?;
            if was_due {
                events::publish(db, &event)?;
            }
            Ok(was_due)
        })
        .await
    }

    /// Moves a schedule on that is due and publishes nothing, or removes it.
    pub async fn pass_schedule(
        &self,
        due: &ScheduleRow,
        next: Option<i64>,
        problem: String,
    ) -> Result<()> {
        let due = due.clone();
        self.write(Durability::Written, move |db: &Connection| {
            advance(db, &due, next, due.last_at, Some(&problem)).map(|_| ())
        })
        .await
    }
}

/// What a turn does is synced with its next effect outside.
fn durability(recorded: Option<&Recorded>) -> Durability {
    match recorded {
        Some(_) => Durability::Written,
        None => Durability::Synced,
    }
}

fn record(db: &Connection, tenant: &str, recorded: Option<&Recorded>, done: bool) -> Result<()> {
    let Some(recorded) = recorded else {
        return Ok(());
    };
    let part = if done {
        &recorded.done
    } else {
        &recorded.otherwise
    };
    journal::append(db, tenant, &recorded.turn, part)
}

fn has_room(db: &Connection, new: &NewSchedule) -> Result<bool> {
    let (others,): (i64,) = sql::only(
        db,
        "SELECT count(*) FROM schedules WHERE tenant_id = ?1 AND agent = ?2 AND name <> ?3",
        params![&new.tenant, &new.agent, &new.name],
    )?;
    Ok(others < i64::from(new.most))
}

fn put(db: &Connection, new: &NewSchedule) -> Result<()> {
    sql::execute(db, "INSERT INTO schedules (tenant_id, agent, name, cron, time_zone, publication, source, hops, next_at, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (tenant_id, agent, name) DO UPDATE SET
             cron = excluded.cron, time_zone = excluded.time_zone, publication = excluded.publication,
             source = excluded.source, hops = excluded.hops, next_at = excluded.next_at,
             last_at = NULL, problem = NULL, created_at = excluded.created_at", params![&new.tenant, &new.agent, &new.name, &new.cron, &new.time_zone, &new.publication, &new.source, i64::from(new.hops), new.next_at, now_ms()])?;
    Ok(())
}

/// Moves a schedule on, unless somebody else has, or has set another.
fn advance(
    db: &Connection,
    due: &ScheduleRow,
    next: Option<i64>,
    last_at: Option<i64>,
    problem: Option<&str>,
) -> Result<bool> {
    let changed = match next {
        Some(next) => sql::execute(
            db,
            "UPDATE schedules SET next_at = ?5, last_at = ?6, problem = ?7
             WHERE tenant_id = ?1 AND agent = ?2 AND name = ?3 AND next_at = ?4 AND created_at = ?8",
            params![&due.tenant_id, &due.agent, &due.name, due.next_at, next, last_at, problem, due.created_at],
        )?,
        None => sql::execute(
            db,
            "DELETE FROM schedules
             WHERE tenant_id = ?1 AND agent = ?2 AND name = ?3 AND next_at = ?4 AND created_at = ?5",
            params![&due.tenant_id, &due.agent, &due.name, due.next_at, due.created_at],
        )?,
    };
    Ok(changed == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::of_host;
    use crate::store::DEFAULT_TENANT;

    fn schedule(name: &str, cron: Option<&str>) -> NewSchedule {
        NewSchedule {
            tenant: DEFAULT_TENANT.to_owned(),
            agent: "a".to_owned(),
            name: name.to_owned(),
            cron: cron.map(str::to_owned),
            time_zone: "UTC".to_owned(),
            publication: "{}".to_owned(),
            source: "agent:a".to_owned(),
            hops: 0,
            next_at: 1_000,
            most: 2,
        }
    }

    fn open() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1).unwrap();
        (folder, store)
    }

    #[tokio::test]
    async fn a_time_that_is_due_is_one_event_however_often_it_is_tried() {
        let (_folder, store) = open();
        store
            .set_schedule(schedule("cron", Some("x")), None)
            .await
            .unwrap();
        store
            .set_schedule(schedule("once", None), None)
            .await
            .unwrap();
        assert_eq!(store.due_schedules(999, 9).await.unwrap().len(), 0);
        let due = store.due_schedules(1_000, 9).await.unwrap();
        assert_eq!(due.len(), 2);
        let mut fired = 0;
        for _ in 0..3 {
            for row in &due {
                let next = row.cron.as_ref().map(|_| 2_000);
                let event = of_host(DEFAULT_TENANT, "a.b", &row.name.clone().into());
                fired += u32::from(store.fire_schedule(row, event, next).await.unwrap());
            }
        }
        assert_eq!(fired, 2);
        let events = store
            .events(DEFAULT_TENANT, Some("a.b"), 0, 9)
            .await
            .unwrap();
        assert_eq!(events.len(), 2);
        let left = store.schedules(DEFAULT_TENANT, ("", ""), 9).await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!((left[0].next_at, left[0].last_at), (2_000, Some(1_000)));
        assert_eq!(store.next_schedule_at().await.unwrap(), Some(2_000));
    }

    #[tokio::test]
    async fn a_schedule_that_was_set_anew_is_not_moved_on_by_the_old_one() {
        let (_folder, store) = open();
        store
            .set_schedule(schedule("s", Some("x")), None)
            .await
            .unwrap();
        let old = store.due_schedules(1_000, 9).await.unwrap().remove(0);
        let other = NewSchedule {
            next_at: 5_000,
            ..schedule("s", Some("y"))
        };
        store.set_schedule(other, None).await.unwrap();
        let event = of_host(DEFAULT_TENANT, "a.b", &().into());
        assert!(!store.fire_schedule(&old, event, Some(2_000)).await.unwrap());
        let now = store
            .schedule(DEFAULT_TENANT, "a", "s")
            .await
            .unwrap()
            .unwrap();
        assert_eq!((now.next_at, now.cron.as_deref()), (5_000, Some("y")));
    }

    #[tokio::test]
    async fn an_agent_has_so_many_and_may_replace_them() {
        let (_folder, store) = open();
        for (name, expected) in [("a", true), ("b", true), ("c", false), ("b", true)] {
            let set = store
                .set_schedule(schedule(name, None), None)
                .await
                .unwrap();
            assert_eq!(set, expected, "{name}");
        }
        let remove = async |name| {
            store
                .remove_schedule(DEFAULT_TENANT, "a", name, None)
                .await
                .unwrap()
        };
        assert!(remove("a").await && !remove("a").await);
    }
}
