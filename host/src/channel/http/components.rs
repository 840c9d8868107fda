//! Components: WebAssembly that agents are made of, by digest.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Path, Query};
use super::page::{Items, Page};
use super::{Api, Caller, Code, Problem, body};
use crate::registry::{InstallError, Misfit};
use crate::store::{ComponentRow, Scope};

const WASM: &str = "application/wasm";

/// A component that was checked, compiled and kept.
#[derive(Debug, Serialize, ToSchema)]
struct ComponentView {
    /// SHA-256, hex.
    digest: String,
    size_bytes: i64,
    /// The version of the contract that it was built for.
    contract: String,
    /// What the host calls: `chat`, `subscriber`, `web`, `guardrail`.
    exports: Vec<String>,
    /// What it says of itself and wants.
    #[schema(value_type = Object)]
    manifest: Value,
    created_at: i64,
}

impl From<ComponentRow> for ComponentView {
    fn from(row: ComponentRow) -> Self {
        Self {
            digest: row.digest,
            size_bytes: row.size_bytes,
            contract: row.contract,
            exports: row.exports.split_whitespace().map(str::to_owned).collect(),
            manifest: serde_json::from_str(&row.manifest).unwrap_or_default(),
            created_at: row.created_at,
        }
    }
}

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(upload))
        .routes(routes!(list))
        .routes(routes!(show))
}

/// Checks, compiles and keeps a component. The same one twice is the same.
#[utoipa::path(post, path = "/api/v1/components", tag = "components",
    request_body(content = Vec<u8>, content_type = "application/wasm"),
    responses((status = 201, body = ComponentView)))]
async fn upload(
    State(api): State<Api>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::Write)?;
    check_content_type(request.headers())?;
    let max_bytes = api.host.config.registry.max_component_bytes;
    let limit = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    let too_large = Misfit::TooLarge { max_bytes }.to_string();
    let bytes = body::read(request, limit, &too_large).await?;
    let registry = &api.host.registry;
    let installed = registry.install_component(&caller.tenant, bytes).await?;
    let view = view(&api, &caller, &installed.digest).await?;
    let location = format!("/api/v1/components/{}", view.digest);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(view)).into_response())
}

/// Components by digest.
#[utoipa::path(get, path = "/api/v1/components", tag = "components", params(Page),
    responses((status = 200, body = Items<ComponentView>)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(page): Query<Page>,
) -> Result<Json<Items<ComponentView>>, Problem> {
    caller.require(Scope::Read)?;
    let (after, limit) = (page.after_name(), page.limit());
    let rows = api
        .host
        .store
        .components(&caller.tenant, after, limit)
        .await?;
    let views = rows.into_iter().map(ComponentView::from).collect();
    Ok(Json(Items::page(views, limit, |view: &ComponentView| {
        view.digest.clone()
    })))
}

/// One component.
#[utoipa::path(get, path = "/api/v1/components/{digest}", tag = "components",
    params(("digest" = String, Path)), responses((status = 200, body = ComponentView)))]
async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(digest): Path<String>,
) -> Result<Json<ComponentView>, Problem> {
    caller.require(Scope::Read)?;
    view(&api, &caller, &digest).await.map(Json)
}

async fn view(api: &Api, caller: &Caller, digest: &str) -> Result<ComponentView, Problem> {
    let row = api.host.store.component(&caller.tenant, digest).await?;
    row.map(ComponentView::from)
        .ok_or_else(|| Problem::new(Code::NotFound, format!("there is no component {digest:?}")))
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get(CONTENT_TYPE).is_some_and(|value| value == WASM) {
        return Ok(());
    }
    Err(Problem::with_status(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::InvalidRequest,
        format!("send the bytes of a component, with content-type: {WASM}"),
    ))
}

impl From<InstallError> for Problem {
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::Misfit(misfit @ Misfit::TooLarge { .. }) => {
                Self::new(Code::TooLarge, misfit.to_string())
            }
            InstallError::Misfit(misfit) => Self::new(Code::InvalidComponent, misfit.to_string()),
            InstallError::Compile(cause) => {
                tracing::warn!(cause, "an uploaded component cannot be compiled");
                Self::new(
                    Code::InvalidComponent,
                    "the component cannot be compiled; build it again with current tools",
                )
            }
            InstallError::Internal(cause) => cause.into(),
        }
    }
}
