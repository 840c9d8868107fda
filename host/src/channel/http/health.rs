//! What keeps a host alive and watched: health and metrics.

use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, Code, Problem};
use crate::store::{BudgetRow, DEFAULT_TENANT};

/// How long the store may take for a write until it counts as down: shorter
/// than who asks for the health waits.
const PATIENCE: Duration = Duration::from_secs(2);

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
    match tokio::time::timeout(PATIENCE, api.host.store.check()).await {
        Ok(Ok(())) => Ok("ready\n"),
        Ok(Err(error)) => {
            let error = format!("{error:#}");
            tracing::warn!(error, "not ready: the store does not take writes");
            Err(not_ready(why_no_writes(&error)))
        }
        Err(_) => {
            tracing::warn!("not ready: the store has taken no write for a while");
            Err(not_ready(
                "the store does not take writes: it waits for the disk, or for another process that holds the database",
            ))
        }
    }
}

/// What may be told to anybody of why the store fails.
fn why_no_writes(error: &str) -> &'static str {
    let has = |words: &str| error.contains(words);
    if has("is full") || has("No space left") {
        "the store does not take writes: the disk is full"
    } else if has("is locked") {
        "the store does not take writes: another process holds the database"
    } else {
        "the store does not take writes"
    }
}

/// Counts and durations as Prometheus reads them.
#[utoipa::path(get, path = "/metrics", tag = "host", security(()), responses((status = 200, body = String)))]
async fn metrics(State(api): State<Api>) -> Response {
    let counts = api.host.agents.counts();
    metrics::gauge!("anchorhold_resolved_agents").set(counts.resolved_agents as f64);
    metrics::gauge!("anchorhold_loaded_components").set(counts.loaded_components as f64);
    metrics::gauge!("anchorhold_loaded_bytes").set(counts.loaded_bytes as f64);
    metrics::gauge!("anchorhold_turns_in_progress").set(api.host.scheduler.load() as f64);
    // What people and conversations have is not for whoever may read this.
    match api.host.store.shared_budgets(DEFAULT_TENANT).await {
        Ok(budgets) => budgets.iter().for_each(show_budget),
        Err(error) => tracing::warn!(error = %format!("{error:#}"), "budgets cannot be read"),
    }
    let text = api
        .host
        .metrics
        .as_ref()
        .map(metrics_exporter_prometheus::PrometheusHandle::render)
        .unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// What is left of a budget.
fn show_budget(row: &BudgetRow) {
    let left = |what: &'static str, limit: Option<i64>, used: i64| {
        if let Some(limit) = limit {
            let (scope, window) = (row.scope.clone(), row.span.name());
            let gauge = metrics::gauge!("anchorhold_budget_left", "scope" => scope, "window" => window, "what" => what);
            gauge.set(limit.saturating_sub(used).max(0) as f64);
        }
    };
    left("requests", row.max_requests, row.requests);
    left("tokens", row.max_tokens, row.tokens + row.reserved_tokens);
    left(
        "cost_micro_usd",
        row.max_cost_micro_usd,
        row.cost_micro_usd + row.reserved_cost_micro_usd,
    );
}
