//! The tools there are, and the servers that they come from.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::views::{ToolView, ToolsView};
use super::{Api, Caller, Problem};
use crate::runtime::bindings::tools::Tool;
use crate::store::Scope;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list))
}

/// All tools but agents, and how their servers do. Servers that nobody needed yet
/// are connected for it.
#[utoipa::path(get, path = "/api/v1/tools", tag = "tools",
    responses((status = 200, body = ToolsView)))]
async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<ToolsView>, Problem> {
    caller.require(Scope::Read)?;
    let tools = &api.host.services.tools;
    let items = tools.list().await.into_iter().map(ToolView::from).collect();
    Ok(Json(ToolsView {
        items,
        next: None,
        servers: tools.servers(),
    }))
}

impl From<Tool> for ToolView {
    fn from(tool: Tool) -> Self {
        let schema = &tool.definition.input_schema_json;
        Self {
            name: tool.definition.name,
            description: tool.definition.description,
            source: tool.source,
            read_only: tool.read_only,
            destructive: tool.destructive,
            needs_approval: tool.needs_approval,
            input_schema: serde_json::from_str(schema).unwrap_or_default(),
        }
    }
}
