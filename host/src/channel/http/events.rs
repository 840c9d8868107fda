//! Events: publishing from outside, what was published, and what could not be
//! delivered.

mod replay;
mod stream;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Path, Query, Unread};
use super::page::{Items, Page, page_size, position, unknown_cursor};
use super::{Api, Caller, Code, Problem};
use crate::events::{Unpublishable, check_topic, new_event};
use crate::runtime::bindings::events::Publication;
use crate::runtime::{Failure, FailureCode};
use crate::store::{Delivery, Scope, StoredEvent};

/// An event to publish.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewEvent {
    /// Words of `a-z`, `0-9`, `-` and `_`, joined by dots.
    topic: String,
    /// Any JSON, at most 256 KiB.
    #[schema(value_type = Value)]
    data: Box<RawValue>,
    /// Events of one key arrive in order. At most 200 bytes.
    ordering_key: Option<String>,
    /// Passed on unchanged. At most 200 bytes.
    correlation: Option<String>,
    /// 1 (first) to 10 (last), among what is due; 5 without it.
    priority: Option<u8>,
    /// Not delivered before this time, in milliseconds since 1970.
    deliver_at_ms: Option<u64>,
    /// Not delivered after this long.
    ttl_ms: Option<u64>,
}

/// An event that is stored now.
#[derive(Serialize, ToSchema)]
struct Published {
    event: String,
    /// How many agents get it.
    subscribers: usize,
}

/// An event as published.
#[derive(Serialize, ToSchema)]
struct EventView {
    event: String,
    /// Its place in the order of all events, to read on after.
    position: i64,
    topic: String,
    /// `agent:NAME`, `api:TOKEN-NAME` or `system`.
    source: String,
    data: serde_json::Value,
    ordering_key: Option<String>,
    correlation: Option<String>,
    priority: i64,
    /// How many events led to it.
    hops: i64,
    /// When it was published.
    at: i64,
}

/// An event that an agent failed to receive, as often as it is tried.
#[derive(Serialize, ToSchema)]
struct DeadLetter {
    #[serde(flatten)]
    event: EventView,
    /// Which agent.
    agent: String,
    attempts: i64,
    /// How the last attempt failed.
    error: Failure,
}

/// Which events to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListEvents {
    /// A topic, without `*`.
    topic: Option<String>,
    /// How many items, at most 500; 50 without it.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(publish))
        .routes(routes!(list))
        .routes(routes!(dead))
        .routes(routes!(retry))
        .merge(replay::router())
        .merge(stream::router())
}

/// Publishes an event. When this answers it is stored and will be delivered.
#[utoipa::path(post, path = "/api/v1/events", tag = "events", request_body = NewEvent,
    responses((status = 201, body = Published)))]
async fn publish(
    State(api): State<Api>,
    caller: Caller,
    body: Unread,
) -> Result<(StatusCode, Json<Published>), Problem> {
    caller.require(Scope::Write)?;
    let new: NewEvent = body.json().await?;
    let source = format!("api:{}", caller.name);
    let event = new_event(&caller.tenant, source, &new.into())?;
    api.host.bus.admit(&event)?;
    let id = event.id.clone();
    let subscribers = api.host.bus.publish(&api.host.store, event).await?;
    let published = Published {
        event: id,
        subscribers,
    };
    Ok((StatusCode::CREATED, Json(published)))
}

/// Events, oldest first.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", params(ListEvents),
    responses((status = 200, body = Items<EventView>)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListEvents>,
) -> Result<Json<Items<EventView>>, Problem> {
    caller.require(Scope::Read)?;
    let topic = query.topic.as_deref();
    if let Some(topic) = topic {
        check_topic(topic)
            .map_err(|error| Problem::new(Code::InvalidRequest, error.to_string()))?;
    }
    let after = query.cursor.as_deref().map_or(Ok(0), position)?;
    let limit = page_size(query.limit);
    let rows = api
        .host
        .store
        .events(&caller.tenant, topic, after, limit)
        .await?;
    let page = Items::page(rows, limit, |row| row.position.to_string());
    Ok(Json(page.map(EventView::from)))
}

/// Events that could not be delivered, oldest first.
#[utoipa::path(get, path = "/api/v1/events/dead", tag = "events", params(Page),
    responses((status = 200, body = Items<DeadLetter>)))]
async fn dead(
    State(api): State<Api>,
    caller: Caller,
    Query(page): Query<Page>,
) -> Result<Json<Items<DeadLetter>>, Problem> {
    caller.require(Scope::Read)?;
    let after = page.cursor.as_deref().map_or(Ok((0, "")), letter)?;
    let limit = page.limit();
    let rows = api
        .host
        .store
        .dead_letters(&caller.tenant, after, limit)
        .await?;
    let page = Items::page(rows, limit, |row| {
        format!("{}.{}", row.event.position, row.agent)
    });
    Ok(Json(page.map(DeadLetter::from)))
}

/// Tries a dead letter once more.
#[utoipa::path(post, path = "/api/v1/events/dead/{event}/{agent}/retry", tag = "events",
    params(("event" = String, Path), ("agent" = String, Path)),
    responses((status = 202, description = "It will be delivered once more")))]
async fn retry(
    State(api): State<Api>,
    caller: Caller,
    Path((event, agent)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Write)?;
    if !api
        .host
        .store
        .retry_dead_letter(&caller.tenant, &event, &agent)
        .await?
    {
        let detail = format!("there is no dead letter of event {event:?} and agent {agent:?}");
        return Err(Problem::new(Code::NotFound, detail));
    }
    api.host.bus.wake();
    Ok(StatusCode::ACCEPTED)
}

/// A dead letter in a cursor: position and agent.
fn letter(cursor: &str) -> Result<(i64, &str), Problem> {
    let (event, agent) = cursor.split_once('.').ok_or_else(unknown_cursor)?;
    Ok((position(event)?, agent))
}

impl From<NewEvent> for Publication {
    fn from(new: NewEvent) -> Self {
        Self {
            topic: new.topic,
            data_json: new.data.get().to_owned(),
            ordering_key: new.ordering_key,
            correlation: new.correlation,
            priority: new.priority,
            deliver_at_ms: new.deliver_at_ms,
            ttl_ms: new.ttl_ms,
        }
    }
}

impl From<StoredEvent> for EventView {
    fn from(row: StoredEvent) -> Self {
        Self {
            event: row.id,
            position: row.position,
            topic: row.topic,
            source: row.source,
            data: serde_json::from_str(&row.data).unwrap_or_default(),
            ordering_key: row.ordering_key,
            correlation: row.correlation,
            priority: row.priority,
            hops: row.hops,
            at: row.at,
        }
    }
}

impl From<Delivery> for DeadLetter {
    fn from(row: Delivery) -> Self {
        let failure = row
            .error
            .and_then(|error| serde_json::from_str::<Failure>(&error).ok());
        // What is no failed turn is a fault of the host, whose cause is in its log.
        let failure = failure.unwrap_or_else(|| {
            Failure::new(
                FailureCode::Internal,
                "The host could not deliver this event.",
            )
        });
        Self {
            event: row.event.into(),
            agent: row.agent,
            attempts: row.attempts,
            error: Failure {
                detail: None,
                ..failure
            },
        }
    }
}

impl From<Unpublishable> for Problem {
    fn from(error: Unpublishable) -> Self {
        let said = error.to_string();
        match error {
            Unpublishable::Invalid(_) => Self::new(Code::InvalidRequest, said),
            Unpublishable::TooLarge => Self::new(Code::TooLarge, said),
            Unpublishable::TooFar { .. } => Self::new(Code::Conflict, said),
            Unpublishable::TooMany { retry_after_ms, .. } => Self::limited(said, retry_after_ms),
        }
    }
}
