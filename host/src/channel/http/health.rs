//! What keeps a host alive and watched: health and metrics.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{Api, Code, Problem};

pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/health/live", get(async || "alive\n"))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
}

/// Ready when the store takes writes and the host is not stopping.
async fn ready(State(api): State<Api>) -> Result<&'static str, Problem> {
    let not_ready =
        |why: &str| Problem::with_status(StatusCode::SERVICE_UNAVAILABLE, Code::Busy, why);
    if api.host.stopping().is_cancelled() {
        return Err(not_ready("the host is stopping"));
    }
    if let Err(error) = api.host.store.check().await {
        tracing::warn!(error = %format!("{error:#}"), "not ready: the store does not take writes");
        return Err(not_ready("the store does not take writes"));
    }
    Ok("ready\n")
}

async fn metrics(State(api): State<Api>) -> Response {
    let counts = api.host.agents.counts();
    metrics::gauge!("anchorhold_resolved_agents").set(counts.resolved_agents as f64);
    metrics::gauge!("anchorhold_loaded_components").set(counts.loaded_components as f64);
    metrics::gauge!("anchorhold_loaded_bytes").set(counts.loaded_bytes as f64);
    metrics::gauge!("anchorhold_turns_in_progress").set(api.host.scheduler.load() as f64);
    let text = api
        .host
        .metrics
        .as_ref()
        .map(metrics_exporter_prometheus::PrometheusHandle::render)
        .unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
