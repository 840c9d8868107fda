//! `events`: publishing. The event, its deliveries and the journal entry are
//! one transaction, so a turn that is run again publishes once.

use std::sync::Arc;

use wasmtime::component::HasData;

use super::error;
use crate::events::{Bus, Unpublishable, new_event};
use crate::registry::Grant;
use crate::runtime::HostState;
use crate::runtime::bindings::{events, types};
use crate::store::{NewEvent, Store};
use crate::turn::{Call, Commit, Recorder, Window};

pub(super) struct Events<'a> {
    window: &'a mut Window,
    store: &'a Arc<Store>,
    bus: &'a Arc<Bus>,
}

pub(super) struct HasEvents;

impl HasData for HasEvents {
    type Data<'a> = Events<'a>;
}

impl<'a> Events<'a> {
    pub(super) fn of(state: &'a mut HostState) -> Self {
        Self {
            window: &mut state.window,
            store: &state.services.store,
            bus: &state.services.bus,
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
        let (store, id) = (Arc::clone(self.store), event.id.clone());
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
        self.bus.wake();
        Ok(published)
    }
}
