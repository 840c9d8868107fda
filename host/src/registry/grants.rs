//! Grants: what an agent may do is what its manifest wants and the operator
//! has granted.
//!
//! Both sides are lists of permits such as `llm`, `http:api.example.com` or
//! `events:note.*`; a call is allowed if one permit of each side covers it.
//! Nothing here knows what a capability does.

mod permit;

use anyhow::{Context, Result};

pub use permit::Permit;
pub(super) use permit::{check_host, check_name, check_tool};

use super::Manifest;

/// One thing that an agent is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant<'a> {
    /// A model, by the operator's alias.
    Llm(&'a str),
    Database,
    State,
    /// Publishing to a topic.
    Events(&'a str),
    /// A request to a host, without its port.
    Http(&'a str),
    /// Use of a secret by placeholder.
    Secret(&'a str),
    /// Saying something to another agent.
    Agents(&'a str),
    /// Calling a tool.
    Tool(&'a str),
}

/// What one agent may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    wanted: Vec<Permit>,
    granted: Vec<Permit>,
    /// The agent has grants of its own, so that `default_grants` are not looked at.
    own: bool,
}

/// Something wanted that is not granted, and how to grant it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Missing {
    pub grant: String,
    /// A sentence for the operator.
    pub hint: String,
}

impl<'a> Grant<'a> {
    /// The grant as the configuration has it, for example `http:api.example.com`.
    pub fn name(&self) -> String {
        match self.part() {
            Some(part) => format!("{}:{part}", self.capability()),
            None => self.capability().to_owned(),
        }
    }

    /// The capability, for example `http`.
    pub fn capability(&self) -> &'static str {
        match self {
            Grant::Llm(_) => "llm",
            Grant::Database => "database",
            Grant::State => "state",
            Grant::Events(_) => "events",
            Grant::Http(_) => "http",
            Grant::Secret(_) => "secret",
            Grant::Agents(_) => "agents",
            Grant::Tool(_) => "tools",
        }
    }

    fn part(&self) -> Option<&'a str> {
        match self {
            Grant::Llm(part)
            | Grant::Events(part)
            | Grant::Http(part)
            | Grant::Secret(part)
            | Grant::Agents(part)
            | Grant::Tool(part) => Some(part),
            Grant::Database | Grant::State => None,
        }
    }

    /// What the author adds to the manifest.
    fn wants_line(&self) -> String {
        match self {
            Grant::Llm(alias) => format!("llm = \"why\" and models = [\"{alias}\"]"),
            Grant::Database => "database = \"why\"".to_owned(),
            Grant::State => "state = \"why\"".to_owned(),
            Grant::Events(topic) => format!("events = \"why\" and topics = [\"{topic}\"]"),
            Grant::Http(host) => format!("http = \"why\" and hosts = [\"{host}\"]"),
            Grant::Secret(name) => format!("secrets = [\"{name}\"]"),
            Grant::Agents(name) => format!("agents = \"why\" and agent_names = [\"{name}\"]"),
            Grant::Tool(name) => format!("tools = \"why\" and tool_names = [\"{name}\"]"),
        }
    }
}

impl Grants {
    /// The grants of an agent with this manifest: `own` is what the operator
    /// granted to it, and `defaults` counts where that is none.
    ///
    /// # Errors
    ///
    /// If one of the strings is not a grant.
    pub fn new(manifest: &Manifest, own: Option<&[String]>, defaults: &[String]) -> Result<Self> {
        Ok(Self {
            wanted: wanted(manifest),
            granted: parse_grants(own.unwrap_or(defaults))?,
            own: own.is_some(),
        })
    }

    /// Whether the agent may do this.
    pub fn allows(&self, grant: Grant<'_>) -> bool {
        covers(&self.wanted, grant) && covers(&self.granted, grant)
    }

    /// Whether there may be a tool that the agent may call.
    pub fn allows_any_tool(&self) -> bool {
        let is_tool = |permit: &Permit| matches!(permit, Permit::Tools(_));
        self.wanted.iter().any(is_tool) && self.granted.iter().any(is_tool)
    }

    /// Why the agent may not do this, and who changes what to allow it.
    pub fn refusal(&self, agent: &str, grant: Grant<'_>) -> String {
        let name = grant.name();
        if covers(&self.wanted, grant) {
            return format!(
                "agent {agent} lacks the grant {name}: {}",
                self.hint(agent, &name)
            );
        }
        format!(
            "agent {agent} lacks the grant {name}: its manifest does not want it; its author adds {} below [wants]",
            grant.wants_line()
        )
    }

    /// What the manifest wants, by name.
    pub fn wanted(&self) -> Vec<String> {
        names(&self.wanted)
    }

    /// What the operator granted, wanted or not, by name.
    pub fn granted(&self) -> Vec<String> {
        names(&self.granted)
    }

    /// What is wanted and granted; where the operator grants less than is
    /// wanted, that less.
    pub fn effective(&self) -> Vec<String> {
        let whole = self.wanted.iter().filter(|want| self.is_granted(want));
        let narrowed = self.granted.iter().filter(|grant| {
            self.wanted
                .iter()
                .any(|want| want.covers(grant) && !self.is_granted(want))
        });
        let mut names: Vec<String> = whole.chain(narrowed).map(ToString::to_string).collect();
        names.sort();
        names.dedup();
        names
    }

    /// What is wanted and not, or only in part, granted.
    pub fn missing(&self, agent: &str) -> Vec<Missing> {
        self.wanted
            .iter()
            .filter(|want| !self.is_granted(want))
            .map(|want| Missing {
                grant: want.to_string(),
                hint: self.hint(agent, &want.to_string()),
            })
            .collect()
    }

    fn is_granted(&self, want: &Permit) -> bool {
        self.granted.iter().any(|grant| grant.covers(want))
    }

    fn hint(&self, agent: &str, name: &str) -> String {
        let command = format!("anchorhold agents grant {agent} {name}");
        if self.own {
            return format!("the operator has not granted it to this agent; run: {command}");
        }
        format!(
            "the operator has not granted it; add \"{name}\" to [registry] default_grants in anchorhold.toml, or run: {command}"
        )
    }
}

/// Reads a list of grants as the configuration has them.
///
/// # Errors
///
/// If one is not a grant; the message names it and says what there is.
pub fn parse_grants(grants: &[String]) -> Result<Vec<Permit>> {
    grants
        .iter()
        .map(|grant| {
            grant
                .parse()
                .with_context(|| format!("{grant:?} is not a grant"))
        })
        .collect()
}

fn covers(permits: &[Permit], grant: Grant<'_>) -> bool {
    permits.iter().any(|permit| permit.allows(grant))
}

fn names(permits: &[Permit]) -> Vec<String> {
    permits.iter().map(ToString::to_string).collect()
}

/// The permits that a manifest asks for. A list narrows its capability; without
/// one, `llm` is the model `default`, `events` any topic, `agents` any agent and
/// `tools` any tool.
fn wanted(manifest: &Manifest) -> Vec<Permit> {
    let wants = &manifest.wants;
    let mut permits: Vec<Permit> = manifest.models().into_iter().map(Permit::model).collect();
    permits.extend(wants.database.as_ref().map(|_| Permit::Database));
    permits.extend(wants.state.as_ref().map(|_| Permit::State));
    if wants.events.is_some() {
        match wants.topics.as_slice() {
            [] => permits.push(Permit::Events(None)),
            topics => permits.extend(topics.iter().cloned().map(Some).map(Permit::Events)),
        }
    }
    if wants.http.is_some() {
        permits.extend(wants.hosts.iter().map(|host| Permit::host(host)));
    }
    if wants.agents.is_some() {
        match wants.agent_names.as_slice() {
            [] => permits.push(Permit::Agents(None)),
            names => permits.extend(names.iter().cloned().map(Some).map(Permit::Agents)),
        }
    }
    if wants.tools.is_some() {
        match wants.tool_names.as_slice() {
            [] => permits.push(Permit::Tools(None)),
            names => permits.extend(names.iter().map(|name| Permit::tool(name))),
        }
    }
    permits.extend(wants.secrets.iter().cloned().map(Some).map(Permit::Secret));
    permits
}

#[cfg(test)]
mod tests;
