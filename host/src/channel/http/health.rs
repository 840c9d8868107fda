//! What keeps a host alive and watched: health and metrics.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, Code, Problem};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(live))
        .routes(routes!(ready))
        .routes(routes!(metrics))
}

/// Alive as long as it answers.
#[utoipa::path(get, path = "/health/live", tag = "host", security(()), responses((status = 200, body = String)))]
async fn live() -> &'static str {
    "alive\n"
}

/// Ready when the store takes writes and the host is not stopping.
#[utoipa::path(get, path = "/health/ready", tag = "host", security(()), responses((status = 200, body = String)))]
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

/// Counts and durations as Prometheus reads them.
#[utoipa::path(get, path = "/metrics", tag = "host", security(()), responses((status = 200, body = String)))]
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
