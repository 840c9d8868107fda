//! Running turns again: by what ran, or by something else to compare with.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::extract::{Path, Unread};
use super::turns::TurnView;
use super::{Api, Caller, Code, Problem};
use crate::clock::now_ms;
use crate::store::Scope;
use crate::turn::{self, Replayed};

const DAY_MS: i64 = 86_400_000;

/// How a turn is run again; by what ran, if nothing is set.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Replay {
    /// Another version than the one that ran.
    version: Option<i64>,
    /// Digest of an uploaded component to run instead of the version's.
    component: Option<String>,
    /// Configuration to run with instead of the version's.
    #[schema(value_type = Option<Object>)]
    config: Option<Map<String, Value>>,
    /// Model calls that were not recorded are really made.
    live: Option<Live>,
}

/// Within which bounds models are asked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Live {
    /// Millionths of a US dollar, more than none. No call is made when they are
    /// spent; one whose price is not known counts as a dear one.
    max_cost_micro_usd: u64,
}

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(replay))
}

/// Runs an ended turn again from its journal, with no effect outside, and says
/// whether it is the same.
#[utoipa::path(post, path = "/api/v1/turns/{turn}/replay", tag = "turns", params(("turn" = String, Path)), request_body = Option<Replay>, responses((status = 200, body = Replayed)))]
async fn replay(
    State(api): State<Api>,
    caller: Caller,
    Path(turn): Path<String>,
    body: Unread,
) -> Result<Json<Replayed>, Problem> {
    caller.require(Scope::Write)?;
    let wanted: Replay = body.json_or_default().await?;
    wanted.check()?;
    let view = TurnView::load(&api, &caller.tenant, &turn).await;
    let view = view.map_err(|problem| removed(&api, &turn).unwrap_or(problem))?;
    if !view.status.is_final() {
        return Err(Problem::new(
            Code::Conflict,
            format!("turn {turn} has not ended"),
        ));
    }
    if let Some(digest) = &wanted.component {
        let known = api.host.store.component(&caller.tenant, digest).await?;
        known.ok_or_else(|| no_such_component(digest))?;
    }
    let scheduler = &api.host.scheduler;
    let replayed = scheduler
        .replay(&caller.tenant, &turn, wanted.into_turns())
        .await;
    replayed
        .map(Json)
        .map_err(|error| Problem::new(Code::Conflict, format!("{error:#}")))
}

impl Replay {
    fn check(&self) -> Result<(), Problem> {
        let invalid = |why: &str| Err(Problem::new(Code::InvalidRequest, why));
        if self.version.is_some() && self.component.is_some() {
            return invalid("a replay is by a version or by a component, not by both");
        }
        if self
            .live
            .as_ref()
            .is_some_and(|live| live.max_cost_micro_usd == 0)
        {
            return invalid(
                "live.max_cost_micro_usd is more than 0; without live no model is asked",
            );
        }
        Ok(())
    }

    fn into_turns(self) -> turn::Replay {
        turn::Replay {
            version: self.version,
            component: self.component,
            config: self.config,
            live_micro_usd: self.live.map(|live| live.max_cost_micro_usd),
        }
    }
}

/// What is said of a turn that is old enough to have been removed: its id has
/// the time in it.
fn removed(api: &Api, turn: &str) -> Option<Problem> {
    let days = api.host.config.retention.turns_days?.get();
    let (seconds, _) = Uuid::parse_str(turn).ok()?.get_timestamp()?.to_unix();
    let accepted_ms = i64::try_from(seconds).ok()?.checked_mul(1_000)?;
    let is_old = now_ms().saturating_sub(accepted_ms) >= i64::from(days).saturating_mul(DAY_MS);
    is_old.then(|| {
        let said = format!(
            "turn {turn} is not there; turns are removed {days} days after their end, with their journals ([retention] turns_days)"
        );
        Problem::new(Code::NotFound, said)
    })
}

fn no_such_component(digest: &str) -> Problem {
    Problem::new(
        Code::NotFound,
        format!("there is no component {digest:?}; upload it first"),
    )
}
