//! `events`: publishing. The event, its deliveries and the journal entry are
//! one transaction, so a turn that is run again publishes once.

use std::sync::Arc;

use uuid::Uuid;
use wasmtime::component::HasData;

use super::error;
use crate::clock::now_ms;
use crate::events::{Bus, check_topic};
use crate::registry::Grant;
use crate::runtime::HostState;
use crate::runtime::bindings::{events, types};
use crate::store::{NewEvent, Store};
use crate::turn::{Call, Commit, Recorder, Window};

const MAX_DATA_BYTES: usize = 256 << 10;
const DEFAULT_PRIORITY: u8 = 5;

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
        let invalid = |message: String| error(types::ErrorKind::InvalidInput, message);
        check_topic(&publication.topic).map_err(|error| invalid(error.to_string()))?;
        if publication.data_json.len() > MAX_DATA_BYTES {
            return Err(error(
                types::ErrorKind::LimitExceeded,
                format!("the data of an event is at most {MAX_DATA_BYTES} bytes"),
            ));
        }
        serde_json::from_str::<serde::de::IgnoredAny>(&publication.data_json)
            .map_err(|error| invalid(format!("data-json is not JSON: {error}")))?;
        let priority = publication.priority.unwrap_or(DEFAULT_PRIORITY);
        if !(1..=10).contains(&priority) {
            return Err(invalid("a priority is 1 (first) to 10 (last)".to_owned()));
        }
        let due_at = publication
            .deliver_at_ms
            .map_or_else(now_ms, |at| i64::try_from(at).unwrap_or(i64::MAX));
        Ok(NewEvent {
            tenant: self.window.identity().tenant.clone(),
            id: Uuid::now_v7().to_string(),
            topic: publication.topic.clone(),
            source: format!("agent:{}", self.window.agent().name),
            data: publication.data_json.clone(),
            ordering_key: publication.ordering_key.clone(),
            correlation: publication.correlation.clone(),
            priority,
            due_at,
            expires_at: publication
                .ttl_ms
                .map(|ttl| due_at.saturating_add(i64::try_from(ttl).unwrap_or(i64::MAX))),
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
                    let entries = recorder.entries(&Ok(id.clone()))?;
                    store.publish_with_journal(event, turn, entries).await?;
                    Ok(Ok(id))
                },
            )
            .await?;
        self.bus.wake();
        Ok(published)
    }
}
