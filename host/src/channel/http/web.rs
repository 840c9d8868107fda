//! Agents that answer HTTP requests themselves, below `/agents/{name}/`.
//!
//! Whoever reaches the host reaches them: a token is welcome and not needed.
//! What an agent answers comes from the host's own origin, so it is shown to
//! browsers as a sandboxed page that can reach nothing of the console or the
//! API, and cannot set cookies (`web/headers.rs`).

mod headers;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;

use super::messages::no_such_agent;
use super::named::of_turn;
use super::{Api, Caller, Code, Problem};
use crate::codec;
use crate::inbox::{Admitted, Inbound};
use crate::runtime::bindings::web;
use crate::runtime::{Failure, FailureCode, Input, Output};
use crate::store::{DEFAULT_TENANT, TurnRow};
use crate::turn::Feed;

#[cfg(fuzzing)]
pub(crate) use headers::fuzz_headers;

/// What answers such requests exports.
const EXPORT: &str = "web";

/// A request with everything that is wanted of it.
struct Asked {
    agent: String,
    caller: Option<Caller>,
    request: web::Request,
}

pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/agents/{name}", any(serve))
        .route("/agents/{name}/", any(serve))
        .route("/agents/{name}/{*path}", any(serve))
}

async fn serve(State(api): State<Api>, asked: Asked) -> Result<Response, Problem> {
    let tenant = asked
        .caller
        .as_ref()
        .map_or(DEFAULT_TENANT, |caller| &caller.tenant)
        .to_owned();
    check_exports(&api, &tenant, &asked.agent).await?;
    let inbound = Inbound {
        tenant: tenant.clone(),
        agent: asked.agent,
        channel: "web".to_owned(),
        token: asked.caller.as_ref().map(|caller| caller.token.clone()),
        user: asked.caller.map(|caller| format!("http:{}", caller.name)),
        input: Input::Web(asked.request),
        idempotency: None,
        delivery: None,
        parent: None,
        callback: None,
        only_if_idle: false,
    };
    let seat = api.host.inbox.seat().ok_or_else(Problem::busy)?;
    let Admitted::Turn(feed) = api.host.inbox.admit(inbound, seat).await? else {
        return Err(Problem::internal("a request was taken for a repeated one"));
    };
    let answer = answer(&api, &tenant, &feed).await;
    let response = answer.unwrap_or_else(IntoResponse::into_response);
    Ok(of_turn(&feed.turn, response))
}

async fn answer(api: &Api, tenant: &str, feed: &Arc<Feed>) -> Result<Response, Problem> {
    let patience = Duration::from_millis(api.host.config.server.answer_timeout_ms);
    // One that waits for a person or a time is too slow for a request.
    let _ = tokio::time::timeout(patience, feed.rested()).await;
    if feed.summary().is_none() {
        return Err(too_slow(&feed.turn));
    }
    let row = api.host.store.turn(tenant, &feed.turn).await?;
    respond(row.ok_or_else(|| Problem::internal("the turn of a request is gone"))?)
}

/// Nothing is stored for an agent that would not answer.
async fn check_exports(api: &Api, tenant: &str, agent: &str) -> Result<(), Problem> {
    let version = api.host.store.agent_version(tenant, agent, None).await?;
    let version = version.ok_or_else(|| no_such_agent(agent))?;
    if version.spec.exports.iter().any(|export| export == EXPORT) {
        return Ok(());
    }
    Err(Problem::new(
        Code::NotFound,
        format!("agent {agent} does not answer HTTP requests: it does not export {EXPORT}"),
    ))
}

fn too_slow(turn: &str) -> Problem {
    let detail = "the agent has not answered in time; it was not stopped, its turn has the rest";
    Problem::with_status(StatusCode::GATEWAY_TIMEOUT, Code::Timeout, detail).about(turn)
}

fn respond(row: TurnRow) -> Result<Response, Problem> {
    if let Some(error) = &row.error {
        let failure: Failure = serde_json::from_str(error).map_err(Problem::internal)?;
        return Err(failed(&row.id, failure.code));
    }
    match codec::decode(row.output.as_deref().unwrap_or_default())? {
        Output::Response(response) => rendered(response).map_err(|problem| problem.about(&row.id)),
        _ => Err(Problem::internal(
            "a request was answered by something else than a response",
        )),
    }
}

/// A failure for whoever may be on the other side. What an agent says of its
/// own errors is for operators, also when it passes on what the host refused.
fn failed(turn: &str, code: FailureCode) -> Problem {
    let code = match code {
        FailureCode::Denied | FailureCode::BudgetExceeded => FailureCode::AgentError,
        code => code,
    };
    let message = "the agent could not answer this request; operators find the cause by the turn";
    Problem::of_failure(turn, &Failure::new(code, message))
}

fn rendered(response: web::Response) -> Result<Response, Problem> {
    // Below 200 is not an answer yet, and above 599 is nothing.
    let status = StatusCode::from_u16(response.status)
        .ok()
        .filter(|_| (200..600).contains(&response.status));
    let status = status.ok_or_else(|| malformed(&format!("the status {}", response.status)))?;
    let headers = headers::for_browsers(&response.headers)
        .map_err(|name| malformed(&format!("the header {name:?}")))?;
    Ok((status, headers, response.body).into_response())
}

fn malformed(what: &str) -> Problem {
    let detail = format!("the agent answered with something that HTTP does not have: {what}");
    Problem::new(Code::InvalidResponse, detail)
}

impl FromRequest<Api> for Asked {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let caller =
            <Option<Caller> as FromRequestParts<Api>>::from_request_parts(&mut parts, api).await?;
        let (agent, path) = address(&parts.uri)
            .ok_or_else(|| Problem::new(Code::NotFound, "there is nothing at this address"))?;
        let request = web_request(&parts.method, path, &parts.uri, &parts.headers);
        let body: Result<Bytes, BytesRejection> =
            Bytes::from_request(Request::from_parts(parts, body), api).await;
        let caller_name = caller.as_ref().map(|caller| caller.name.clone());
        Ok(Self {
            agent,
            caller,
            request: web::Request {
                body: body?.into(),
                caller: caller_name,
                ..request
            },
        })
    }
}

/// The agent, and what follows it as it came.
fn address(uri: &Uri) -> Option<(String, String)> {
    let rest = uri.path().strip_prefix("/agents/")?;
    let (agent, path) = rest.split_once('/').unwrap_or((rest, ""));
    Some((agent.to_owned(), format!("/{path}")))
}

fn web_request(method: &Method, path: String, uri: &Uri, headers: &HeaderMap) -> web::Request {
    web::Request {
        method: method.as_str().to_owned(),
        path,
        query: uri.query().map(str::to_owned),
        headers: headers::for_agents(headers),
        body: Vec::new(),
        caller: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, headers: &[(&str, &str)]) -> u16 {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let headers = headers.iter().map(owned).collect();
        let response = web::Response {
            status,
            headers,
            body: b"body".to_vec(),
        };
        let rendered = rendered(response).unwrap_or_else(IntoResponse::into_response);
        rendered.status().as_u16()
    }

    #[test]
    fn only_what_http_has_is_passed_on() {
        for good in [200, 204, 302, 404, 418, 500, 599] {
            assert_eq!(status(good, &[]), good);
        }
        for bad in [0, 99, 100, 101, 199, 600, 999, 1000, u16::MAX] {
            assert_eq!(status(bad, &[]), 502, "{bad}");
        }
        assert_eq!(status(200, &[("a b", "c")]), 502);
        assert_eq!(status(200, &[("a", "b\r\nc: d")]), 502);
    }

    #[test]
    fn what_follows_the_name_stays_as_it_came() {
        for (uri, expected) in [
            ("/agents/a", Some(("a", "/"))),
            ("/agents/a/", Some(("a", "/"))),
            (
                "/agents/a/b%2Fc/../%ff//d?e=/f",
                Some(("a", "/b%2Fc/../%ff//d")),
            ),
            ("/agents", None),
        ] {
            let found = address(&uri.parse().unwrap());
            let found = found
                .as_ref()
                .map(|(agent, path)| (agent.as_str(), path.as_str()));
            assert_eq!(found, expected, "{uri}");
        }
    }
}
