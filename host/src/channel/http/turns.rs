//! Turns: what was asked, what came of it, what it used, and how to stop it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Path, Query};
use super::page::{Items, Page, page_size};
pub(super) use super::views::TurnView;
use super::views::{JournalItem, LogItem, MessageItem};
use super::{Api, Caller, Code, Problem, feedback, questions, sse};
use crate::codec;
use crate::runtime::Failure;
use crate::store::{Rating, Scope, StoredMessage, TurnFilter, TurnRow, TurnStatus, TurnSummary};
use crate::turn::Feed;

/// Which turns to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListTurns {
    agent: Option<String>,
    conversation: Option<String>,
    status: Option<TurnStatus>,
    /// Only turns accepted at this time or later, in milliseconds since 1970.
    since_ms: Option<i64>,
    /// Only turns accepted before this time.
    until_ms: Option<i64>,
    /// Only turns that somebody rated so.
    feedback: Option<Rating>,
    /// How many items, at most 500; 50 without it.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(events))
        .routes(routes!(journal))
        .routes(routes!(log))
        .routes(routes!(cancel))
        .routes(routes!(messages))
}

impl MessageItem {
    fn of_row(row: StoredMessage) -> Self {
        Self {
            role: row.role,
            text: row.text,
            turn: row.turn,
            at: row.at,
            author: row.author_id,
        }
    }
}

impl TurnView {
    /// The turn as stored.
    ///
    /// # Errors
    ///
    /// `not-found` if there is none in this tenant.
    pub(super) async fn load(api: &Api, tenant: &str, turn: &str) -> Result<Self, Problem> {
        let row = stored(api, tenant, turn).await?;
        let view = row.map(Self::of_row).ok_or_else(|| no_such_turn(turn))?;
        view.with_question(api, tenant).await
    }

    /// The same with what it asks, if it waits for an answer.
    async fn with_question(self, api: &Api, tenant: &str) -> Result<Self, Problem> {
        if !matches!(self.status, TurnStatus::Waiting | TurnStatus::Running) {
            return Ok(self);
        }
        let wait = api.host.store.latest_question(tenant, &self.turn).await?;
        let open = wait.filter(|wait| wait.settled_at.is_none());
        Ok(Self {
            question: open.as_ref().map(questions::view).transpose()?,
            ..self
        })
    }

    pub(super) fn of_row(row: TurnSummary) -> Self {
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
            parent: row.parent,
            steered: row.steered,
            question: None,
            feedback: Vec::new(),
            attempts: row.attempts,
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
    Query(query): Query<ListTurns>,
) -> Result<Json<Items<TurnView>>, Problem> {
    caller.require(Scope::Read)?;
    let limit = page_size(query.limit);
    let filter = TurnFilter {
        agent: query.agent,
        user: None,
        conversation: query.conversation,
        status: query.status,
        since: query.since_ms,
        until: query.until_ms,
        feedback: query.feedback,
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
    Ok(Json(Items::page(items, limit, |item| item.turn.clone())))
}

/// One turn.
#[utoipa::path(get, path = "/api/v1/turns/{turn}", tag = "turns", params(("turn" = String, Path)), responses((status = 200, body = TurnView)))]
pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(turn): Path<String>,
) -> Result<Json<TurnView>, Problem> {
    let mut view = readable(&api, &caller, &turn).await?;
    // What others said of it is not for who only talks.
    if caller.may(Scope::Read) {
        view.feedback = feedback::of_turn(&api, &caller.tenant, &turn).await?;
    }
    Ok(Json(view))
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
    match watched(&api, &caller.tenant, &turn).await? {
        Some(feed) => Ok(sse::live(&api, &caller.tenant, &feed, after)),
        None => sse::stored(&api, &caller.tenant, &turn, after).await,
    }
}

/// The feed of a turn that has not ended: the one that is open, or, where nobody
/// watched one that waits, another that says what it asks.
pub(super) async fn watched(
    api: &Api,
    tenant: &str,
    turn: &str,
) -> Result<Option<Arc<Feed>>, Problem> {
    let (store, feeds) = (&api.host.store, &api.host.feeds);
    let row = store.turn(tenant, turn).await?;
    // What can be read and is not handed on yet gets its feed with that.
    store.settle().await?;
    if let Some(feed) = feeds.get(turn) {
        return Ok(Some(feed));
    }
    // A queued one is behind one that waits.
    let waits = |row: &TurnRow| matches!(row.status, TurnStatus::Waiting | TurnStatus::Queued);
    let Some(row) = row.filter(waits) else {
        return Ok(None);
    };
    let asked = questions::asked(store, tenant, turn).await?;
    let starts = row.attempts + row.suspensions;
    let feed = feeds.open_at_rest(turn, starts, asked.into_iter().collect());
    unless_ended(api, tenant, feed).await
}

/// A feed that was opened a moment ago, unless its turn ended before that: then
/// nobody else would say so.
pub(super) async fn unless_ended(
    api: &Api,
    tenant: &str,
    feed: Arc<Feed>,
) -> Result<Option<Arc<Feed>>, Problem> {
    let row = api.host.store.turn_summary(tenant, &feed.turn).await?;
    let Some(row) = row.filter(|row| row.status.is_final()) else {
        return Ok(Some(feed));
    };
    feed.push(sse::last(&TurnView::of_row(row)));
    api.host.feeds.close(&feed.turn);
    Ok(None)
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

/// Stops a turn that has not ended, and the turns that it waits for.
#[utoipa::path(post, path = "/api/v1/turns/{turn}/cancel", tag = "turns", params(("turn" = String, Path)), responses((status = 202, body = TurnView)))]
pub(super) async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    Path(turn): Path<String>,
) -> Result<(StatusCode, Json<TurnView>), Problem> {
    caller.require(Scope::Chat)?;
    let view = readable(&api, &caller, &turn).await?;
    if view.status.is_final() {
        return Err(Problem::new(
            Code::Conflict,
            format!("turn {turn} has ended already"),
        ));
    }
    api.host.scheduler.cancel(&caller.tenant, &turn).await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

/// The messages of a conversation, oldest first.
#[utoipa::path(get, path = "/api/v1/conversations/{conversation}/messages", tag = "messages", params(("conversation" = String, Path), Page), responses((status = 200, body = Items<MessageItem>)))]
pub(super) async fn messages(
    State(api): State<Api>,
    caller: Caller,
    Path(conversation): Path<String>,
    Query(page): Query<Page>,
) -> Result<Json<Items<MessageItem>>, Problem> {
    caller.require(Scope::Chat)?;
    own_conversation(&api, &caller, &conversation)
        .await?
        .ok_or_else(|| no_such_conversation(&conversation))?;
    let limit = page.limit();
    let rows = api
        .host
        .store
        .messages(&caller.tenant, &conversation, page.after_position()?, limit)
        .await?;
    let page = Items::page(rows, limit, |row| row.position.to_string());
    Ok(Json(page.map(MessageItem::of_row)))
}

/// A turn as stored; an end that can be read and is not synced yet is waited
/// for.
async fn stored(api: &Api, tenant: &str, turn: &str) -> Result<Option<TurnSummary>, Problem> {
    let row = api.host.store.turn_summary(tenant, turn).await?;
    if row.as_ref().is_some_and(|row| row.status.is_final())
        && let Some(feed) = api.host.feeds.get(turn)
    {
        feed.ended().await;
    }
    Ok(row)
}

/// A turn that the caller may see: with `read` any, else only those it began.
pub(super) async fn readable(api: &Api, caller: &Caller, turn: &str) -> Result<TurnView, Problem> {
    let row = stored(api, &caller.tenant, turn).await?;
    let own = |row: &TurnSummary| row.token.as_deref() == Some(&caller.token);
    let row = row.filter(|row| caller.may(Scope::Read) || own(row));
    let view = row
        .map(TurnView::of_row)
        .ok_or_else(|| no_such_turn(turn))?;
    view.with_question(api, &caller.tenant).await
}

/// Whether there is a conversation, as far as the caller may know: with `read`
/// any, else only those it spoke in itself.
///
/// # Errors
///
/// `not-found` for a conversation of others.
pub(super) async fn own_conversation(
    api: &Api,
    caller: &Caller,
    conversation: &str,
) -> Result<Option<()>, Problem> {
    let store = &api.host.store;
    match store
        .conversation_with(&caller.tenant, conversation, &caller.token)
        .await?
    {
        None => Ok(None),
        Some(spoke) if spoke || caller.may(Scope::Read) => Ok(Some(())),
        Some(_) => Err(no_such_conversation(conversation)),
    }
}

fn no_such_conversation(conversation: &str) -> Problem {
    Problem::new(
        Code::NotFound,
        format!("there is no conversation {conversation:?}"),
    )
}

pub(super) fn no_such_turn(turn: &str) -> Problem {
    Problem::new(Code::NotFound, format!("there is no turn {turn:?}"))
}
