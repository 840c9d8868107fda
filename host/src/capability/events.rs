//! `events`: publishing, and waiting for a time. The event, its deliveries and the journal entry are
//! one transaction, so a turn that is run again publishes once.

use std::sync::Arc;

use wasmtime::component::HasData;

use super::error;
use super::llm::Generations;
use crate::clock::now_ms;
use crate::events::{Unpublishable, new_event};
use crate::registry::Grant;
use crate::runtime::bindings::{events, types};
use crate::runtime::{HostState, Services};
use crate::store::{NewEvent, NewWait, WaitKind};
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
        new_event(&self.window.identity().tenant, source, publication).map_err(|unpublishable| {
            let kind = match unpublishable {
                Unpublishable::Invalid(_) => types::ErrorKind::InvalidInput,
                Unpublishable::TooLarge => types::ErrorKind::LimitExceeded,
            };
            error(kind, unpublishable.to_string())
        })
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
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                return Ok(self
                    .window
                    .perform(call, Commit::Later, async { Err(error) })
                    .await?);
            }
        };
        let (store, id) = (Arc::clone(&self.services.store), event.id.clone());
        let turn = self.window.identity().turn.clone();
        let published = self
            .window
            .perform_stored(
                call,
                |recorder: Recorder<String, types::Error>| async move {
                    let part = recorder.part(&Ok(id.clone()))?;
                    store.publish_with_journal(event, turn, part).await?;
                    Ok(Ok(id))
                },
            )
            .await?;
        self.services.bus.wake();
        Ok(published)
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
