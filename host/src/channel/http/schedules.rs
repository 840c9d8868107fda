//! Schedules: events that are published later, again and again or once.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Path, Query, Unread};
use super::page::{Items, Page, unknown_cursor};
use super::{Api, Caller, Code, Problem};
use crate::events::{new_schedule, too_many};
use crate::runtime::bindings::events::{CronTime, Publication, ScheduleTime};
use crate::store::{ScheduleRow, Scope};

/// When to publish what: `cron` or `at`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSchedule {
    /// Five fields: minute, hour, day of the month, month, day of the week.
    cron: Option<String>,
    /// A name such as `Europe/Berlin`; UTC without it.
    time_zone: Option<String>,
    /// Once, in milliseconds since 1970.
    at: Option<u64>,
    topic: String,
    /// Any JSON, at most 256 KiB.
    #[schema(value_type = Value)]
    data: Box<RawValue>,
    ordering_key: Option<String>,
    correlation: Option<String>,
    priority: Option<u8>,
    ttl_ms: Option<u64>,
}

/// A schedule.
#[derive(Serialize, ToSchema)]
struct ScheduleView {
    name: String,
    /// Whose it is; null for one made by API.
    agent: Option<String>,
    /// Null for once.
    cron: Option<String>,
    time_zone: String,
    /// When it publishes next; null if it never does.
    next_at: Option<i64>,
    /// The time for which it last published.
    last_at: Option<i64>,
    /// Why the last time passed without an event.
    problem: Option<String>,
    topic: String,
    data: serde_json::Value,
    ordering_key: Option<String>,
    correlation: Option<String>,
    priority: Option<u8>,
    ttl_ms: Option<u64>,
    source: String,
}

/// Whose schedule.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Owner {
    /// One that this agent made; without it one made by API.
    agent: Option<String>,
}

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(put))
        .routes(routes!(remove))
}

/// All schedules, first those made by API, then those of agents.
#[utoipa::path(get, path = "/api/v1/schedules", tag = "schedules", params(Page),
    responses((status = 200, body = Items<ScheduleView>)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(page): Query<Page>,
) -> Result<Json<Items<ScheduleView>>, Problem> {
    caller.require(Scope::Read)?;
    let after = page.cursor.as_deref().unwrap_or(".");
    let after = after.split_once('.').ok_or_else(unknown_cursor)?;
    let limit = page.limit();
    let rows = api
        .host
        .store
        .schedules(&caller.tenant, after, limit)
        .await?;
    let page = Items::page(rows, limit, |row| format!("{}.{}", row.agent, row.name));
    Ok(Json(page.map(ScheduleView::from)))
}

/// One schedule.
#[utoipa::path(get, path = "/api/v1/schedules/{name}", tag = "schedules",
    params(("name" = String, Path), Owner), responses((status = 200, body = ScheduleView)))]
async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    Query(owner): Query<Owner>,
) -> Result<Json<ScheduleView>, Problem> {
    caller.require(Scope::Read)?;
    stored(&api, &caller.tenant, &owner, &name).await.map(Json)
}

/// Makes a schedule, or replaces the one of this name. It counts as a
/// publication.
#[utoipa::path(put, path = "/api/v1/schedules/{name}", tag = "schedules", params(("name" = String, Path)),
    request_body = NewSchedule, responses((status = 200, body = ScheduleView)))]
async fn put(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    body: Unread,
) -> Result<Json<ScheduleView>, Problem> {
    caller.require(Scope::Write)?;
    let (when, publication) = body.json::<NewSchedule>().await?.parts()?;
    let source = format!("api:{}", caller.name);
    let (new, event) = new_schedule(&caller.tenant, None, source, &name, &when, &publication)?;
    api.host.bus.admit(&event)?;
    let most = new.most;
    if !api.host.store.set_schedule(new, None).await? {
        return Err(Problem::new(Code::Conflict, too_many(most)));
    }
    api.host.bus.wake_schedules();
    let owner = Owner { agent: None };
    match stored(&api, &caller.tenant, &owner, &name).await {
        Ok(view) => Ok(Json(view)),
        // It was due at once and is published.
        Err(_) => Ok(Json(ScheduleView::published(
            name,
            event.source,
            publication,
        ))),
    }
}

/// Removes a schedule.
#[utoipa::path(delete, path = "/api/v1/schedules/{name}", tag = "schedules",
    params(("name" = String, Path), Owner), responses((status = 204, description = "Removed")))]
async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    Query(owner): Query<Owner>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Write)?;
    let agent = owner.agent.as_deref().unwrap_or_default();
    let removed = api
        .host
        .store
        .remove_schedule(&caller.tenant, agent, &name, None);
    if removed.await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(absent(&owner, &name))
}

async fn stored(
    api: &Api,
    tenant: &str,
    owner: &Owner,
    name: &str,
) -> Result<ScheduleView, Problem> {
    let agent = owner.agent.as_deref().unwrap_or_default();
    let row = api.host.store.schedule(tenant, agent, name).await?;
    row.map(ScheduleView::from)
        .ok_or_else(|| absent(owner, name))
}

fn absent(owner: &Owner, name: &str) -> Problem {
    let whose = match &owner.agent {
        Some(agent) => format!("of agent {agent}"),
        None => "made by API (name its agent to see another)".to_owned(),
    };
    Problem::new(
        Code::NotFound,
        format!("there is no schedule {name:?} {whose}"),
    )
}

impl NewSchedule {
    fn parts(self) -> Result<(ScheduleTime, Publication), Problem> {
        let when = match (self.cron, self.at, self.time_zone) {
            (Some(expression), None, time_zone) => ScheduleTime::Cron(CronTime {
                expression,
                time_zone,
            }),
            (None, Some(at), None) => ScheduleTime::At(at),
            _ => {
                let detail = "a schedule has either cron, perhaps with time_zone, or at";
                return Err(Problem::new(Code::InvalidRequest, detail));
            }
        };
        let publication = Publication {
            topic: self.topic,
            data_json: self.data.get().to_owned(),
            ordering_key: self.ordering_key,
            correlation: self.correlation,
            priority: self.priority,
            deliver_at_ms: None,
            ttl_ms: self.ttl_ms,
        };
        Ok((when, publication))
    }
}

impl ScheduleView {
    /// One that has published and is gone.
    fn published(name: String, source: String, publication: Publication) -> Self {
        Self {
            name,
            agent: None,
            cron: None,
            time_zone: "UTC".to_owned(),
            next_at: None,
            last_at: None,
            problem: None,
            topic: publication.topic,
            data: serde_json::from_str(&publication.data_json).unwrap_or_default(),
            ordering_key: publication.ordering_key,
            correlation: publication.correlation,
            priority: publication.priority,
            ttl_ms: publication.ttl_ms,
            source,
        }
    }
}

impl From<ScheduleRow> for ScheduleView {
    fn from(row: ScheduleRow) -> Self {
        let unreadable = || Publication {
            topic: String::new(),
            data_json: "null".to_owned(),
            ordering_key: None,
            correlation: None,
            priority: None,
            deliver_at_ms: None,
            ttl_ms: None,
        };
        let publication = serde_json::from_str(&row.publication).unwrap_or_else(|_| unreadable());
        Self {
            agent: (!row.agent.is_empty()).then_some(row.agent),
            cron: row.cron,
            time_zone: row.time_zone,
            next_at: (row.next_at < i64::MAX).then_some(row.next_at),
            last_at: row.last_at,
            problem: row.problem,
            ..Self::published(row.name, row.source, publication)
        }
    }
}
