//! The host at a glance.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::views::ModelView;
use super::{Api, Caller, Problem};
use crate::config::{Candidate, Llm};
use crate::llm::ProviderState;
use crate::registry::CONTRACT;
use crate::runtime::CacheCounts;
use crate::store::Scope;

/// The host now.
#[derive(Serialize, ToSchema)]
struct Status {
    version: &'static str,
    /// The version of the contract that it speaks.
    contract: &'static str,
    uptime_ms: u64,
    /// Turns that run or wait.
    turns_in_progress: usize,
    /// What agents may ask for, as far as they are granted it.
    models: Vec<ModelView>,
    /// How providers of models did since the start.
    providers: Vec<ProviderState>,
    /// What is in memory and how it got there.
    cache: CacheCounts,
    /// Where everything is kept; only administrators see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_dir: Option<String>,
}

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(status))
}

/// The host at a glance.
#[utoipa::path(get, path = "/api/v1/status", tag = "host", responses((status = 200, body = Status)))]
async fn status(State(api): State<Api>, caller: Caller) -> Result<Json<Status>, Problem> {
    caller.require(Scope::Read)?;
    let data_dir = caller
        .may(Scope::Admin)
        .then(|| api.host.store.data_dir().display().to_string());
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        contract: CONTRACT,
        uptime_ms: u64::try_from(api.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        turns_in_progress: api.host.scheduler.load(),
        models: models(&api.host.config.llm),
        providers: api.host.services.gateway.providers(),
        cache: api.host.agents.counts(),
        data_dir,
    }))
}

fn models(llm: &Llm) -> Vec<ModelView> {
    let view = |(alias, target): (&String, &Candidate)| {
        Some(ModelView {
            alias: alias.clone(),
            provider: target.provider.clone(),
            kind: llm.providers.get(&target.provider)?.kind,
            model: target.model.clone(),
        })
    };
    let models = llm.models.iter();
    let candidates = models.flat_map(|(alias, target)| {
        let candidates = target.candidates.iter();
        candidates.map(move |candidate| (alias, candidate))
    });
    candidates.filter_map(view).collect()
}
