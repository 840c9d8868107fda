//! The fake's HTTP: requests read, the world asked, answers written, and cut off where they are
//! to be lost.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{DefaultBodyLimit, Path, Query, Request as HttpRequest, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get, post};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::ServiceExt;
use tracing::debug;

use super::api::{self, Args, Request};
use super::control;
use super::download;
use super::multipart;
use super::sim::Sim;
use super::world::{FaultKind, Refusal};

/// The largest file that somebody shares.
const MAX_BODY: usize = 64 << 20;

const PAGE: &str = include_str!("page.html");

/// Marks a response that is never sent: the connection is closed instead.
#[derive(Clone)]
struct CutOff;

pub(super) async fn serve(listener: TcpListener, sim: Arc<Sim>) -> Result<()> {
    let router = router(sim);
    loop {
        let (stream, _) = listener.accept().await?;
        let _ = stream.set_nodelay(true);
        let router = router.clone();
        let service = service_fn(move |request| answer(router.clone(), request));
        tokio::spawn(async move {
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.with_upgrades().await {
                debug!(%error, "a connection ended badly");
            }
        });
    }
}

/// An error here makes hyper close the connection without an answer.
async fn answer(
    router: Router,
    request: HttpRequest<hyper::body::Incoming>,
) -> std::io::Result<Response> {
    let response = router.oneshot(request).await;
    let response = response.unwrap_or_else(|never: Infallible| match never {});
    match response.extensions().get::<CutOff>() {
        Some(_) => Err(std::io::Error::other("this answer is to be lost")),
        None => Ok(response),
    }
}

fn router(sim: Arc<Sim>) -> Router {
    Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route("/api/{method}", any(call))
        .route("/link/", get(open_socket))
        .route("/response/{id}", post(respond))
        .route("/upload/v1/{id}", post(upload))
        .route("/files-pri/{id}/{*path}", get(download::download))
        .route("/login", get(|| async { Html(download::LOGIN) }))
        .nest("/sim", control::router())
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(only_by_own_name))
        .with_state(sim)
}

/// Refuses names that are not this machine's own: with one of its own a page of somebody else
/// could be made to talk to the fake (DNS rebinding).
async fn only_by_own_name(request: HttpRequest, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let name = host.as_ref().map_or("", |host| host.host());
    let number = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    if name == "localhost" || number.is_ok_and(|address| address.is_loopback()) {
        return next.run(request).await;
    }
    (
        StatusCode::FORBIDDEN,
        "the fake answers to 127.0.0.1 and localhost only",
    )
        .into_response()
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<String> {
    let header = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    Some(header.strip_prefix("Bearer ")?.trim().to_owned())
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/json"))
}

/// Arguments of the query, then of the body.
fn args(uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Option<Args> {
    let form = |bytes: &[u8]| -> Vec<(String, Value)> {
        let pairs = form_urlencoded::parse(bytes).into_owned();
        pairs.map(|(key, value)| (key, json!(value))).collect()
    };
    let mut pairs = form(uri.query().unwrap_or_default().as_bytes());
    if !is_json(headers) {
        pairs.extend(form(body));
    } else if !body.is_empty() {
        let Ok(Value::Object(fields)) = serde_json::from_slice(body) else {
            return None;
        };
        pairs.extend(fields);
    }
    Some(Args::of(pairs))
}

async fn call(
    State(sim): State<Arc<Sim>>,
    Path(method): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(mut args) = args(&uri, &headers, &body) else {
        return axum::Json(json!({"ok": false, "error": "invalid_json"})).into_response();
    };
    let in_args = args.take_token();
    let request = Request {
        method,
        token: bearer(&headers).or(in_args),
        args,
    };
    let (answer, scopes) = sim.with(|world| {
        let answer = api::call(world, &request);
        (answer, world.settings.scopes.join(","))
    });
    match answer.fault {
        Some(FaultKind::Hang { ms }) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            return cut_off();
        }
        Some(FaultKind::Close | FaultKind::Lost) => return cut_off(),
        Some(FaultKind::Status { status }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return (status, Html("<h1>Something went wrong</h1>")).into_response();
        }
        Some(
            FaultKind::Ratelimited { .. }
            | FaultKind::Error { .. }
            | FaultKind::Redirect { .. }
            | FaultKind::Login
            | FaultKind::Longer { .. },
        )
        | None => {}
    }
    let mut response = axum::Json(answer.body).into_response();
    let headers = response.headers_mut();
    if let Ok(scopes) = HeaderValue::from_str(&scopes) {
        headers.insert("x-oauth-scopes", scopes);
    }
    if let Some(seconds) = answer.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    }
    response
}

pub(super) fn cut_off() -> Response {
    let mut response = Response::default();
    response.extensions_mut().insert(CutOff);
    response
}

#[derive(serde::Deserialize)]
struct Link {
    ticket: String,
}

async fn open_socket(
    State(sim): State<Arc<Sim>>,
    Query(link): Query<Link>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let is_new = sim.with(|world| {
        let place = world
            .tickets
            .iter()
            .position(|ticket| *ticket == link.ticket);
        place.map(|place| world.tickets.remove(place)).is_some()
    });
    if !is_new {
        return (
            StatusCode::FORBIDDEN,
            "this ticket was used, or never given",
        )
            .into_response();
    }
    upgrade.on_upgrade(move |socket| sim.serve_socket(socket))
}

async fn respond(State(sim): State<Arc<Sim>>, Path(id): Path<String>, body: Bytes) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return (StatusCode::BAD_REQUEST, "invalid_payload").into_response();
    };
    match sim.with(|world| world.respond(&id, &body)) {
        Ok(()) => (StatusCode::OK, "ok").into_response(),
        Err(refusal) => {
            let body = json!({"ok": false, "error": refusal.error});
            (StatusCode::NOT_FOUND, axum::Json(body)).into_response()
        }
    }
}

async fn upload(
    State(sim): State<Arc<Sim>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let body = multipart::content(kind, &body);
    let length = body.len();
    let stored: Result<(), Refusal> = sim.with(|world| {
        let file = world.file_mut(&id)?;
        if file.is_complete {
            return Err("file_not_found".into());
        }
        file.bytes = body.to_vec();
        Ok(())
    });
    match stored {
        Ok(()) => (StatusCode::OK, format!("OK - {length}")).into_response(),
        Err(refusal) => (StatusCode::NOT_FOUND, refusal.error).into_response(),
    }
}
