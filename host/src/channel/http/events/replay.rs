//! Delivering again what was published before.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::extract::Unread;
use super::super::{Api, Caller, Code, Problem};
use crate::events::check_pattern;
use crate::store::{Redelivery, Scope};

const DEFAULT_LIMIT: u32 = 1_000;
const MAX_LIMIT: u32 = 10_000;

/// Which events to deliver again, and to whom.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Replay {
    agent: String,
    from: Start,
    /// A pattern, instead of what the agent subscribes to.
    topic: Option<String>,
    /// How many deliveries, at most 10,000; 1,000 without it.
    limit: Option<u32>,
}

/// The first event to look at.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Start {
    /// The first that was published at this time or later, in milliseconds
    /// since 1970.
    Time(i64),
    /// This one.
    Event(String),
}

/// What will be delivered again.
#[derive(Serialize, ToSchema)]
struct Replayed {
    deliveries: u32,
    /// The event to go on from, where there are more than `limit`.
    next: Option<String>,
}

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(replay))
}

/// Delivers stored events again to one agent: those that it subscribes to now,
/// or those of a pattern. What is pending stays as it is.
#[utoipa::path(post, path = "/api/v1/events/replay", tag = "events", request_body = Replay,
    responses((status = 200, body = Replayed)))]
async fn replay(
    State(api): State<Api>,
    caller: Caller,
    body: Unread,
) -> Result<Json<Replayed>, Problem> {
    caller.require(Scope::Write)?;
    let asked: Replay = body.json().await?;
    if let Some(pattern) = &asked.topic {
        check_pattern(pattern)
            .map_err(|error| Problem::new(Code::InvalidRequest, error.to_string()))?;
    }
    check_agent(&api, &caller.tenant, &asked.agent).await?;
    let redelivery = Redelivery {
        first: first(&api, &caller.tenant, &asked.from).await?,
        tenant: caller.tenant,
        agent: asked.agent,
        pattern: asked.topic,
        limit: asked.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT),
    };
    let made = api.host.store.deliver_again(redelivery).await?;
    api.host.bus.wake();
    Ok(Json(Replayed {
        deliveries: made.deliveries,
        next: made.next,
    }))
}

async fn check_agent(api: &Api, tenant: &str, agent: &str) -> Result<(), Problem> {
    let Some(version) = api.host.store.agent_version(tenant, agent, None).await? else {
        let detail = format!("there is no agent {agent} that answers");
        return Err(Problem::new(Code::NotFound, detail));
    };
    if version
        .spec
        .exports
        .iter()
        .any(|export| export == "subscriber")
    {
        return Ok(());
    }
    let detail = format!("agent {agent} receives no events: its component exports no subscriber");
    Err(Problem::new(Code::InvalidRequest, detail))
}

async fn first(api: &Api, tenant: &str, from: &Start) -> Result<i64, Problem> {
    match from {
        Start::Time(time) => Ok(api.host.store.position_at(*time).await?),
        Start::Event(event) => {
            let position = api.host.store.event_position(tenant, event).await?;
            let absent = || Problem::new(Code::NotFound, format!("there is no event {event:?}"));
            position.ok_or_else(absent)
        }
    }
}
