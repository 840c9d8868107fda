//! What Slack sends to `/slack/…`: signed, stored, and only then acknowledged,
//! without waiting for anything else.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Map, Value};
use tracing::{error, warn};

use super::Slack;
use super::signature::is_signed;
use crate::clock::now_ms;
use crate::store::SlackKind;

/// The largest request, in bytes; Slack's own are far smaller.
const MAX_BODY: usize = 1 << 20;

/// The addresses that the app's manifest names.
pub(in crate::channel) fn router<S>(slack: Arc<Slack>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    Router::new()
        .route("/slack/events", post(events))
        .route("/slack/interactivity", post(interactivity))
        .route("/slack/commands", post(commands))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(slack)
}

async fn events(State(slack): State<Arc<Slack>>, headers: HeaderMap, body: Bytes) -> Response {
    if is_ssl_check(&headers, &body) {
        return StatusCode::OK.into_response();
    }
    if !slack.signed(&headers, &body) {
        return unsigned();
    }
    let payload = read(&body);
    if payload["type"] == "url_verification" {
        let challenge = payload["challenge"].as_str().unwrap_or_default();
        return ([(header::CONTENT_TYPE, "text/plain")], challenge.to_owned()).into_response();
    }
    slack.store(SlackKind::Event, &payload).await
}

/// Clicks: a form with one field, JSON.
async fn interactivity(
    State(slack): State<Arc<Slack>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !slack.signed(&headers, &body) {
        return unsigned();
    }
    let payload = form(&body)["payload"].take();
    let payload = read(payload.as_str().unwrap_or_default().as_bytes());
    slack.store(SlackKind::Interaction, &payload).await
}

/// Slash commands: a form. What is answered at once is nothing, so that nobody
/// else sees that somebody asked.
async fn commands(State(slack): State<Arc<Slack>>, headers: HeaderMap, body: Bytes) -> Response {
    if is_ssl_check(&headers, &body) {
        return StatusCode::OK.into_response();
    }
    if !slack.signed(&headers, &body) {
        return unsigned();
    }
    slack.store(SlackKind::Command, &form(&body)).await
}

impl Slack {
    /// Whether Slack sent this; nothing is where there is no secret.
    fn signed(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let config = &self.config;
        let secrets = [&config.signing_secret, &config.previous_signing_secret];
        let now = u64::try_from(now_ms() / 1_000).unwrap_or_default();
        is_signed(headers, body, secrets.into_iter().flatten(), now)
    }

    async fn store(&self, kind: SlackKind, payload: &Value) -> Response {
        match self.take(kind, payload).await {
            Ok(()) => StatusCode::OK.into_response(),
            Err(error) => {
                error!(error = %format!("{error:#}"), "what Slack sent cannot be stored");
                StatusCode::SERVICE_UNAVAILABLE.into_response()
            }
        }
    }
}

fn unsigned() -> Response {
    metrics::counter!("anchorhold_slack_unsigned_total").increment(1);
    warn!(
        "a request to /slack is not signed by Slack, or is old; if it was Slack, compare SLACK_SIGNING_SECRET and the clock"
    );
    StatusCode::UNAUTHORIZED.into_response()
}

/// JSON, or else what came as it came: it is kept, and somebody will look at it.
fn read(body: &[u8]) -> Value {
    serde_json::from_slice(body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()))
}

/// Slack looks whether there is somebody, and says nothing else.
fn is_ssl_check(headers: &HeaderMap, body: &[u8]) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let is_form = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form"));
    is_form && form(body)["ssl_check"] == "1"
}

/// A form as an object of texts.
pub(super) fn form(body: &[u8]) -> Value {
    let pairs = form_urlencoded::parse(body);
    let fields = pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())));
    Value::Object(fields.collect::<Map<_, _>>())
}
