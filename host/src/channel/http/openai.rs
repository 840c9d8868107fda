//! OpenAI's API, as far as clients use it to talk: `/v1/models`,
//! `/v1/chat/completions`, `/v1/responses`. A model is an agent.
//!
//! Everything goes through inbox, window and budgets like any other message.
//! What a request says that is not known here is left alone, as clients of this
//! API expect.

mod chat;
mod error;
mod exchange;
mod input;
mod live;
mod responses;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::extract::Path;
use super::{Api, Caller, Problem};
use crate::store::Scope;
use error::ApiError;

/// The status of agents that answer.
const ENABLED: &str = "enabled";

/// The most agents that are listed.
const MAX_MODELS: u32 = 500;

pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/v1/models", get(models))
        .route("/v1/models/{model}", get(model))
        .route("/v1/chat/completions", post(chat::complete))
        .route("/v1/responses", post(responses::respond))
        .route("/v1/responses/{response}", get(responses::show))
}

/// Who calls; refused in OpenAI's shape.
fn chatting(caller: Result<Caller, Problem>) -> Result<Caller, ApiError> {
    let caller = caller?;
    caller.require(Scope::Chat)?;
    Ok(caller)
}

async fn models(
    State(api): State<Api>,
    caller: Result<Caller, Problem>,
) -> Result<Response, ApiError> {
    let caller = chatting(caller)?;
    let store = &api.host.store;
    let agents = store.answering_agents(&caller.tenant, "", MAX_MODELS);
    let agents = agents.await?;
    let data: Vec<Value> = agents
        .iter()
        .map(|agent| view(&agent.name, agent.updated_at))
        .collect();
    Ok(Json(json!({"object": "list", "data": data})).into_response())
}

async fn model(
    State(api): State<Api>,
    caller: Result<Caller, Problem>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let caller = chatting(caller)?;
    let agent = api.host.store.agent(&caller.tenant, &name).await?;
    let agent = agent
        .filter(|agent| agent.status == ENABLED)
        .ok_or_else(|| ApiError::no_model(&name))?;
    Ok(Json(view(&agent.name, agent.updated_at)).into_response())
}

fn view(agent: &str, updated_at_ms: i64) -> Value {
    json!({
        "id": agent, "object": "model", "created": updated_at_ms / 1_000, "owned_by": "anchorhold",
    })
}
