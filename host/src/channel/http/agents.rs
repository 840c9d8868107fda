//! Agents: which there are, what each may do, and the operator's settings.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Path, Query, Unread};
use super::page::{Items, Page};
use super::{Api, Caller, Code, Problem};
use crate::registry::{AgentDetail, AgentSettings, AgentSummary, SettingsError, UnusableFile};
use crate::store::{Scope, VersionRow};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(put))
        .routes(routes!(remove))
        .routes(routes!(versions))
        .routes(routes!(unusable_files))
}

/// Agents by name.
#[utoipa::path(get, path = "/api/v1/agents", tag = "agents", params(Page),
    responses((status = 200, body = Items<AgentSummary>)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(page): Query<Page>,
) -> Result<Json<Items<AgentSummary>>, Problem> {
    caller.require(Scope::Read)?;
    let (after, limit) = (page.after_name(), page.limit());
    let agents = api.host.registry.list(&caller.tenant, after, limit).await?;
    Ok(Json(Items::page(agents, limit, |agent| agent.name.clone())))
}

/// One agent with all that is set and granted, and what it lacks.
#[utoipa::path(get, path = "/api/v1/agents/{agent}", tag = "agents", params(("agent" = String, Path)),
    responses((status = 200, body = AgentDetail)))]
async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(agent): Path<String>,
) -> Result<Json<AgentDetail>, Problem> {
    caller.require(Scope::Read)?;
    let detail = api.host.registry.get(&caller.tenant, &agent).await?;
    detail.map(Json).ok_or_else(|| no_such_agent(&agent))
}

/// Makes an agent, or changes what is named. A change makes a new version,
/// which answers from then on.
#[utoipa::path(put, path = "/api/v1/agents/{agent}", tag = "agents", params(("agent" = String, Path)),
    request_body = AgentSettings, responses((status = 200, body = AgentDetail)))]
async fn put(
    State(api): State<Api>,
    caller: Caller,
    Path(agent): Path<String>,
    body: Unread,
) -> Result<Json<AgentDetail>, Problem> {
    caller.require(Scope::Write)?;
    let settings: AgentSettings = body.json().await?;
    let registry = &api.host.registry;
    let detail = registry.put_agent(&caller.tenant, &agent, settings).await?;
    Ok(Json(detail))
}

/// Removes an agent; turns that run end on their version. An agent whose file
/// is in the plugins folder goes with that file.
#[utoipa::path(delete, path = "/api/v1/agents/{agent}", tag = "agents", params(("agent" = String, Path)),
    responses((status = 204, description = "Removed")))]
async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path(agent): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Write)?;
    match api
        .host
        .registry
        .remove_agent(&caller.tenant, &agent)
        .await?
    {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(no_such_agent(&agent)),
    }
}

/// The versions of an agent, newest first.
#[utoipa::path(get, path = "/api/v1/agents/{agent}/versions", tag = "agents",
    params(("agent" = String, Path), Page), responses((status = 200, body = Items<VersionRow>)))]
async fn versions(
    State(api): State<Api>,
    caller: Caller,
    Path(agent): Path<String>,
    Query(page): Query<Page>,
) -> Result<Json<Items<VersionRow>>, Problem> {
    caller.require(Scope::Read)?;
    let (store, limit) = (&api.host.store, page.limit());
    if store.agent(&caller.tenant, &agent).await?.is_none() {
        return Err(no_such_agent(&agent));
    }
    let before = page.before_position()?;
    let versions = store
        .agent_versions_before(&caller.tenant, &agent, before, limit)
        .await?;
    Ok(Json(Items::page(versions, limit, |row| {
        row.version.to_string()
    })))
}

/// Files of the plugins folder that cannot be used, and why.
#[utoipa::path(get, path = "/api/v1/plugin-files", tag = "agents",
    responses((status = 200, body = Items<UnusableFile>)))]
async fn unusable_files(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<Items<UnusableFile>>, Problem> {
    caller.require(Scope::Read)?;
    let files = api.host.registry.unusable_files(&caller.tenant).await?;
    Ok(Json(Items::all(files)))
}

fn no_such_agent(agent: &str) -> Problem {
    Problem::new(
        Code::NotFound,
        format!("there is no agent {agent:?}; see: anchorhold agents list"),
    )
}

impl From<SettingsError> for Problem {
    fn from(error: SettingsError) -> Self {
        let code = match error {
            SettingsError::UnknownAgent(_)
            | SettingsError::UnknownComponent(_)
            | SettingsError::UnknownVersion { .. } => Code::NotFound,
            SettingsError::Invalid(_) => Code::InvalidRequest,
            SettingsError::Conflict(_) => Code::Conflict,
            SettingsError::Internal(cause) => return cause.into(),
        };
        Self::new(code, error.to_string())
    }
}
