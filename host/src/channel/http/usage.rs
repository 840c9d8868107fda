//! Usage: what model calls took and cost.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::Query;
use super::page::Items;
use super::{Api, Caller, Problem};
use crate::store::{Scope, UsageGroup};

/// Since when.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Since {
    /// Milliseconds since 1970; from the beginning without it.
    since_ms: Option<i64>,
}

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(usage))
}

/// Sums of model calls, by agent, provider and model.
#[utoipa::path(get, path = "/api/v1/usage", tag = "usage", params(Since),
    responses((status = 200, body = Items<UsageGroup>)))]
async fn usage(
    State(api): State<Api>,
    caller: Caller,
    Query(since): Query<Since>,
) -> Result<Json<Items<UsageGroup>>, Problem> {
    caller.require(Scope::Read)?;
    let since = since.since_ms.unwrap_or_default();
    let groups = api.host.store.usage(&caller.tenant, since).await?;
    Ok(Json(Items::all(groups)))
}
