//! `/mcp`: agents as tools of the Model Context Protocol, in the versions
//! 2026-07-28 (each request by itself) and 2025-11-25 (sessions).
//!
//! The protocol is rmcp's. Here is who may come in, and what a call becomes: a
//! message to an agent, through inbox, window and budgets like any other.

mod call;
mod origin;
mod tools;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};

use super::{Api, Caller, Code, Problem};
use crate::store::Scope;
use tools::Agents;

/// Sessions at the same time; the version of now has none.
const MAX_SESSIONS: usize = 1_000;

/// How long a session may be silent, a call in it included.
const SESSION_IDLE: Duration = Duration::from_secs(30 * 60);

const SESSION: &str = "mcp-session-id";

pub(super) fn router(api: &Api) -> Router<Api> {
    let sessions = Arc::new(sessions());
    let owners = Arc::new(Owners::default());
    let agents = Agents { api: api.clone() };
    let server = StreamableHttpService::new(
        move || Ok(agents.clone()),
        Arc::clone(&sessions),
        config(api),
    );
    let gate = move |State(api): State<Api>,
                     caller: Result<Caller, Problem>,
                     request: Request,
                     next: Next| {
        let (sessions, owners) = (Arc::clone(&sessions), Arc::clone(&owners));
        async move {
            match admit(&api, &sessions, &owners, caller, request).await {
                Ok((token, request)) => {
                    let response = answer(request, next).await;
                    owners.note(response.headers(), token, &sessions).await;
                    response
                }
                Err(problem) => problem.into_response(),
            }
        }
    };
    Router::new()
        .route_service("/mcp", server)
        .route_layer(from_fn_with_state(api.clone(), gate))
        .layer(map_response(super::never_stored))
}

fn sessions() -> LocalSessionManager {
    let mut sessions = LocalSessionManager::default();
    sessions.session_config.keep_alive = Some(SESSION_IDLE);
    sessions
}

fn config(api: &Api) -> StreamableHttpServerConfig {
    StreamableHttpServerConfig::default()
        // Nobody comes in without a token, and origins are checked here.
        .disable_allowed_hosts()
        .with_max_request_body_bytes(api.host.config.server.max_body_bytes)
        .with_cancellation_token(api.host.stopping())
}

/// Lets in who has a token and comes from no foreign page; the caller goes with
/// the request.
async fn admit(
    api: &Api,
    sessions: &LocalSessionManager,
    owners: &Owners,
    caller: Result<Caller, Problem>,
    mut request: Request,
) -> Result<(String, Request), Problem> {
    origin::check(request.headers(), &api.host.config.server)?;
    let caller = caller?;
    caller.require(Scope::Chat)?;
    let open = sessions.sessions.read().await.len();
    if open >= MAX_SESSIONS && may_open(request.method(), request.headers()) {
        let detail = "there are too many sessions; end one with DELETE /mcp, or speak 2026-07-28, which needs none";
        return Err(Problem::new(Code::Busy, detail));
    }
    owners.check(request.headers(), &caller.token)?;
    let token = caller.token.clone();
    request.extensions_mut().insert(caller);
    Ok((token, request))
}

/// Whose sessions are: the ids of tokens by those of sessions.
#[derive(Default)]
struct Owners(Mutex<HashMap<String, String>>);

impl Owners {
    /// To other tokens a session is not there.
    fn check(&self, headers: &HeaderMap, token: &str) -> Result<(), Problem> {
        let session = headers.get(SESSION).and_then(|id| id.to_str().ok());
        let owner = session.and_then(|session| self.map().get(session).cloned());
        match owner {
            Some(owner) if owner != token => {
                Err(Problem::new(Code::NotFound, "there is no such session"))
            }
            _ => Ok(()),
        }
    }

    /// Notes a session that was opened, and forgets those that have ended.
    async fn note(&self, headers: &HeaderMap, token: String, sessions: &LocalSessionManager) {
        let session = headers.get(SESSION);
        let Some(session) = session.and_then(|id| id.to_str().ok()) else {
            return;
        };
        let open = sessions.sessions.read().await;
        let mut owners = self.map();
        owners.entry(session.to_owned()).or_insert(token);
        if owners.len() > 2 * MAX_SESSIONS {
            owners.retain(|id, _| open.contains_key(id.as_str()));
        }
    }

    fn map(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a session is final, not only accepted: Python's client takes 202
/// for a failure.
async fn answer(request: Request, next: Next) -> Response {
    let is_end = request.method() == Method::DELETE;
    let mut response = next.run(request).await;
    if is_end && response.status() == StatusCode::ACCEPTED {
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    response
}

fn may_open(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::POST && !headers.contains_key(SESSION)
}
