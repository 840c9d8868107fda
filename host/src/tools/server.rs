//! One MCP server: connected when it is first needed, and again when it is gone,
//! with a pause that grows; its list kept as long as it holds; its health shown.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use rmcp::service::ServiceError;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::connection::{Connection, List, Listed};
use super::{failed, new_error, output};
use crate::config::ToolServer;
use crate::net;
use crate::runtime::bindings::tools::Outcome;
use crate::runtime::bindings::types::{Error, ErrorKind};

/// The first pause before a server is tried again; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A pause that callers wait for instead of being refused.
const SHORT_PAUSE: Duration = Duration::from_secs(1);

/// What servers answer to those whose session they do not know.
const NO_SESSION: i32 = -32_000;

/// Calls in a row that get no answer before the connection is given up.
const MOST_SILENT: u32 = 3;

pub(super) struct Server {
    name: String,
    config: ToolServer,
    environment: Vec<(String, String)>,
    client: reqwest::Client,
    io: Handle,
    /// Held while it is being connected, so that it is connected once.
    link: tokio::sync::Mutex<Link>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Link {
    connection: Option<Arc<Connection>>,
    list: Option<List>,
    failures: u32,
    retry_at: Option<Instant>,
}

#[derive(Default, Clone)]
struct Seen {
    is_connected: bool,
    error: Option<String>,
    tools: Option<usize>,
    left_out: usize,
    silent: u32,
}

/// A server as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ServerView {
    pub name: String,
    /// `stdio` or `http`.
    pub transport: String,
    /// `idle` (nobody needed it yet), `connected` or `failed`.
    pub state: String,
    /// What went wrong last.
    pub error: Option<String>,
    /// How many tools it has, once that was asked.
    pub tools: Option<usize>,
    /// Tools that are not taken; the log says why.
    pub left_out: usize,
}

impl Server {
    pub(super) fn new(
        name: &str,
        config: ToolServer,
        environment: Vec<(String, String)>,
        io: Handle,
    ) -> Result<Self> {
        let client = net::provider_client(Duration::from_millis(config.timeout_ms))?;
        Ok(Self {
            name: name.to_owned(),
            config,
            environment,
            client,
            io,
            link: tokio::sync::Mutex::default(),
            seen: Mutex::default(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn view(&self) -> ServerView {
        let seen = self.seen().clone();
        let state = match (seen.is_connected, &seen.error) {
            (true, _) => "connected",
            (false, Some(_)) => "failed",
            (false, None) => "idle",
        };
        ServerView {
            name: self.name.clone(),
            transport: if self.config.url.is_some() {
                "http"
            } else {
                "stdio"
            }
            .to_owned(),
            state: state.to_owned(),
            error: seen.error,
            tools: seen.tools,
            left_out: seen.left_out,
        }
    }

    /// Its tools.
    pub(super) async fn tools(self: &Arc<Self>) -> Result<Arc<Vec<Listed>>, Error> {
        let server = Arc::clone(self);
        self.on_io(async move { server.listed().await }).await
    }

    /// Calls one of them.
    pub(super) async fn call(
        self: &Arc<Self>,
        tool: &str,
        arguments: &str,
    ) -> Result<Outcome, Error> {
        let arguments = serde_json::from_str(arguments).unwrap_or_default();
        let (server, tool) = (Arc::clone(self), tool.to_owned());
        self.on_io(async move {
            let connection = server.connection(&mut *server.link.lock().await).await?;
            let answer = timeout(server.patience(), connection.call(&tool, arguments)).await;
            match answer {
                Ok(answer) => {
                    if let Err(error) = &answer
                        && server.has_lost(error)
                    {
                        let mut link = server.link.lock().await;
                        server.failed(&mut link, &error.to_string());
                    }
                    server.answered(answer)
                }
                Err(_) => Err(server.silent().await),
            }
        })
        .await
    }

    /// Runs on the threads that serve sockets; ends when the caller goes away.
    async fn on_io<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let stopped = |_| new_error(ErrorKind::Cancelled, "the host stopped the call");
        AbortOnDropHandle::new(self.io.spawn(work))
            .await
            .map_err(stopped)?
    }

    async fn listed(&self) -> Result<Arc<Vec<Listed>>, Error> {
        let mut link = self.link.lock().await;
        let connection = self.connection(&mut link).await?;
        if let Some(list) = &link.list
            && connection.is_good(list)
        {
            return Ok(Arc::clone(&list.tools));
        }
        let asked = timeout(self.patience(), connection.list(&self.name, &self.config)).await;
        let list = match asked {
            Ok(Ok(list)) => list,
            Ok(Err(error)) => return Err(self.failed(&mut link, &format!("{error:#}"))),
            Err(_) => return Err(self.failed(&mut link, "it does not say which tools it has")),
        };
        let tools = Arc::clone(&list.tools);
        {
            let mut seen = self.seen();
            seen.tools = Some(tools.len());
            seen.left_out = list.left_out;
        }
        link.list = Some(list);
        link.failures = 0;
        Ok(tools)
    }

    /// The connection, made if there is none.
    async fn connection(&self, link: &mut Link) -> Result<Arc<Connection>, Error> {
        if let Some(connection) = &link.connection {
            if !connection.is_closed() {
                return Ok(Arc::clone(connection));
            }
            self.failed(link, "its connection ended");
        }
        self.pause(link).await?;
        let opened = Connection::open(
            &self.name,
            &self.config,
            &self.environment,
            self.client.clone(),
        );
        match timeout(self.patience(), opened).await {
            Ok(Ok(connection)) => {
                info!(server = self.name, "a tool server is connected");
                let connection = Arc::new(connection);
                link.connection = Some(Arc::clone(&connection));
                let mut seen = self.seen();
                (seen.is_connected, seen.error, seen.silent) = (true, None, 0);
                Ok(connection)
            }
            Ok(Err(error)) => Err(self.failed(link, &format!("{error:#}"))),
            Err(_) => Err(self.failed(link, "it does not answer")),
        }
    }

    /// Waits out a short pause after a failure and refuses during a long one.
    async fn pause(&self, link: &Link) -> Result<(), Error> {
        let pause = link
            .retry_at
            .map(|at| at.saturating_duration_since(Instant::now()))
            .unwrap_or_default();
        if pause > SHORT_PAUSE {
            let why = self.seen().error.clone().unwrap_or_default();
            let mut error = self.unavailable(&why);
            error.retry_after_ms = u64::try_from(pause.as_millis()).ok();
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Notes that there is no connection any more, and when there may be one.
    fn failed(&self, link: &mut Link, why: &str) -> Error {
        warn!(server = self.name, "a tool server failed: {why}");
        let pause = FIRST_PAUSE.saturating_mul(1 << link.failures.min(10));
        link.failures = link.failures.saturating_add(1);
        link.retry_at = Some(Instant::now() + pause.min(LONGEST_PAUSE));
        (link.connection, link.list) = (None, None);
        let mut seen = self.seen();
        (seen.is_connected, seen.error) = (false, Some(why.to_owned()));
        self.unavailable(why)
    }

    /// Whether this means that there is no connection any more. A server that was
    /// started again does not know its sessions, and says so in its own words.
    fn has_lost(&self, error: &ServiceError) -> bool {
        match error {
            ServiceError::TransportSend(_) | ServiceError::TransportClosed => true,
            ServiceError::McpError(error) => {
                self.config.url.is_some() && error.code.0 == NO_SESSION
            }
            _ => false,
        }
    }

    fn answered(
        &self,
        answer: Result<rmcp::model::CallToolResult, ServiceError>,
    ) -> Result<Outcome, Error> {
        self.seen().silent = 0;
        match answer {
            Ok(result) => Ok(output::of_server(result, self.config.max_output_bytes)),
            // The model may do better.
            Err(ServiceError::McpError(error)) => {
                let mut why = format!("The server answered with an error: {}", error.message);
                super::cut(&mut why, self.config.max_output_bytes);
                Ok(failed(why))
            }
            Err(error) => Err(self.broken_off(&error.to_string())),
        }
    }

    /// No answer in time; several in a row, and the server is taken for hung.
    async fn silent(&self) -> Error {
        let silent = {
            let mut seen = self.seen();
            seen.silent += 1;
            seen.silent
        };
        if silent >= MOST_SILENT {
            let mut link = self.link.lock().await;
            self.failed(&mut link, "it does not answer calls");
        }
        let message = format!(
            "the tool server {} did not answer within {} ms, see [tools.servers.{}] timeout_ms",
            self.name, self.config.timeout_ms, self.name
        );
        Error {
            retryable: false,
            ..new_error(ErrorKind::TimedOut, message)
        }
    }

    fn broken_off(&self, why: &str) -> Error {
        let message = format!(
            "the tool server {} broke the call off, so nobody knows whether it happened: {why}",
            self.name
        );
        Error {
            retryable: false,
            ..new_error(ErrorKind::Unavailable, message)
        }
    }

    fn unavailable(&self, why: &str) -> Error {
        let message = format!("the tool server {} cannot be used now: {why}", self.name);
        new_error(ErrorKind::Unavailable, message)
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.config.timeout_ms)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
