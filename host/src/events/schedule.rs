//! Schedules: what may be scheduled, and publishing it when it is due. The
//! event and the schedule's next time are stored together, so that a time that
//! is due is one event, whatever happens to the host or its clock.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::timetable::Timetable;
use super::{Bus, Unpublishable, new_event};
use crate::clock::now_ms;
use crate::registry::{Grant, Registry};
use crate::runtime::bindings::events::{CronTime, Publication, ScheduleTime};
use crate::store::{NewEvent, NewSchedule, ScheduleRow, Store};

/// Schedules of one agent.
pub const MAX_OF_AGENT: u32 = 100;

/// Schedules made by API.
const MAX_OF_API: u32 = 1_000;

/// Schedules that are read at once.
const BATCH: u32 = 100;

/// How long to wait at most before looking at the clock again: it may be set.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// How long to wait after the store failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Checks what is to be scheduled for `agent`, or by API where that is none, and
/// makes the event that it will publish, without its times.
///
/// # Errors
///
/// If name, time or event is not as the contract says.
pub fn new_schedule(
    tenant: &str,
    agent: Option<&str>,
    source: String,
    name: &str,
    when: &ScheduleTime,
    publication: &Publication,
) -> Result<(NewSchedule, NewEvent), Unpublishable> {
    let invalid = |error: anyhow::Error| Unpublishable::Invalid(format!("{error:#}"));
    check_name(name)?;
    if publication.deliver_at_ms.is_some() {
        let said = "a schedule says itself when: leave deliver-at-ms out";
        return Err(Unpublishable::Invalid(said.to_owned()));
    }
    let event = new_event(tenant, source, publication)?;
    let (cron, time_zone, next_at) = times(when).map_err(invalid)?;
    let schedule = NewSchedule {
        tenant: tenant.to_owned(),
        agent: agent.unwrap_or_default().to_owned(),
        name: name.to_owned(),
        cron,
        time_zone,
        publication: serde_json::to_string(publication).map_err(|error| invalid(error.into()))?,
        source: event.source.clone(),
        hops: 0,
        next_at,
        most: if agent.is_some() {
            MAX_OF_AGENT
        } else {
            MAX_OF_API
        },
    };
    Ok((schedule, event))
}

/// The refusal of one schedule too many.
pub fn too_many(most: u32) -> String {
    format!("there are {most} schedules already, which is the most; remove one first")
}

/// Cron expression, time zone and first time.
fn times(when: &ScheduleTime) -> Result<(Option<String>, String, i64)> {
    let CronTime {
        expression,
        time_zone,
    } = match when {
        ScheduleTime::At(at) => {
            let at = i64::try_from(*at).unwrap_or(i64::MAX);
            return Ok((None, "UTC".to_owned(), at));
        }
        ScheduleTime::Cron(cron) => cron,
    };
    let zone = time_zone.as_deref().unwrap_or("UTC");
    let next = Timetable::cron(expression, zone)?.next_after(now_ms())?;
    Ok((Some(expression.clone()), zone.to_owned(), next))
}

fn check_name(name: &str) -> Result<(), Unpublishable> {
    if name.len() <= 64 && super::is_word(name) {
        return Ok(());
    }
    Err(Unpublishable::Invalid(format!(
        "{name:?} is not the name of a schedule: 1 to 64 of a-z, 0-9, - and _"
    )))
}

/// Publishes what is scheduled as long as the host runs.
pub struct Schedules {
    store: Arc<Store>,
    registry: Arc<Registry>,
    bus: Arc<Bus>,
    now: fn() -> i64,
}

impl Schedules {
    /// The schedules of a store, published when `now` says that it is time:
    /// milliseconds since 1970.
    pub fn new(
        store: Arc<Store>,
        registry: Arc<Registry>,
        bus: Arc<Bus>,
        now: fn() -> i64,
    ) -> Self {
        Self {
            store,
            registry,
            bus,
            now,
        }
    }

    /// Publishes until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let wait = match self.publish_due().await {
                Ok(wait) => wait,
                Err(error) => {
                    error!(error = %format!("{error:#}"), "what is scheduled cannot be published");
                    AFTER_FAILURE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.bus.scheduled() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Publishes what is due; answers how long to wait for more.
    async fn publish_due(&self) -> Result<Duration> {
        loop {
            let now = (self.now)();
            let due = self.store.due_schedules(now, BATCH).await?;
            for schedule in &due {
                self.publish(schedule, now).await?;
            }
            if due.len() < BATCH as usize {
                break;
            }
        }
        let wait = match self.store.next_schedule_at().await? {
            Some(at) => {
                Duration::from_millis(at.saturating_sub((self.now)()).max(0).unsigned_abs())
            }
            None => LONGEST_WAIT,
        };
        Ok(wait.min(LONGEST_WAIT))
    }

    async fn publish(&self, schedule: &ScheduleRow, now: i64) -> Result<()> {
        let (event, next) = match read(schedule, now) {
            Ok(read) => read,
            // A row of another version: it is shown with what is wrong.
            Err(error) => {
                let problem = format!("{error:#}");
                return self
                    .store
                    .pass_schedule(schedule, Some(i64::MAX), problem)
                    .await;
            }
        };
        if let Some(problem) = self.missing(schedule, &event.topic).await? {
            let (agent, name) = (&schedule.agent, &schedule.name);
            warn!(
                agent,
                name, problem, "a schedule was due and published nothing"
            );
            return self.store.pass_schedule(schedule, next, problem).await;
        }
        if self.store.fire_schedule(schedule, event, next).await? {
            metrics::counter!("anchorhold_schedules_fired_total").increment(1);
            self.bus.wake();
        }
        Ok(())
    }

    /// Why the agent of a schedule may not publish now.
    async fn missing(&self, schedule: &ScheduleRow, topic: &str) -> Result<Option<String>> {
        let (tenant, agent) = (&schedule.tenant_id, &schedule.agent);
        if agent.is_empty() {
            return Ok(None);
        }
        let Some(version) = self.store.agent_version(tenant, agent, None).await? else {
            return Ok(Some(format!("agent {agent} does not answer")));
        };
        let grants = self.registry.grants(&version)?;
        let grant = Grant::Events(topic);
        Ok((!grants.allows(grant)).then(|| grants.refusal(agent, grant)))
    }
}

/// The event of a schedule that is due, and the schedule's next time: after now,
/// so that times that were missed are one event.
fn read(schedule: &ScheduleRow, now: i64) -> Result<(NewEvent, Option<i64>)> {
    let publication: Publication =
        serde_json::from_str(&schedule.publication).context("the event cannot be read")?;
    let event = new_event(&schedule.tenant_id, schedule.source.clone(), &publication)?;
    let next = match &schedule.cron {
        None => None,
        Some(cron) => {
            let times = Timetable::cron(cron, &schedule.time_zone)?;
            Some(times.next_after(now.max(schedule.next_at))?)
        }
    };
    let hops = u32::try_from(schedule.hops).unwrap_or(u32::MAX);
    Ok((NewEvent { hops, ..event }, next))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::config;
    use crate::registry::testing::Place;
    use crate::store::DEFAULT_TENANT;

    fn ms(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    fn row(cron: Option<&str>, due: &str) -> ScheduleRow {
        let publication = r#"{"topic":"a.b","data_json":"{}","ttl_ms":null,"priority":null,
            "ordering_key":null,"correlation":null,"deliver_at_ms":null}"#;
        ScheduleRow {
            tenant_id: "default".to_owned(),
            agent: "a".to_owned(),
            name: "s".to_owned(),
            cron: cron.map(str::to_owned),
            time_zone: "UTC".to_owned(),
            publication: publication.to_owned(),
            source: "agent:a".to_owned(),
            hops: 3,
            next_at: ms(due),
            last_at: None,
            problem: None,
            created_at: 0,
        }
    }

    #[test]
    fn what_was_missed_is_one_event_and_a_clock_set_back_repeats_none() {
        let hourly = row(Some("0 * * * *"), "2026-01-01T10:00:00Z");
        for (now, next) in [
            ("2026-01-01T10:00:00Z", "2026-01-01T11:00:00Z"),
            ("2026-01-05T13:30:00Z", "2026-01-05T14:00:00Z"),
            ("2025-12-31T10:00:00Z", "2026-01-01T11:00:00Z"),
        ] {
            let (event, found) = read(&hourly, ms(now)).unwrap();
            assert_eq!(found, Some(ms(next)), "{now}");
            assert_eq!((event.hops, event.source.as_str()), (3, "agent:a"));
        }
        let once = row(None, "2026-01-01T10:00:00Z");
        assert_eq!(read(&once, ms("2026-01-01T10:00:01Z")).unwrap().1, None);
    }

    /// In the year 2100: the clock of the machine has no part in this.
    const DUE: &str = "2100-01-01T10:00:00Z";

    #[tokio::test]
    async fn a_clock_that_is_set_loses_no_time_and_repeats_none() {
        static NOW: AtomicI64 = AtomicI64::new(0);
        let place = Place::new().await;
        let bus = Arc::new(Bus::new(&config::Events::default()));
        let (store, registry) = (Arc::clone(&place.store), Arc::clone(&place.registry));
        let now = || NOW.load(Ordering::Relaxed);
        let schedules = Schedules::new(store, registry, bus, now);
        for (name, cron) in [("hourly", Some("0 * * * *")), ("once", None)] {
            let ScheduleRow {
                cron,
                time_zone,
                publication,
                source,
                next_at,
                ..
            } = row(cron, DUE);
            let new = NewSchedule {
                tenant: DEFAULT_TENANT.to_owned(),
                agent: String::new(),
                name: name.to_owned(),
                cron,
                time_zone,
                publication,
                source,
                hops: 0,
                next_at,
                most: MAX_OF_API,
            };
            assert!(place.store.set_schedule(new, None).await.unwrap());
        }
        for (now, events) in [
            ("2099-12-31T10:00:00Z", 0),
            (DUE, 2),
            ("2099-12-31T10:00:00Z", 2),
            ("2100-01-01T10:59:59Z", 2),
            ("2100-01-01T11:00:00Z", 3),
            // What was passed over is one event.
            ("2100-01-09T11:30:00Z", 4),
            ("2100-01-09T11:30:00Z", 4),
            ("2100-01-01T10:00:00Z", 4),
            ("2100-01-09T12:00:00Z", 5),
        ] {
            NOW.store(ms(now), Ordering::Relaxed);
            let wait = schedules.publish_due().await.unwrap();
            assert!(wait <= LONGEST_WAIT, "it looks at the clock again");
            let found = place.store.events(DEFAULT_TENANT, Some("a.b"), 0, 99);
            assert_eq!(found.await.unwrap().len(), events, "{now}");
        }
    }
}
