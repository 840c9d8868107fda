//! Tools that agents may call: of MCP servers, and the host's own. It finds,
//! checks and calls them, and hands back what they answer, cut to size. It knows
//! no guests and no grants.

mod builtin;
mod calculator;
mod connection;
mod expansion;
mod output;
mod schema;
mod server;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

pub use builtin::FETCH;
pub use output::{cut, failed, text};
pub use server::ServerView;

use crate::config;
use crate::runtime::bindings::tools::{Outcome, Tool};
use crate::runtime::bindings::types::{Error, ErrorKind};
use crate::turn::Commit;
use server::Server;

/// What tools that are agents begin with.
pub const AGENT: &str = "agent/";

/// All tools but those that are agents.
pub struct Tools {
    servers: BTreeMap<String, Arc<Server>>,
}

/// A tool that was asked for, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// What is stored before it is called.
    pub commit: Commit<'static>,
    pub needs_approval: bool,
    /// Why these arguments do not fit it.
    pub misfit: Option<String>,
}

impl Tools {
    /// The tools of these servers, whose sockets and pipes live on `io`. None is
    /// connected before it is needed.
    ///
    /// # Errors
    ///
    /// If there can be no HTTP client.
    pub fn new(config: &config::Tools, io: &Handle) -> Result<Self> {
        let mut servers = BTreeMap::new();
        for (name, server) in &config.servers {
            let environment = config.environment.clone();
            let server = Server::new(name, server.clone(), environment, io.clone())?;
            servers.insert(name.clone(), Arc::new(server));
        }
        Ok(Self { servers })
    }

    /// All tools there are, by name. Servers are asked at the same time; one that
    /// cannot be reached has none.
    pub async fn list(&self) -> Vec<Tool> {
        let lists = self.servers.values().map(|server| server.tools());
        let lists = futures_util::future::join_all(lists).await;
        let of_servers = lists.into_iter().flatten();
        let mut tools = builtin::definitions();
        for list in of_servers {
            tools.extend(list.iter().map(|listed| listed.tool.clone()));
        }
        tools.sort_by(|a, b| a.definition.name.cmp(&b.definition.name));
        tools
    }

    /// The servers and how they do.
    pub fn servers(&self) -> Vec<ServerView> {
        self.servers.values().map(|server| server.view()).collect()
    }

    /// Looks a tool up and checks arguments against its schema.
    ///
    /// # Errors
    ///
    /// If there is no such tool, or its server cannot be reached.
    pub async fn find(&self, name: &str, arguments: &str) -> Result<Found, Error> {
        let Some((server, tool)) = self.of_server(name)? else {
            return builtin::find(name, arguments);
        };
        let tools = server.tools().await?;
        let listed = tools.iter().find(|listed| listed.name == tool);
        let listed = listed.ok_or_else(|| {
            let message = format!("the server {} has no tool {tool:?}", server.name());
            new_error(ErrorKind::NotFound, message)
        })?;
        Ok(Found {
            commit: listed.commit,
            needs_approval: listed.tool.needs_approval,
            misfit: listed.schema.misfit(arguments),
        })
    }

    /// Calls a tool of a server, or a built-in one that needs no grant besides.
    ///
    /// # Errors
    ///
    /// If there is no such tool, or no answer of it.
    pub async fn call(&self, name: &str, arguments: &str) -> Result<Outcome, Error> {
        match self.of_server(name)? {
            Some((server, tool)) => server.call(tool, arguments).await,
            None => builtin::call(name, arguments),
        }
    }

    fn of_server<'a>(&self, name: &'a str) -> Result<Option<(&Arc<Server>, &'a str)>, Error> {
        let Some((server, tool)) = name.split_once('/') else {
            return Ok(None);
        };
        let found = self.servers.get(server).ok_or_else(|| {
            let message = format!(
                "there is no tool server {server:?}; the operator names it in [tools.servers.{server}]"
            );
            new_error(ErrorKind::NotFound, message)
        })?;
        Ok(Some((found, tool)))
    }
}

/// An error of a tool that has no answer.
fn new_error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error {
        kind,
        message: message.into(),
        retryable: matches!(kind, ErrorKind::Unavailable | ErrorKind::TimedOut),
        retry_after_ms: None,
        detail_json: None,
    }
}
