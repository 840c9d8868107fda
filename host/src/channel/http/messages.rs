//! Messages in, answers out: as JSON, or as they are made by server-sent
//! events.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Path, Unread};
use super::named::of_turn;
use super::turns::{TurnView, own_conversation};
use super::{Api, Caller, Code, Problem, callback, sse};
use crate::inbox::{Admitted, Inbound};
use crate::registry::WhenBusy;
use crate::runtime::Input;
use crate::runtime::bindings::types;
use crate::store::{Idempotency, Scope, TurnStatus};
use crate::telemetry::is_traceparent;
use crate::turn::Feed;

/// The longest text of a message, in bytes.
const MAX_TEXT_BYTES: usize = 256 << 10;
const CHANNEL: &str = "http";
const MAX_NAME_BYTES: usize = 200;
const MAX_KEY_BYTES: usize = 200;
/// The agent that answers messages to nobody in particular.
const DEFAULT_AGENT: &str = "assistant";

/// A message to an agent.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewMessage {
    /// At most 256 KiB of UTF-8.
    pub(super) text: String,
    /// Continues a conversation; a new one begins without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) conversation: Option<String>,
    /// For whom a program speaks; the token's own name without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    /// An `https://` address that the answer is sent to when it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) callback: Option<String>,
}

/// How the answer is wanted.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read from the headers; this describes them")]
struct Wishes {
    /// One turn, however often the same is sent with the same key.
    #[param(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
    /// `respond-async`: answer 202 at once.
    #[param(rename = "Prefer")]
    prefer: Option<String>,
}

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(to_agent))
        .routes(routes!(to_anyone))
}

/// Says something to an agent.
#[utoipa::path(post, path = "/api/v1/agents/{agent}/messages", tag = "messages",
    params(("agent" = String, Path), Wishes),
    request_body = NewMessage,
    responses((status = 200, body = TurnView), (status = 202, body = TurnView)))]
pub(super) async fn to_agent(
    State(api): State<Api>,
    caller: Caller,
    Path(agent): Path<String>,
    headers: HeaderMap,
    body: Unread,
) -> Result<Response, Problem> {
    say(&api, &caller, agent, &headers, body).await
}

/// Says something to whichever agent fits.
#[utoipa::path(post, path = "/api/v1/messages", tag = "messages", params(Wishes), request_body = NewMessage,
    responses((status = 200, body = TurnView), (status = 202, body = TurnView)))]
pub(super) async fn to_anyone(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    body: Unread,
) -> Result<Response, Problem> {
    say(&api, &caller, DEFAULT_AGENT.to_owned(), &headers, body).await
}

async fn say(
    api: &Api,
    caller: &Caller,
    agent: String,
    headers: &HeaderMap,
    body: Unread,
) -> Result<Response, Problem> {
    caller.require(Scope::Chat)?;
    let message: NewMessage = body.json().await?;
    check(&message)?;
    if let Some(url) = &message.callback {
        callback::check(url, &api.host.config.limits.http)
            .map_err(|why| Problem::new(Code::InvalidRequest, format!("callback: {why}")))?;
    }
    let trigger = api.host.agents.chat_trigger(&caller.tenant, &agent).await?;
    let trigger = trigger.ok_or_else(|| no_such_agent(&agent))?;
    // A token that only chats does not join the conversations of others.
    if let Some(conversation) = &message.conversation
        && !caller.may(Scope::Read)
    {
        own_conversation(api, caller, conversation).await?;
    }
    let idempotency = idempotency(caller, &agent, headers, &message)?;
    let inbound = Inbound {
        only_if_idle: trigger.when_busy == WhenBusy::Refuse,
        ..inbound(CHANNEL, caller, agent, message, headers, idempotency)
    };
    let seat = api.host.inbox.seat().ok_or_else(Problem::busy)?;
    let inbox = &api.host.inbox;
    let admitted = if wants_events(headers) || wants_async(headers) {
        inbox.admit(inbound, seat).await
    } else {
        inbox.admit_until_answered(inbound, seat).await
    };
    match admitted.map_err(|error| Problem::not_taken(&error))? {
        Admitted::Turn(feed) => answer(api, caller, &feed, headers).await,
        Admitted::Repeated(turn) => repeated(api, caller, &turn, headers).await,
        Admitted::KeyReused => Err(Problem::new(
            Code::IdempotencyMismatch,
            "this idempotency key was used before with another message",
        )),
        Admitted::Busy(turn) => Err(Problem::busy_with(&turn)),
    }
}

/// Answers in the form that was asked for.
async fn answer(
    api: &Api,
    caller: &Caller,
    feed: &Arc<Feed>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    if wants_events(headers) {
        return Ok(sse::live(api, &caller.tenant, feed, 0));
    }
    if !wants_async(headers) {
        let patience = Duration::from_millis(api.host.config.server.answer_timeout_ms);
        // Who comes too late is told how far it is.
        let _ = tokio::time::timeout(patience, feed.rested()).await;
        if feed.summary().is_none() {
            // The first that the caller hears of it.
            api.host.store.settle().await?;
        }
    }
    match feed.summary() {
        Some(end) => show(TurnView::of_row(end.clone())),
        None => answer_by_row(api, caller, &feed.turn).await,
    }
}

/// A request that came before gets the answer of then.
async fn repeated(
    api: &Api,
    caller: &Caller,
    turn: &str,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    match api.host.feeds.get(turn) {
        Some(feed) => answer(api, caller, &feed, headers).await,
        None if wants_events(headers) => sse::stored(api, &caller.tenant, turn, 0).await,
        None => answer_by_row(api, caller, turn).await,
    }
}

async fn answer_by_row(api: &Api, caller: &Caller, turn: &str) -> Result<Response, Problem> {
    show(TurnView::load(api, &caller.tenant, turn).await?)
}

fn show(view: TurnView) -> Result<Response, Problem> {
    if let Some(failure) = &view.error {
        return Err(Problem::of_failure(&view.turn, failure));
    }
    let status = if view.status == TurnStatus::Completed {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let turn = view.turn.clone();
    Ok(of_turn(&turn, (status, Json(view)).into_response()))
}

pub(super) fn inbound(
    channel: &str,
    caller: &Caller,
    agent: String,
    message: NewMessage,
    headers: &HeaderMap,
    idempotency: Option<Idempotency>,
) -> Inbound {
    let user = message.user.unwrap_or_else(|| caller.name.clone());
    let author = types::Author {
        id: format!("{channel}:{user}"),
        name: Some(user),
    };
    Inbound {
        tenant: caller.tenant.clone(),
        agent,
        channel: channel.to_owned(),
        user: Some(author.id.clone()),
        token: Some(caller.token.clone()),
        input: Input::Chat(types::Message {
            context_json: context(headers),
            ..types::Message::new(channel, message.conversation, author, message.text)
        }),
        idempotency,
        delivery: None,
        parent: None,
        callback: message.callback,
        only_if_idle: false,
    }
}

/// What the channel knows besides: the trace that the request belongs to.
fn context(headers: &HeaderMap) -> String {
    match traceparent(headers) {
        Some(header) => json!({ "traceparent": header }).to_string(),
        None => "{}".to_owned(),
    }
}

/// The trace that a request belongs to, as W3C's trace context has it.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get("traceparent")?.to_str().ok()?;
    is_traceparent(header).then_some(header)
}

pub(super) fn check(message: &NewMessage) -> Result<(), Problem> {
    if message.text.len() > MAX_TEXT_BYTES {
        return Err(Problem::new(
            Code::TooLarge,
            format!("the text is at most {MAX_TEXT_BYTES} bytes"),
        ));
    }
    if message.text.trim().is_empty() {
        return Err(Problem::new(Code::InvalidRequest, "the text is empty"));
    }
    check_name("conversation", message.conversation.as_deref())?;
    check_name("user", message.user.as_deref())
}

/// Checks the name of a conversation or a person, if there is one.
///
/// # Errors
///
/// If it is empty, long, or has control characters in it.
pub(super) fn check_name(what: &str, value: Option<&str>) -> Result<(), Problem> {
    let fits = |value: &str| {
        !value.is_empty() && value.len() <= MAX_NAME_BYTES && !value.chars().any(char::is_control)
    };
    if value.is_none_or(fits) {
        return Ok(());
    }
    Err(Problem::new(
        Code::InvalidRequest,
        format!("{what} is 1 to {MAX_NAME_BYTES} bytes without control characters"),
    ))
}

fn idempotency(
    caller: &Caller,
    agent: &str,
    headers: &HeaderMap,
    message: &NewMessage,
) -> Result<Option<Idempotency>, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = value
        .to_str()
        .ok()
        .filter(|key| !key.is_empty() && key.len() <= MAX_KEY_BYTES);
    let key = key.ok_or_else(|| {
        Problem::new(
            Code::InvalidRequest,
            format!("idempotency-key is 1 to {MAX_KEY_BYTES} characters of ASCII"),
        )
    })?;
    let body = serde_json::to_vec(message).map_err(Problem::internal)?;
    let mut hasher = Sha256::new();
    hasher.update(agent.as_bytes());
    hasher.update([0]);
    hasher.update(&body);
    Ok(Some(Idempotency {
        token: caller.token.clone(),
        key: key.to_owned(),
        body_hash: hex::encode(hasher.finalize()),
    }))
}

fn wants_events(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            value
                .split(',')
                .any(|kind| kind.trim().starts_with("text/event-stream"))
        })
}

fn wants_async(headers: &HeaderMap) -> bool {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| {
            value
                .split(',')
                .any(|wish| wish.trim().eq_ignore_ascii_case("respond-async"))
        })
}

pub(super) fn no_such_agent(agent: &str) -> Problem {
    Problem::new(
        Code::NotFound,
        format!("there is no agent {agent:?} that answers; see: anchorhold agents list"),
    )
}
