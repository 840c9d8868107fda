//! Turns: what was asked, what came of it, what it used, and how to stop it.

use axum::Json;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Api, Caller, Code, Problem, sse};
use crate::codec;
use crate::runtime::Failure;
use crate::store::{JournalStatus, Scope, TurnFilter, TurnKind, TurnRow, TurnStatus};
use crate::turn::{Receipt, Replayed};

const DEFAULT_PAGE: u32 = 50;
const MAX_PAGE: u32 = 500;

/// A turn.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TurnView {
    /// Its id.
    pub turn: String,
    pub kind: TurnKind,
    pub status: TurnStatus,
    pub agent: String,
    /// The version that ran.
    pub version: Option<i64>,
    pub conversation: Option<String>,
    pub user: Option<String>,
    pub channel: String,
    /// The answer.
    pub text: Option<String>,
    pub error: Option<Failure>,
    pub receipt: Option<Receipt>,
    /// Milliseconds since 1970, as all times here.
    pub created_at: i64,
    pub started_at: Option<i64>,
    pub finished_at: Option<i64>,
}

/// A recorded host call.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JournalItem {
    pub seq: i64,
    /// `interface.function`.
    pub kind: String,
    pub args_hash: String,
    /// `begun`, `done` or `failed`.
    #[schema(value_type = String)]
    pub status: JournalStatus,
    pub args: serde_json::Value,
    pub result: serde_json::Value,
    /// When it was complete.
    pub at: i64,
    /// How long it took, in milliseconds.
    pub ms: f64,
}

/// A line that an agent logged.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LogItem {
    pub seq: i64,
    pub level: String,
    pub message: String,
    pub fields: serde_json::Value,
}

/// A message of a conversation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MessageItem {
    /// `user` or `assistant`.
    pub role: String,
    pub text: String,
    pub turn: String,
    pub at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

/// A list, or a page of one: `next` is the cursor of the next page.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Items<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

impl<T> Items<T> {
    /// A whole list.
    pub fn all(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

/// Which turns to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ListTurns {
    agent: Option<String>,
    conversation: Option<String>,
    status: Option<TurnStatus>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// A page of a list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    pub(super) limit: Option<u32>,
    pub(super) cursor: Option<String>,
}

impl Page {
    /// How many items, within bounds.
    pub(super) fn limit(&self) -> u32 {
        page_size(self.limit)
    }
}

pub(super) fn page_size(limit: Option<u32>) -> u32 {
    limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE)
}

pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/turns", get(list))
        .route("/turns/{turn}", get(show))
        .route("/turns/{turn}/events", get(events))
        .route("/turns/{turn}/journal", get(journal))
        .route("/turns/{turn}/log", get(log))
        .route("/turns/{turn}/cancel", post(cancel))
        .route("/turns/{turn}/replay", post(replay))
        .route("/conversations/{conversation}/messages", get(messages))
}

impl TurnView {
    /// The turn as stored.
    ///
    /// # Errors
    ///
    /// `not-found` if there is none in this tenant.
    pub async fn load(api: &Api, tenant: &str, turn: &str) -> Result<Self, Problem> {
        let row = api.host.store.turn(tenant, turn).await?;
        if row.as_ref().is_some_and(|row| row.status.is_final())
            && let Some(feed) = api.host.feeds.get(turn)
        {
            // Its end can be read and is not synced yet.
            feed.ended().await;
        }
        row.map(Self::of_row).ok_or_else(|| no_such_turn(turn))
    }

    fn of_row(row: TurnRow) -> Self {
        let error: Option<Failure> = row
            .error
            .as_deref()
            .and_then(|error| serde_json::from_str(error).ok());
        Self {
            turn: row.id,
            kind: row.kind,
            status: row.status,
            agent: row.agent,
            version: row.version,
            conversation: row.conversation,
            user: row.user_id,
            channel: row.channel,
            text: row.text,
            error: error.map(|error| Failure {
                detail: None,
                ..error
            }),
            receipt: row
                .receipt
                .as_deref()
                .and_then(|receipt| serde_json::from_str(receipt).ok()),
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
        }
    }
}

/// Turns, newest first.
#[utoipa::path(get, path = "/api/v1/turns", tag = "turns", params(ListTurns), responses((status = 200, body = Items<TurnView>)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    query: Result<Query<ListTurns>, QueryRejection>,
) -> Result<Json<Items<TurnView>>, Problem> {
    caller.require(Scope::Read)?;
    let query = query?.0;
    let limit = page_size(query.limit);
    let filter = TurnFilter {
        agent: query.agent,
        conversation: query.conversation,
        status: query.status,
        before: query.cursor,
        limit,
    };
    let items: Vec<TurnView> = api
        .host
        .store
        .turns(&caller.tenant, &filter)
        .await?
        .into_iter()
        .map(TurnView::of_row)
        .collect();
    let next = (items.len() == limit as usize)
        .then(|| items.last().map(|item| item.turn.clone()))
        .flatten();
    Ok(Json(Items { items, next }))
}

/// One turn.
#[utoipa::path(get, path = "/api/v1/turns/{turn}", tag = "turns", params(("turn" = String, Path)), responses((status = 200, body = TurnView)))]
pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(turn): Path<String>,
) -> Result<Json<TurnView>, Problem> {
    Ok(Json(readable(&api, &caller, &turn).await?))
}

/// One turn as server-sent events; `Last-Event-ID` goes on where it was.
#[utoipa::path(get, path = "/api/v1/turns/{turn}/events", tag = "turns", params(("turn" = String, Path), ("Last-Event-ID" = Option<String>, Header)),
    responses((status = 200, description = "Server-sent events", content_type = "text/event-stream")))]
pub(super) async fn events(
    State(api): State<Api>,
    caller: Caller,
    Path(turn): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    readable(&api, &caller, &turn).await?;
    let after = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse().ok())
        .unwrap_or(0);
    match api.host.feeds.get(&turn) {
        Some(feed) => Ok(sse::live(&api, &caller.tenant, &feed, after)),
        None => sse::stored(&api, &caller.tenant, &turn, after).await,
    }
}

/// What crossed the window of a turn.
#[utoipa::path(get, path = "/api/v1/turns/{turn}/journal", tag = "turns", params(("turn" = String, Path)), responses((status = 200, body = Items<JournalItem>)))]
pub(super) async fn journal(
    State(api): State<Api>,
    caller: Caller,
    Path(turn): Path<String>,
) -> Result<Json<Items<JournalItem>>, Problem> {
    caller.require(Scope::Read)?;
    TurnView::load(&api, &caller.tenant, &turn).await?;
    let entries = api.host.store.journal(&caller.tenant, &turn).await?;
    let items = entries.into_iter().map(|entry| JournalItem {
        seq: entry.seq,
        kind: entry.kind,
        args_hash: entry.args_hash,
        status: entry.status,
        args: codec::to_json(&entry.args),
        result: entry
            .result
            .as_deref()
            .map(codec::to_json)
            .unwrap_or_default(),
        at: entry.at / 1_000_000,
        ms: entry.took_us as f64 / 1_000.0,
    });
    Ok(Json(Items::all(items.collect())))
}

/// What an agent logged in a turn.
#[utoipa::path(get, path = "/api/v1/turns/{turn}/log", tag = "turns", params(("turn" = String, Path)), responses((status = 200, body = Items<LogItem>)))]
pub(super) async fn log(
    State(api): State<Api>,
    caller: Caller,
    Path(turn): Path<String>,
) -> Result<Json<Items<LogItem>>, Problem> {
    caller.require(Scope::Read)?;
    TurnView::load(&api, &caller.tenant, &turn).await?;
    let lines = api.host.store.log_lines(&caller.tenant, &turn).await?;
    let items = lines.into_iter().map(|line| LogItem {
        seq: line.seq,
        level: line.level,
        message: line.message,
        fields: serde_json::from_str(&line.fields).unwrap_or_default(),
    });
    Ok(Json(Items::all(items.collect())))
}

/// Stops a turn that has not ended.
#[utoipa::path(post, path = "/api/v1/turns/{turn}/cancel", tag = "turns", params(("turn" = String, Path)), responses((status = 202, body = TurnView)))]
pub(super) async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    Path(turn): Path<String>,
) -> Result<(StatusCode, Json<TurnView>), Problem> {
    caller.require(Scope::Chat)?;
    let view = readable(&api, &caller, &turn).await?;
    match api.host.feeds.get(&turn) {
        Some(feed) => feed.kill.pull(),
        None => {
            return Err(Problem::new(
                Code::Conflict,
                format!("turn {turn} has ended already"),
            ));
        }
    }
    Ok((StatusCode::ACCEPTED, Json(view)))
}

/// Runs an ended turn again from its journal, with no effect outside, and says
/// whether it is the same.
#[utoipa::path(post, path = "/api/v1/turns/{turn}/replay", tag = "turns", params(("turn" = String, Path)), responses((status = 200, body = Replayed)))]
pub(super) async fn replay(
    State(api): State<Api>,
    caller: Caller,
    Path(turn): Path<String>,
) -> Result<Json<Replayed>, Problem> {
    caller.require(Scope::Write)?;
    let view = TurnView::load(&api, &caller.tenant, &turn).await?;
    if !view.status.is_final() {
        return Err(Problem::new(
            Code::Conflict,
            format!("turn {turn} has not ended"),
        ));
    }
    let replayed = api.host.scheduler.replay(&caller.tenant, &turn).await;
    replayed
        .map(Json)
        .map_err(|error| Problem::new(Code::Conflict, format!("{error:#}")))
}

/// The messages of a conversation, oldest first.
#[utoipa::path(get, path = "/api/v1/conversations/{conversation}/messages", tag = "messages", params(("conversation" = String, Path), Page), responses((status = 200, body = Items<MessageItem>)))]
pub(super) async fn messages(
    State(api): State<Api>,
    caller: Caller,
    Path(conversation): Path<String>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Items<MessageItem>>, Problem> {
    caller.require(Scope::Chat)?;
    let page = page?.0;
    if !api
        .host
        .store
        .has_conversation(&caller.tenant, &conversation)
        .await?
    {
        return Err(Problem::new(
            Code::NotFound,
            format!("there is no conversation {conversation:?}"),
        ));
    }
    let after = cursor(page.cursor.as_deref())?;
    let rows = api
        .host
        .store
        .messages(&caller.tenant, &conversation, after, page.limit())
        .await?;
    let next = (rows.len() == page.limit() as usize)
        .then(|| rows.last().map(|row| row.position.to_string()))
        .flatten();
    let items = rows.into_iter().map(|row| MessageItem {
        role: row.role,
        text: row.text,
        turn: row.turn,
        at: row.at,
        author: row.author_id,
    });
    Ok(Json(Items {
        items: items.collect(),
        next,
    }))
}

/// A position that `next` gave.
pub(super) fn cursor(cursor: Option<&str>) -> Result<i64, Problem> {
    cursor.map_or(Ok(0), |text| {
        text.parse()
            .map_err(|_| Problem::new(Code::InvalidRequest, "this cursor is none that a list gave"))
    })
}

/// A turn that the caller may see: with `read` any, else only those it began.
async fn readable(api: &Api, caller: &Caller, turn: &str) -> Result<TurnView, Problem> {
    let view = TurnView::load(api, &caller.tenant, turn).await?;
    if !caller.may(Scope::Read) && view.user.as_deref() != Some(&format!("http:{}", caller.name)) {
        return Err(no_such_turn(turn));
    }
    Ok(view)
}

fn no_such_turn(turn: &str) -> Problem {
    Problem::new(Code::NotFound, format!("there is no turn {turn:?}"))
}
