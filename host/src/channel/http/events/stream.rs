//! Events as they are published, as server-sent events. A client reads on from
//! any position; nothing is queued for it but a page.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use anyhow::Result;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::watch;
use tracing::error;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::extract::Query;
use super::super::{Api, Caller, Code, Problem};
use super::EventView;
use crate::events::check_pattern;
use crate::store::{Scope, StoredEvent};

/// Events that are read at once; an event has up to 256 KiB.
const PAGE: u32 = 16;

/// How long to wait at most before looking again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Which events to follow.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Follow {
    /// A pattern; all topics without it.
    topic: Option<String>,
    /// The position to go on after; `Last-Event-ID` wins. Without both only
    /// what is published from now on.
    after: Option<i64>,
}

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(follow))
}

/// Events as they are published. `id` is the position of each.
#[utoipa::path(get, path = "/api/v1/events/stream", tag = "events", params(Follow),
    responses((status = 200, description = "Events, as text/event-stream", body = EventView,
        content_type = "text/event-stream")))]
async fn follow(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<Follow>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    if let Some(pattern) = &query.topic {
        check_pattern(pattern)
            .map_err(|error| Problem::new(Code::InvalidRequest, error.to_string()))?;
    }
    // Before the position is read, so that nothing falls between.
    let news = api.host.bus.news();
    let after = match last_event_id(&headers)?.or(query.after) {
        Some(after) => after,
        None => api.host.store.last_event_position().await?,
    };
    let reader = Reader {
        tenant: caller.tenant,
        pattern: query.topic,
        after,
        page: VecDeque::new(),
        news,
        api,
    };
    let events = stream::unfold(reader, async |mut reader| {
        let event = reader.next().await?;
        Some((Ok::<_, Infallible>(render(event)), reader))
    });
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(id) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let position = id.to_str().ok().and_then(|id| id.parse().ok());
    let unknown = || Problem::new(Code::InvalidRequest, "last-event-id is not a position");
    position.map(Some).ok_or_else(unknown)
}

fn render(event: StoredEvent) -> Event {
    let id = event.position.to_string();
    let data = serde_json::to_string(&EventView::from(event)).unwrap_or_default();
    Event::default().id(id).event("event").data(data)
}

struct Reader {
    api: Api,
    tenant: String,
    pattern: Option<String>,
    after: i64,
    page: VecDeque<StoredEvent>,
    news: watch::Receiver<()>,
}

impl Reader {
    /// The next event; none when the host stops.
    async fn next(&mut self) -> Option<StoredEvent> {
        let stopping = self.api.host.stopping();
        loop {
            if let Some(event) = self.page.pop_front() {
                return Some(event);
            }
            match self.read_page().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    error!(error = %format!("{error:#}"), "events cannot be read");
                    return None;
                }
            }
            tokio::select! {
                () = stopping.cancelled() => return None,
                changed = self.news.changed() => changed.ok()?,
                () = tokio::time::sleep(LONGEST_WAIT) => {}
            }
        }
    }

    /// Reads on; answers whether there may be more at once.
    async fn read_page(&mut self) -> Result<bool> {
        self.news.mark_unchanged();
        let store = &self.api.host.store;
        let last = store.last_event_position().await?;
        if last <= self.after {
            return Ok(false);
        }
        let pattern = self.pattern.as_deref();
        let page = store
            .events_like(&self.tenant, pattern, self.after, last, PAGE)
            .await?;
        let is_full = page.len() == PAGE as usize;
        self.after = match page.last() {
            Some(event) if is_full => event.position,
            _ => last,
        };
        // What others are told must be durable.
        store.settle().await?;
        let matches = |event: &StoredEvent| {
            pattern.is_none_or(|pattern| crate::events::topic_matches(pattern, &event.topic))
        };
        self.page.extend(page.into_iter().filter(matches));
        Ok(is_full || !self.page.is_empty())
    }
}
