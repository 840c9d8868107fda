//! `events`: publishing, now and by schedule, and waiting for a time. What is
//! stored and the journal entry are one transaction, so a turn that is run
//! again publishes once.

use std::sync::Arc;

use serde::Serialize;
use wasmtime::component::HasData;

use super::error;
use super::llm::Generations;
use crate::clock::now_ms;
use crate::events::{Bus, CHANNEL, MAX_OF_AGENT, Unpublishable, new_event, new_schedule, too_many};
use crate::registry::Grant;
use crate::runtime::bindings::{events, types};
use crate::runtime::{HostState, Services};
use crate::store::{Durability, NewEvent, NewSchedule, NewWait, Recorded, Store, WaitKind};
use crate::turn::{Call, Commit, Recorder, Window};

/// How far ahead a turn may wait, in milliseconds.
const MAX_SLEEP_MS: i64 = 366 * 86_400_000;

pub(super) struct Events<'a> {
    window: &'a mut Window,
    generations: &'a Generations,
    services: &'a Arc<Services>,
}

pub(super) struct HasEvents;

impl HasData for HasEvents {
    type Data<'a> = Events<'a>;
}

impl<'a> Events<'a> {
    pub(super) fn of(state: &'a mut HostState) -> Self {
        let (window, _, generations, services) = state.parts();
        Self {
            window,
            generations,
            services,
        }
    }

    fn new_event(&self, publication: &events::Publication) -> Result<NewEvent, types::Error> {
        let source = format!("agent:{}", self.window.agent().name);
        new_event(&self.window.identity().tenant, source, publication).map_err(refusal)
    }

    fn new_schedule(&self, asked: &Asked) -> Result<(NewSchedule, NewEvent), types::Error> {
        let (name, when, publication) = asked;
        let agent = &self.window.agent().name;
        let (tenant, source) = (&self.window.identity().tenant, format!("agent:{agent}"));
        new_schedule(tenant, Some(agent), source, name, when, publication).map_err(refusal)
    }

    /// What an effect needs of the turn.
    fn effects(&self) -> Effects {
        let identity = self.window.identity();
        Effects {
            store: Arc::clone(&self.services.store),
            bus: Arc::clone(&self.services.bus),
            tenant: identity.tenant.clone(),
            agent: self.window.agent().name.clone(),
            turn: identity.turn.clone(),
            // Also a turn that was asked for while one was handled.
            handles_event: identity.channel == CHANNEL || identity.hops > 0,
        }
    }
}

/// What `schedule` is asked for.
type Asked = (String, events::ScheduleTime, events::Publication);

/// What is done for a turn, away from its window.
struct Effects {
    store: Arc<Store>,
    bus: Arc<Bus>,
    tenant: String,
    agent: String,
    turn: String,
    handles_event: bool,
}

impl Effects {
    async fn publish(
        self,
        mut event: NewEvent,
        recorder: Recorder<String, types::Error>,
    ) -> anyhow::Result<Result<String, types::Error>> {
        event.hops = self.hops().await?;
        if let Err(refused) = self.bus.admit(&event) {
            return self.refuse(refused, &recorder).await;
        }
        let answer = Ok(event.id.clone());
        let part = recorder.part(&answer)?;
        self.store
            .publish_with_journal(event, self.turn, part)
            .await?;
        self.bus.wake();
        Ok(answer)
    }

    async fn schedule(
        self,
        mut new: NewSchedule,
        mut event: NewEvent,
        recorder: Recorder<(), types::Error>,
    ) -> anyhow::Result<Result<(), types::Error>> {
        event.hops = self.hops().await?;
        new.hops = event.hops;
        if let Err(refused) = self.bus.admit(&event) {
            return self.refuse(refused, &recorder).await;
        }
        let full = Err(error(
            types::ErrorKind::LimitExceeded,
            too_many(MAX_OF_AGENT),
        ));
        let recorded = Recorded {
            done: recorder.part(&Ok(()))?,
            otherwise: recorder.part(&full)?,
            turn: self.turn,
        };
        let has_room = self.store.set_schedule(new, Some(recorded)).await?;
        self.bus.wake_schedules();
        Ok(if has_room { Ok(()) } else { full })
    }

    async fn unschedule(
        self,
        name: String,
        recorder: Recorder<bool, types::Error>,
    ) -> anyhow::Result<Result<bool, types::Error>> {
        let recorded = Recorded {
            done: recorder.part(&Ok(true))?,
            otherwise: recorder.part(&Ok(false))?,
            turn: self.turn,
        };
        let removed = self
            .store
            .remove_schedule(&self.tenant, &self.agent, &name, Some(recorded));
        Ok(Ok(removed.await?))
    }

    /// How many events led to what this turn does.
    async fn hops(&self) -> anyhow::Result<u32> {
        match self.handles_event {
            true => self.store.hops_of_turn(&self.tenant, &self.turn).await,
            false => Ok(0),
        }
    }

    /// Records a refusal, so that a turn that is run again gets it again.
    async fn refuse<R: Serialize>(
        &self,
        refused: Unpublishable,
        recorder: &Recorder<R, types::Error>,
    ) -> anyhow::Result<Result<R, types::Error>> {
        let answer = Err(refusal(refused));
        let part = recorder.part(&answer)?;
        self.store
            .append_journal(&self.tenant, &self.turn, part, Durability::Written)
            .await?;
        Ok(answer)
    }
}

fn refusal(refused: Unpublishable) -> types::Error {
    let message = refused.to_string();
    match refused {
        Unpublishable::Invalid(_) => error(types::ErrorKind::InvalidInput, message),
        Unpublishable::TooLarge | Unpublishable::TooFar { .. } => {
            error(types::ErrorKind::LimitExceeded, message)
        }
        Unpublishable::TooMany { retry_after_ms, .. } => types::Error {
            retryable: true,
            retry_after_ms: Some(retry_after_ms),
            ..error(types::ErrorKind::LimitExceeded, message)
        },
    }
}

impl events::Host for Events<'_> {
    async fn publish(
        &mut self,
        publication: events::Publication,
    ) -> wasmtime::Result<Result<String, types::Error>> {
        let event = self.new_event(&publication);
        let call = Call {
            kind: "events.publish",
            grant: Some(Grant::Events(&publication.topic)),
            args: &publication,
        };
        let effects = self.effects();
        let published = match event {
            Ok(event) => {
                let publish = |recorder| effects.publish(event, recorder);
                self.window.perform_stored(call, publish).await
            }
            Err(error) => {
                let refuse = async { Err(error) };
                self.window.perform(call, Commit::Later, refuse).await
            }
        };
        Ok(published?)
    }

    async fn schedule(
        &mut self,
        name: String,
        when: events::ScheduleTime,
        publication: events::Publication,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        let asked = (name, when, publication);
        let schedule = self.new_schedule(&asked);
        let call = Call {
            kind: "events.schedule",
            grant: Some(Grant::Events(&asked.2.topic)),
            args: &asked,
        };
        let effects = self.effects();
        let scheduled = match schedule {
            Ok((new, event)) => {
                let schedule = |recorder| effects.schedule(new, event, recorder);
                self.window.perform_stored(call, schedule).await
            }
            Err(error) => {
                let refuse = async { Err(error) };
                self.window.perform(call, Commit::Later, refuse).await
            }
        };
        Ok(scheduled?)
    }

    async fn unschedule(&mut self, name: String) -> wasmtime::Result<Result<bool, types::Error>> {
        let call = Call {
            kind: "events.unschedule",
            grant: None,
            args: &name,
        };
        let effects = self.effects();
        let removed = name.clone();
        let unschedule = |recorder| effects.unschedule(removed, recorder);
        Ok(self.window.perform_stored(call, unschedule).await?)
    }
    async fn sleep_until(&mut self, at_ms: u64) -> wasmtime::Result<Result<(), types::Error>> {
        let identity = self.window.identity().clone();
        let services = Arc::clone(self.services);
        let call = Call {
            kind: "events.sleep-until",
            grant: None,
            args: &at_ms,
        };
        let begin = |seq, part| async move {
            let due_at = i64::try_from(at_ms).unwrap_or(i64::MAX);
            if due_at.saturating_sub(now_ms()) > MAX_SLEEP_MS {
                let message = "a turn waits at most 366 days";
                return Ok(Err(error(types::ErrorKind::InvalidInput, message)));
            }
            let wait = NewWait {
                tenant: identity.tenant,
                turn: identity.turn,
                seq,
                kind: WaitKind::Time,
                question: None,
                due_at: Some(due_at),
            };
            services.store.begin_wait(wait, None, part, |_| ()).await?;
            services.timers.notify_one();
            Ok(Ok(()))
        };
        let may_suspend = self.generations.is_empty();
        Ok(self.window.wait(call, may_suspend, None, begin).await?)
    }
}
