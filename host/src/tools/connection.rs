//! One connection to an MCP server: how it is made, and what it says it has.
//! Both lifecycles of the protocol are spoken, whichever the server knows.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use axum::http::{HeaderName, HeaderValue};
use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientCapabilities, Implementation,
    InitializeRequestParams, JsonObject, PaginatedRequestParams, ProtocolVersion,
};
use rmcp::service::{NotificationContext, RunningService, ServiceError};
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::streamable_http_client::{
    StreamableHttpClientTransport, StreamableHttpClientTransportConfig,
};
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt, RoleClient};
use secrecy::ExposeSecret;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, Command};
use tracing::{debug, warn};

use super::schema::Schema;
use crate::config::ToolServer;
use crate::runtime::bindings::tools::Tool;
use crate::runtime::bindings::types::ToolDefinition;
use crate::turn::Commit;

/// The longest message of a server, in bytes.
const MAX_MESSAGE: usize = 16 << 20;

/// Tools of one server; more are left out.
const MAX_TOOLS: usize = 1_000;

/// Pages of one list of tools.
const MAX_PAGES: usize = 100;

/// Bytes of all definitions of one server together; more are left out.
const MAX_DEFINITIONS: usize = 1 << 20;

/// The longest name of a tool and the longest description, in bytes.
const MAX_NAME: usize = 128;
const MAX_DESCRIPTION: usize = 4_096;

/// A tool of a server.
#[derive(Debug)]
pub(super) struct Listed {
    /// As the server calls it.
    pub(super) name: String,
    pub(super) tool: Tool,
    pub(super) commit: Commit<'static>,
    pub(super) schema: Schema,
}

/// Tools, and until when that is known.
pub(super) struct List {
    pub(super) tools: Arc<Vec<Listed>>,
    pub(super) left_out: usize,
    until: Instant,
}

/// A connection that was made.
pub(super) struct Connection {
    service: RunningService<RoleClient, Handler>,
    changed: Arc<AtomicBool>,
    /// Killed with the connection.
    _child: Option<Child>,
}

/// What servers are told of this client, and what they tell it.
struct Handler {
    changed: Arc<AtomicBool>,
}

impl ClientHandler for Handler {
    fn get_info(&self) -> InitializeRequestParams {
        let client = Implementation::new("anchorhold", env!("CARGO_PKG_VERSION"));
        InitializeRequestParams::new(ClientCapabilities::default(), client)
            .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.store(true, Ordering::Release);
    }
}

impl Connection {
    pub(super) async fn open(
        name: &str,
        config: &ToolServer,
        environment: &[(String, String)],
        client: reqwest::Client,
    ) -> Result<Self> {
        let changed = Arc::new(AtomicBool::new(false));
        let handler = Handler {
            changed: Arc::clone(&changed),
        };
        let lifecycle = ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::LATEST],
            legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
        };
        let (service, child) = if let Some(url) = &config.url {
            let transport = StreamableHttpClientTransport::with_client(client, to(url, config)?);
            (
                handler.serve_with_lifecycle(transport, lifecycle).await,
                None,
            )
        } else {
            let (transport, child) = start(name, config, environment)?;
            let service = handler.serve_with_lifecycle(transport, lifecycle).await;
            (service, Some(child))
        };
        Ok(Self {
            service: service.context("the server does not speak MCP")?,
            changed,
            _child: child,
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.service.is_closed() || self.service.is_transport_closed()
    }

    /// Whether a list of this connection still holds.
    pub(super) fn is_good(&self, list: &List) -> bool {
        !self.changed.load(Ordering::Acquire) && Instant::now() < list.until
    }

    /// Asks for the tools. What cannot be a tool here is left out.
    pub(super) async fn list(&self, server: &str, config: &ToolServer) -> Result<List> {
        self.changed.store(false, Ordering::Release);
        let (mut tools, mut left_out, mut room) = (Vec::new(), 0, MAX_DEFINITIONS);
        let mut ttl = config.list_ttl_ms;
        let mut cursor = None;
        for _ in 0..MAX_PAGES {
            let page = PaginatedRequestParams::default().with_cursor(cursor);
            let page = self.service.list_tools(Some(page)).await?;
            ttl = page.ttl_ms.unwrap_or(ttl);
            for tool in page.tools {
                match listed(server, config, tool, &mut room) {
                    Ok(tool) if tools.len() < MAX_TOOLS => tools.push(tool),
                    Ok(_) => left_out += 1,
                    Err(why) => {
                        left_out += 1;
                        // A server may have any number of them.
                        if left_out <= 10 {
                            warn!(server, "a tool is left out: {why}");
                        }
                    }
                }
            }
            cursor = page.next_cursor;
            if cursor.is_none() || tools.len() >= MAX_TOOLS {
                break;
            }
        }
        if left_out > 0 || cursor.is_some() {
            warn!(server, left_out, "not all tools of this server are taken");
        }
        Ok(List {
            tools: Arc::new(tools),
            left_out,
            until: Instant::now() + Duration::from_millis(ttl.min(86_400_000)),
        })
    }

    pub(super) async fn call(
        &self,
        tool: &str,
        arguments: JsonObject,
    ) -> Result<CallToolResult, ServiceError> {
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        self.service.call_tool(params).await
    }
}

fn to(url: &str, config: &ToolServer) -> Result<StreamableHttpClientTransportConfig> {
    let mut headers = HashMap::new();
    for (name, value) in &config.headers {
        let parsed: Result<HeaderName, _> = name.parse();
        let name = parsed.with_context(|| format!("{name:?} is no name of a header"))?;
        let mut value = HeaderValue::from_str(value.expose_secret())
            .with_context(|| format!("the value of the header {name} is malformed"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let mut to = StreamableHttpClientTransportConfig::with_uri(url)
        .custom_headers(headers)
        .max_sse_event_size(MAX_MESSAGE)
        .max_json_response_size(MAX_MESSAGE);
    if let Some(bearer) = &config.bearer {
        to = to.auth_header(bearer.expose_secret());
    }
    Ok(to)
}

type Pipes = AsyncRwTransport<RoleClient, tokio::process::ChildStdout, tokio::process::ChildStdin>;

/// Starts the program of a server. It gets its own environment and nothing of
/// the host's but what every program needs.
fn start(
    name: &str,
    config: &ToolServer,
    environment: &[(String, String)],
) -> Result<(Pipes, Child)> {
    let Some(program) = &config.command else {
        bail!("it has no command");
    };
    let own = config.env.iter();
    let mut child = Command::new(program)
        .args(&config.args)
        .env_clear()
        .envs(environment.iter().cloned())
        .envs(own.map(|(name, value)| (name, value.expose_secret())))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    let (Some(output), Some(input)) = (child.stdout.take(), child.stdin.take()) else {
        bail!("the program has no standard input and output");
    };
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(log(name.to_owned(), stderr));
    }
    let pipes = AsyncRwTransport::new(output, input).with_max_line_length(MAX_MESSAGE);
    Ok((pipes, child))
}

/// Logs what a server writes to its standard error, so that it never blocks.
async fn log(server: String, mut stderr: ChildStderr) {
    let mut buffer = [0; 4_096];
    while let Ok(bytes @ 1..) = stderr.read(&mut buffer).await {
        let text = String::from_utf8_lossy(&buffer[..bytes]);
        debug!(server, "{}", text.trim_end());
    }
}

fn listed(
    server: &str,
    config: &ToolServer,
    tool: rmcp::model::Tool,
    room: &mut usize,
) -> Result<Listed, String> {
    let name = tool.name.to_string();
    let plain = |c: char| c.is_ascii_graphic() && c != '*';
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
        return Err("its name is not 1 to 128 visible ASCII characters".to_owned());
    }
    let of_tool = |why: String| format!("{name}: {why}");
    let schema = serde_json::Value::Object((*tool.input_schema).clone());
    let schema = Schema::new(&schema).map_err(of_tool)?;
    let mut description = tool.description.unwrap_or_default().into_owned();
    super::cut(&mut description, MAX_DESCRIPTION);
    let size = name.len() + description.len() + schema.text.len();
    *room = room.checked_sub(size).ok_or_else(|| {
        of_tool(format!(
            "all definitions together are over {MAX_DEFINITIONS} bytes"
        ))
    })?;
    let hints = tool.annotations.unwrap_or_default();
    let read_only = hints.read_only_hint == Some(true) || config.read_only.contains(&name);
    let destructive = !read_only && hints.is_destructive();
    let commit = match (read_only, hints.is_idempotent()) {
        (true, _) => Commit::Intent,
        (false, true) => Commit::Synced,
        (false, false) => Commit::Once,
    };
    let tool = Tool {
        definition: ToolDefinition {
            name: format!("{server}/{name}"),
            description: (!description.is_empty()).then_some(description),
            input_schema_json: schema.text.clone(),
            strict: false,
        },
        source: server.to_owned(),
        read_only,
        destructive,
        needs_approval: config.needs_approval(&name, destructive),
    };
    Ok(Listed {
        name,
        tool,
        commit,
        schema,
    })
}
