//! Feedback: what people think of answers.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Query, Unread};
use super::messages::check_name;
use super::page::{Items, page_size, position};
use super::turns::readable;
use super::views::{FeedbackView, NewFeedback};
use super::{Api, Caller, Code, Problem};
use crate::feedback::{self, Untaken};
use crate::store::{self, Feedback, FeedbackFilter, Rating, Scope};

/// Which feedback to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListFeedback {
    agent: Option<String>,
    rating: Option<Rating>,
    /// Only what was said at this time or later, in milliseconds since 1970.
    since_ms: Option<i64>,
    /// How many items, at most 500; 50 without it.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(give, list))
}

/// Rates the answer of a turn; what the same person said of it before is
/// replaced.
#[utoipa::path(post, path = "/api/v1/feedback", tag = "feedback", request_body = NewFeedback,
    responses((status = 200, body = FeedbackView)))]
async fn give(
    State(api): State<Api>,
    caller: Caller,
    body: Unread,
) -> Result<Json<FeedbackView>, Problem> {
    caller.require(Scope::Chat)?;
    let new: NewFeedback = body.json().await?;
    check_name("user", new.user.as_deref())?;
    let turn = readable(&api, &caller, &new.turn).await?.turn;
    let user = new.user.unwrap_or_else(|| caller.name.clone());
    let new = store::NewFeedback {
        tenant: caller.tenant,
        turn,
        user: format!("http:{user}"),
        rating: new.rating,
        comment: new.comment.filter(|comment| !comment.is_empty()),
    };
    let given = feedback::give(&api.host.services, new).await?;
    Ok(Json(given.into()))
}

/// What people think of answers, newest first.
#[utoipa::path(get, path = "/api/v1/feedback", tag = "feedback", params(ListFeedback),
    responses((status = 200, body = Items<FeedbackView>)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListFeedback>,
) -> Result<Json<Items<FeedbackView>>, Problem> {
    caller.require(Scope::Read)?;
    let limit = page_size(query.limit);
    let filter = FeedbackFilter {
        turn: None,
        agent: query.agent,
        rating: query.rating,
        since: query.since_ms,
        before: query.cursor.as_deref().map(position).transpose()?,
        limit,
    };
    let rows = api.host.store.feedback(&caller.tenant, &filter).await?;
    let page = Items::page(rows, limit, |row| row.position.to_string());
    Ok(Json(page.map(FeedbackView::from)))
}

/// What people think of the answer of one turn.
pub(super) async fn of_turn(
    api: &Api,
    tenant: &str,
    turn: &str,
) -> Result<Vec<FeedbackView>, Problem> {
    let filter = FeedbackFilter {
        turn: Some(turn.to_owned()),
        limit: page_size(None),
        ..FeedbackFilter::default()
    };
    let rows = api.host.store.feedback(tenant, &filter).await?;
    Ok(rows.into_iter().map(FeedbackView::from).collect())
}

impl From<Feedback> for FeedbackView {
    fn from(row: Feedback) -> Self {
        Self {
            turn: row.turn,
            agent: row.agent,
            user: row.user_id,
            rating: row.rating,
            comment: row.comment,
            at: row.at,
        }
    }
}

impl From<Untaken> for Problem {
    fn from(untaken: Untaken) -> Self {
        let code = match &untaken {
            Untaken::Host(cause) => return Self::internal(cause),
            Untaken::NoSuchTurn(_) => Code::NotFound,
            Untaken::TooLong => Code::TooLarge,
        };
        Self::new(code, untaken.to_string())
    }
}
