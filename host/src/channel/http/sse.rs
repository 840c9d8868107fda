//! Turns as server-sent events. A client that lost the connection goes on with
//! `Last-Event-ID`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};

use super::named::of_turn;
use super::views::TurnView;
use super::{Api, Problem};
use crate::runtime::{Failure, FailureCode};
use crate::store::TurnStatus;
use crate::turn::{Feed, FeedEvent};

/// The events of a turn that runs, from after the event `after`.
pub(super) fn live(api: &Api, tenant: &str, feed: &Arc<Feed>, after: usize) -> Response {
    let (api, tenant, turn) = (api.clone(), tenant.to_owned(), feed.turn.clone());
    let events = stream::unfold(feed.read(after), async |mut reader| {
        let event = reader.next().await?;
        Some((event, reader))
    });
    let events = events.then(move |(id, event)| {
        let (api, tenant, turn) = (api.clone(), tenant.clone(), turn.clone());
        async move { render(&api, &tenant, &turn, id, event).await }
    });
    of_turn(&feed.turn, respond(events))
}

/// The events of a turn that has ended: its text in one piece.
pub(super) async fn stored(
    api: &Api,
    tenant: &str,
    turn: &str,
    after: usize,
) -> Result<Response, Problem> {
    let view = TurnView::load(api, tenant, turn).await?;
    let mut events = vec![FeedEvent::Started];
    // Whoever read a part of the text gets it anew.
    if after > 0 {
        events.push(FeedEvent::Reset);
    }
    if let Some(text) = view.text.clone().filter(|text| !text.is_empty()) {
        events.push(FeedEvent::Text { text });
    }
    events.push(last(&view));
    let mut rendered = Vec::new();
    for (index, event) in events.into_iter().enumerate().skip(usize::from(after > 0)) {
        rendered.push(render(api, tenant, turn, after + index + 1, event).await);
    }
    Ok(of_turn(turn, respond(stream::iter(rendered))))
}

/// How the events of a turn end.
pub(super) fn last(view: &TurnView) -> FeedEvent {
    match (&view.status, &view.error) {
        (TurnStatus::Completed, _) => FeedEvent::Completed,
        (TurnStatus::Cancelled, _) => FeedEvent::Cancelled,
        (_, Some(error)) => FeedEvent::Failed {
            error: error.clone(),
        },
        _ => FeedEvent::Failed {
            error: Failure::new(FailureCode::Interrupted, "The turn has not ended."),
        },
    }
}

async fn render(
    api: &Api,
    tenant: &str,
    turn: &str,
    id: usize,
    event: FeedEvent,
) -> Result<Event, Infallible> {
    let data = data(api, tenant, turn, &event).await;
    Ok(Event::default()
        .id(id.to_string())
        .event(name(&event))
        .data(data.to_string()))
}

/// What an event carries: the last one the whole turn.
async fn data(api: &Api, tenant: &str, turn: &str, event: &FeedEvent) -> serde_json::Value {
    let mut data = match event {
        FeedEvent::Completed | FeedEvent::Failed { .. } | FeedEvent::Cancelled => {
            match TurnView::load(api, tenant, turn).await {
                Ok(view) => serde_json::to_value(view).unwrap_or_default(),
                Err(_) => serde_json::to_value(event).unwrap_or_default(),
            }
        }
        _ => serde_json::to_value(event).unwrap_or_default(),
    };
    if let Some(object) = data.as_object_mut() {
        object.remove("event");
        object.insert("turn".to_owned(), turn.into());
    }
    data
}

fn name(event: &FeedEvent) -> &'static str {
    match event {
        FeedEvent::Queued { .. } => "turn.queued",
        FeedEvent::Started => "turn.started",
        FeedEvent::Text { .. } => "text.delta",
        FeedEvent::Reset => "text.reset",
        FeedEvent::ToolStarted { .. } => "tool.started",
        FeedEvent::ToolCompleted { .. } => "tool.completed",
        FeedEvent::Asked { .. } => "approval.requested",
        FeedEvent::Waiting => "turn.waiting",
        FeedEvent::Completed => "turn.completed",
        FeedEvent::Failed { .. } => "turn.failed",
        FeedEvent::Cancelled => "turn.cancelled",
    }
}

fn respond(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
    Sse::new(events).keep_alive(keep_alive).into_response()
}
