//! Agents as rmcp sees them: a list of tools, and calls of them.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use axum::http::request::Parts;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CustomRequest, CustomResult, ErrorCode,
    Implementation, JsonObject, ListToolsResult, PaginatedRequestParams, ProtocolVersion,
    ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value, json};

use super::super::{Api, Caller, Problem};
use super::call::Call;
use crate::store::AnsweringAgent;

/// Tools on one page.
const PAGE: u32 = 100;

/// The longest cursor that is looked at, in bytes.
const MAX_CURSOR_BYTES: usize = 200;

const VERSIONS: [ProtocolVersion; 4] = [
    ProtocolVersion::V_2025_03_26,
    ProtocolVersion::V_2025_06_18,
    ProtocolVersion::V_2025_11_25,
    ProtocolVersion::V_2026_07_28,
];

/// What every tool takes.
static INPUT: LazyLock<Arc<JsonObject>> = LazyLock::new(|| {
    object(json!({
        "type": "object",
        "properties": {
            "text": {"type": "string", "minLength": 1, "description": "What to say to the agent."},
            "conversation": {"type": "string", "minLength": 1, "maxLength": 200,
                "description": "Continues a conversation: the value that an earlier answer gave. A new one begins without it."},
        },
        "required": ["text"],
        "additionalProperties": false,
    }))
});

/// What every tool answers.
static OUTPUT: LazyLock<Arc<JsonObject>> = LazyLock::new(|| {
    object(json!({
        "type": "object",
        "properties": {
            "text": {"type": "string", "description": "The answer, or why there is none."},
            "turn": {"type": "string", "description": "The turn that answered."},
            "conversation": {"type": "string", "description": "Continues this conversation."},
        },
    }))
});

/// The agents of this host.
#[derive(Clone)]
pub(super) struct Agents {
    pub(super) api: Api,
}

impl ServerHandler for Agents {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("anchorhold", env!("CARGO_PKG_VERSION")))
            .with_instructions("Each tool is an agent: say something to it, and it answers.")
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(&VERSIONS)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let caller = caller(&context)?;
        let after = request
            .and_then(|request| request.cursor)
            .unwrap_or_default();
        if after.len() > MAX_CURSOR_BYTES {
            return Err(ErrorData::invalid_params("there is no such cursor", None));
        }
        let store = &self.api.host.store;
        let listed = store.answering_agents(&caller.tenant, &after, PAGE + 1);
        let mut agents = listed.await.map_err(|error| internal(&error))?;
        let is_all = agents.len() <= PAGE as usize;
        agents.truncate(PAGE as usize);
        let mut page = ListToolsResult::with_all_items(agents.iter().map(tool).collect());
        page.next_cursor = agents.pop().filter(|_| !is_all).map(|last| last.name);
        Ok(page)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let call = Call {
            api: &self.api,
            caller: caller(&context)?.clone(),
            headers: parts(&context)?.headers.clone(),
            agent: request.name.into_owned(),
        };
        let arguments = request.arguments.unwrap_or_default();
        Ok(call.answer(arguments, &context).await?.into())
    }

    /// Methods that are not known. A call whose parameters cannot be read comes
    /// here as well; its method is there all the same.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        if request.method == "tools/call" {
            let message = "params: name is a text, arguments and inputResponses are objects";
            return Err(ErrorData::invalid_params(message, None));
        }
        let code = ErrorCode::METHOD_NOT_FOUND;
        Err(ErrorData::new(code, request.method, None))
    }
}

/// Who sent the request; the gate has put it there.
fn caller(context: &RequestContext<RoleServer>) -> Result<&Caller, ErrorData> {
    let caller = parts(context)?.extensions.get::<Caller>();
    caller.ok_or_else(|| ErrorData::invalid_request("send a token", None))
}

fn parts(context: &RequestContext<RoleServer>) -> Result<&Parts, ErrorData> {
    let parts = context.extensions.get::<Parts>();
    parts.ok_or_else(|| ErrorData::invalid_request("send a request", None))
}

fn tool(agent: &AnsweringAgent) -> Tool {
    let description = match agent.description.as_str() {
        "" => "Answers messages.".to_owned(),
        description => description.to_owned(),
    };
    // An agent may do whatever it is granted.
    let hints = ToolAnnotations::new()
        .read_only(false)
        .destructive(true)
        .idempotent(false)
        .open_world(true);
    Tool::new(agent.name.clone(), description, Arc::clone(&INPUT))
        .with_raw_output_schema(Arc::clone(&OUTPUT))
        .with_annotations(hints)
}

/// A fault of the host: the cause is logged and not shown.
pub(super) fn internal(cause: &anyhow::Error) -> ErrorData {
    let problem = Problem::internal(format!("{cause:#}"));
    ErrorData::internal_error(problem.detail().to_owned(), None)
}

fn object(value: Value) -> Arc<JsonObject> {
    match value {
        Value::Object(object) => Arc::new(object),
        _ => Arc::default(),
    }
}
