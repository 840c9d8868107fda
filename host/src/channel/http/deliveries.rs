//! Answers on their way to callbacks, and what could not be delivered.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Path, Query};
use super::page::{Items, page_size, position};
use super::views::OutgoingView;
use super::{Api, Caller, Code, Problem};
use crate::store::{Outgoing, OutgoingStatus, Scope};

/// Which answers to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListDeliveries {
    status: Option<OutgoingStatus>,
    /// How many items, at most 500; 50 without it.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(retry))
}

/// Answers that go to callbacks, oldest first.
#[utoipa::path(get, path = "/api/v1/deliveries", tag = "deliveries", params(ListDeliveries),
    responses((status = 200, body = Items<OutgoingView>)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListDeliveries>,
) -> Result<Json<Items<OutgoingView>>, Problem> {
    caller.require(Scope::Read)?;
    let after = query.cursor.as_deref().map_or(Ok(0), position)?;
    let limit = page_size(query.limit);
    let store = &api.host.store;
    let rows = store.outgoing(&caller.tenant, query.status, after, limit);
    let page = Items::page(rows.await?, limit, |row| row.position.to_string());
    Ok(Json(page.map(OutgoingView::from)))
}

/// Tries to deliver an answer again that is a dead letter.
#[utoipa::path(post, path = "/api/v1/deliveries/{turn}/retry", tag = "deliveries",
    params(("turn" = String, Path)),
    responses((status = 202, description = "It will be delivered once more")))]
async fn retry(
    State(api): State<Api>,
    caller: Caller,
    Path(turn): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Write)?;
    let store = &api.host.store;
    if !store.retry_outgoing(&caller.tenant, &turn).await? {
        let detail = format!("the answer of turn {turn:?} is no dead letter");
        return Err(Problem::new(Code::NotFound, detail));
    }
    api.host.services.doorbell.ring();
    Ok(StatusCode::ACCEPTED)
}

impl From<Outgoing> for OutgoingView {
    fn from(row: Outgoing) -> Self {
        Self {
            turn: row.turn,
            conversation: row.conversation,
            callback: row.target,
            status: row.status,
            attempts: row.attempts,
            error: row.error,
            next_at: (row.status == OutgoingStatus::Pending).then_some(row.next_at),
            created_at: row.created_at,
            settled_at: row.settled_at,
        }
    }
}
