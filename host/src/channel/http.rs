//! HTTP: the host's own API, agents that answer requests themselves, and what
//! operators watch.

mod agents;
mod auth;
mod body;
mod budgets;
mod callback;
mod components;
mod deliveries;
mod events;
mod extract;
mod feedback;
mod health;
mod mcp;
mod messages;
mod named;
mod openai;
mod openapi;
mod page;
mod problem;
mod questions;
mod replay;
mod schedules;
mod server;
mod slack;
mod sse;
mod status;
mod tokens;
mod tools;
mod turns;
mod usage;
pub(crate) mod views;
mod watched;
mod web;

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{map_request, map_response};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::{DefaultOnResponse, TraceLayer};
use tracing::{Level, Span, debug_span};
use utoipa_axum::router::OpenApiRouter;

use crate::app::Host;

pub use auth::{Caller, Credentials};
pub use problem::{Code, Problem};
pub use server::Server;
#[cfg(fuzzing)]
pub(crate) use web::fuzz_headers;

/// What every handler gets.
#[derive(Clone)]
pub struct Api {
    pub host: Arc<Host>,
    pub credentials: Arc<Credentials>,
    started: Instant,
}

impl Api {
    fn new(host: Arc<Host>, credentials: Credentials) -> Self {
        Self {
            host,
            credentials: Arc::new(credentials),
            started: Instant::now(),
        }
    }
}

/// Everything under one address. What is documented is what is routed, but for
/// the agents' own pages and `others`: what other channels have there.
fn router(api: Api, others: Router<Api>) -> Router {
    let server = &api.host.config.server;
    let patience = Duration::from_millis(server.read_timeout_ms);
    let in_time =
        move |request: Request| async move { request.map(|body| body::in_time(body, patience)) };
    let (documented, _) = documented().split_for_parts();
    Router::new()
        .merge(documented.layer(map_response(never_stored)))
        .merge(openai::router())
        .merge(mcp::router(&api))
        .merge(web::router())
        .merge(others)
        .method_not_allowed_fallback(wrong_method)
        .fallback(nothing_here)
        .layer(DefaultBodyLimit::max(server.max_body_bytes))
        .layer(map_request(in_time))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(map_response(never_sniffed))
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(span)
                .on_request(())
                .on_response(DefaultOnResponse::new().level(Level::DEBUG))
                .on_eos(())
                .on_failure(()),
        )
        .with_state(api)
}

/// One line for each resource.
fn documented() -> OpenApiRouter<Api> {
    openapi::router()
        .merge(health::router())
        .merge(status::router())
        .merge(agents::router())
        .merge(components::router())
        .merge(messages::router())
        .merge(turns::router())
        .merge(questions::router())
        .merge(deliveries::router())
        .merge(feedback::router())
        .merge(replay::router())
        .merge(events::router())
        .merge(schedules::router())
        .merge(usage::router())
        .merge(budgets::router())
        .merge(tokens::router())
        .merge(tools::router())
        .merge(slack::router())
}

async fn nothing_here() -> Problem {
    Problem::new(Code::NotFound, "there is nothing at this address")
}

async fn wrong_method() -> Problem {
    Problem::with_status(
        StatusCode::METHOD_NOT_ALLOWED,
        Code::InvalidRequest,
        "this address does not take this method",
    )
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    Problem::internal("a request handler panicked").into_response()
}

/// Answers of the API are of the moment and may be private.
async fn never_stored(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Browsers are to believe the content type.
async fn never_sniffed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Names the route and not the address, in which agents may have secrets.
fn span(request: &Request) -> Span {
    let route = request.extensions().get::<MatchedPath>();
    debug_span!("request", method = %request.method(), route = route.map(MatchedPath::as_str))
}

#[cfg(test)]
mod tests;
