//! The state to look at, and to wait for: lists answer as soon as `count` of what is asked for
//! are there, or after `wait_ms` with what there is.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::super::sim::Sim;
use super::super::world::{Message, World};
use super::Shared;

pub(super) async fn state(State(sim): Shared) -> Json<Value> {
    let mut state = sim.with(|world| world.state());
    state["sockets"] = json!(sim.sockets.open());
    Json(state)
}

pub(super) async fn sockets(State(sim): Shared, Query(waiting): Query<Waiting>) -> Json<Value> {
    let look = |_: &World| sim.sockets.open().into_iter().map(|n| json!(n)).collect();
    Json(wait(&sim, "sockets", &waiting, look).await)
}

/// Changes as they happen.
pub(super) async fn changes(
    State(sim): Shared,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes = sim.changes.subscribe();
    let events = unfold(changes, |mut changes| async move {
        let event = match changes.recv().await {
            Ok(change) => Event::default()
                .event(change.kind)
                .id(change.revision.to_string())
                .data(change.value.to_string()),
            // Too many at once: the page looks at everything again.
            Err(RecvError::Lagged(_)) => Event::default().event("missed").data("{}"),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(event), changes))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

/// How long and for how many a list is waited for.
#[derive(Debug, Deserialize)]
pub(super) struct Waiting {
    #[serde(default)]
    wait_ms: u64,
    #[serde(default = "one")]
    count: usize,
}

fn one() -> usize {
    1
}

async fn wait(
    sim: &Arc<Sim>,
    name: &str,
    waiting: &Waiting,
    look: impl Fn(&World) -> Vec<Value>,
) -> Value {
    let patience = Duration::from_millis(waiting.wait_ms);
    let found = sim.wait(patience, |world| {
        let found = look(world);
        (found.len() >= waiting.count).then_some(found)
    });
    let found = found.await;
    let complete = found.is_some();
    let found = found.unwrap_or_else(|| sim.with(|world| look(world)));
    json!({name: found, "complete": complete})
}

#[derive(Debug, Deserialize)]
pub(super) struct Messages {
    channel: Option<String>,
    thread_ts: Option<String>,
    /// Only messages after this one.
    after: Option<String>,
    user: Option<String>,
    contains: Option<String>,
    /// Only those to one person (`true`), or to all (`false`).
    ephemeral: Option<bool>,
    /// Streams that are open (`true`), or what is finished (`false`).
    streaming: Option<bool>,
    #[serde(default)]
    wait_ms: u64,
    #[serde(default = "one")]
    count: usize,
}

impl Messages {
    fn wants(&self, message: &Message) -> bool {
        let same =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|it| it == found);
        let thread = message.thread_ts.as_deref().unwrap_or(&message.ts);
        let is_open = message
            .stream
            .as_ref()
            .is_some_and(|stream| stream.is_open());
        let contains = |wanted: &String| message.shown().to_string().contains(wanted.as_str());
        same(&self.channel, &message.channel)
            && same(&self.thread_ts, thread)
            && same(&self.user, message.user())
            && self.after.as_ref().is_none_or(|after| message.ts > *after)
            && self.contains.as_ref().is_none_or(contains)
            && self
                .ephemeral
                .is_none_or(|wanted| wanted == message.ephemeral_to.is_some())
            && self.streaming.is_none_or(|wanted| wanted == is_open)
    }
}

pub(super) async fn messages(State(sim): Shared, Query(wanted): Query<Messages>) -> Json<Value> {
    let waiting = Waiting {
        wait_ms: wanted.wait_ms,
        count: wanted.count,
    };
    let look = |world: &World| {
        let found = world
            .messages
            .iter()
            .filter(|message| wanted.wants(message));
        found.map(Message::inspected).collect()
    };
    Json(wait(&sim, "messages", &waiting, look).await)
}

#[derive(Debug, Deserialize)]
pub(super) struct Calls {
    method: Option<String>,
    /// Only calls from this number on.
    #[serde(default)]
    from: usize,
    ok: Option<bool>,
    contains: Option<String>,
    #[serde(default)]
    wait_ms: u64,
    #[serde(default = "one")]
    count: usize,
}

pub(super) async fn calls(State(sim): Shared, Query(wanted): Query<Calls>) -> Json<Value> {
    let waiting = Waiting {
        wait_ms: wanted.wait_ms,
        count: wanted.count,
    };
    let look = |world: &World| {
        let found = world.calls.iter().skip(wanted.from).filter(|call| {
            wanted.method.as_ref().is_none_or(|it| *it == call.method)
                && wanted.ok.is_none_or(|it| it == call.ok)
                && wanted
                    .contains
                    .as_ref()
                    .is_none_or(|it| call.args.to_string().contains(it))
        });
        found.map(|call| json!(call)).collect()
    };
    Json(wait(&sim, "calls", &waiting, look).await)
}

#[derive(Debug, Deserialize)]
pub(super) struct Deliveries {
    /// A type of event or interaction, or a command.
    name: Option<String>,
    #[serde(default)]
    from: usize,
    /// `pending`, `acked`, `failed` or `dropped`.
    state: Option<String>,
    /// Only those that were tried so often, at least.
    #[serde(default)]
    attempts: usize,
    #[serde(default)]
    wait_ms: u64,
    #[serde(default = "one")]
    count: usize,
}

pub(super) async fn deliveries(
    State(sim): Shared,
    Query(wanted): Query<Deliveries>,
) -> Json<Value> {
    let waiting = Waiting {
        wait_ms: wanted.wait_ms,
        count: wanted.count,
    };
    let look = |world: &World| {
        let found = world
            .deliveries
            .iter()
            .skip(wanted.from)
            .filter(|delivery| {
                wanted.name.as_ref().is_none_or(|it| *it == delivery.name)
                    && wanted
                        .state
                        .as_ref()
                        .is_none_or(|it| json!(delivery.state) == it.as_str())
                    && delivery.attempts.len() >= wanted.attempts
            });
        found.map(|delivery| json!(delivery)).collect()
    };
    Json(wait(&sim, "deliveries", &waiting, look).await)
}
