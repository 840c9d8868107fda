//! `tools`: what agents may call beyond the host. The tools are those of
//! `crate::tools`, and other agents; each call is looked up, approved if it must
//! be, and made, and each of these steps is a call of the window, so that a turn
//! that is run again takes the same way whatever its servers say by then.

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use wasmtime::component::HasData;

use super::agents::Agents;
use super::error;
use super::llm::Generations;
use super::reply::{ask_person, question_to};
use crate::registry::{Grant, Grants};
use crate::runtime::bindings::tools::{Outcome, Tool};
use crate::runtime::bindings::{agents, http, reply, tools, types};
use crate::runtime::{HostState, ResolvedAgent, Services};
use crate::tools::{AGENT, FETCH, Found, cut, failed, text};
use crate::turn::{Call, Commit, Expects, Window};

/// The longest arguments, in bytes.
const MAX_ARGUMENTS: usize = 256 << 10;

/// What a person sees of arguments, in bytes.
const SHOWN_ARGUMENTS: usize = 4_000;

/// The most text of a page that `fetch` answers, in bytes.
const MAX_PAGE: usize = 256 << 10;

/// Agents that are looked at for a list of tools.
const MAX_AGENTS: u32 = 500;

/// All definitions of one list, in bytes: it must fit into one call.
const MAX_LIST: usize = 4 << 20;

pub(super) struct Tools<'a> {
    window: &'a mut Window,
    generations: &'a Generations,
    services: &'a Arc<Services>,
    /// Calls of this turn so far.
    calls: &'a mut u64,
}

pub(super) struct HasTools;

impl HasData for HasTools {
    type Data<'a> = Tools<'a>;
}

impl<'a> Tools<'a> {
    pub(super) fn of(state: &'a mut HostState) -> Self {
        Self {
            window: &mut state.window,
            generations: &state.generations,
            services: &state.services,
            calls: &mut state.tool_calls,
        }
    }

    /// Counts a call.
    fn count(&mut self) -> Result<(), types::Error> {
        let limit = self.window.agent().limits.tool_calls;
        if *self.calls >= limit {
            let message =
                format!("a turn calls tools at most {limit} times; see [limits] tool_calls");
            return Err(error(types::ErrorKind::LimitExceeded, message));
        }
        *self.calls += 1;
        Ok(())
    }

    async fn find(
        &mut self,
        name: &str,
        arguments: &str,
    ) -> wasmtime::Result<Result<Found, types::Error>> {
        let agent = Arc::clone(self.window.agent());
        let call = Call {
            kind: "tools.find",
            grant: Some(Grant::Tool(name)),
            args: &(name, arguments),
        };
        let services = Arc::clone(self.services);
        let effect = async move {
            if arguments.len() > MAX_ARGUMENTS {
                let message = format!("arguments are at most {MAX_ARGUMENTS} bytes");
                return Err(error(types::ErrorKind::InvalidInput, message));
            }
            match name.strip_prefix(AGENT) {
                Some(other) => find_agent(&agent, other, arguments),
                None => services.tools.find(name, arguments).await,
            }
        };
        Ok(self.window.perform(call, Commit::Later, effect).await?)
    }

    /// Asks the person who spoke whether it may be called.
    async fn approve(
        &mut self,
        name: &str,
        arguments: &str,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        let agent = &self.window.agent().name;
        let mut shown = arguments.to_owned();
        cut(&mut shown, SHOWN_ARGUMENTS);
        let asked = format!(
            "May {agent} call the tool `{name}` with these arguments?\n\n```json\n{shown}\n```"
        );
        let user = self.window.identity().user.as_deref();
        let question = question_to(user, asked, Expects::Approval)
            .ok_or_else(|| "nobody spoke who could approve it".to_owned());
        let call = Call {
            kind: "tools.approve",
            grant: None,
            args: &(name, arguments),
        };
        let may_suspend = self.generations.is_empty();
        let asked = ask_person(self.window, self.services, may_suspend, call, question).await?;
        Ok(match asked {
            Ok(reply::Outcome::Answered(_)) => Ok(()),
            Ok(reply::Outcome::Refused(answer)) => Err(refused(name, &answer)),
            Ok(reply::Outcome::Expired) => Err(error(
                types::ErrorKind::Denied,
                format!("nobody approved the call of {name} in time"),
            )),
            Err(why) => Err(error(
                types::ErrorKind::Denied,
                format!("{name} needs approval: {}", why.message),
            )),
        })
    }

    async fn perform(
        &mut self,
        name: &str,
        arguments: &str,
        commit: Commit<'static>,
    ) -> wasmtime::Result<Result<Outcome, types::Error>> {
        if matches!(commit, Commit::Synced | Commit::Once) {
            self.services.sync_before(self.window).await?;
        }
        let call = Call {
            kind: "tools.call",
            grant: Some(Grant::Tool(name)),
            args: &(name, arguments),
        };
        let agent = Arc::clone(self.window.agent());
        let services = Arc::clone(self.services);
        let effect = async move {
            let started = Instant::now();
            let answer = match name {
                FETCH => fetch(&services, &agent, arguments).await,
                _ => services.tools.call(name, arguments).await,
            };
            note(name, started, &answer);
            answer
        };
        Ok(self.window.perform(call, commit, effect).await?)
    }

    async fn ask_agent(
        &mut self,
        other: &str,
        arguments: &str,
    ) -> wasmtime::Result<Result<Outcome, types::Error>> {
        let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
        let said = arguments["text"].as_str().unwrap_or_default().to_owned();
        let mut agents = Agents {
            window: self.window,
            generations: self.generations,
            services: self.services,
        };
        let answer = agents::Host::ask(&mut agents, other.to_owned(), said).await?;
        Ok(answer.map(|reply| text(reply.text)))
    }
}

impl tools::Host for Tools<'_> {
    async fn list_tools(&mut self) -> wasmtime::Result<Result<Vec<Tool>, types::Error>> {
        let agent = Arc::clone(self.window.agent());
        let tenant = self.window.identity().tenant.clone();
        let services = Arc::clone(self.services);
        let call = Call {
            kind: "tools.list-tools",
            grant: None,
            args: &(),
        };
        let effect = async move {
            // Nobody is asked for what is not granted.
            if !agent.grants.allows_any_tool() {
                return Ok(Vec::new());
            }
            let mut all = services.tools.list().await;
            all.extend(agents_as_tools(&services, &tenant, &agent).await?);
            Ok(granted(all, &agent.grants))
        };
        Ok(self.window.perform(call, Commit::Later, effect).await?)
    }

    async fn call(
        &mut self,
        name: String,
        arguments: String,
    ) -> wasmtime::Result<Result<Outcome, types::Error>> {
        if let Err(refusal) = self.count() {
            return Ok(Err(refusal));
        }
        let found = match self.find(&name, &arguments).await? {
            Ok(found) => found,
            Err(why) => return Ok(Err(why)),
        };
        if let Some(misfit) = found.misfit {
            return Ok(Ok(failed(misfit)));
        }
        if found.needs_approval
            && let Err(refusal) = self.approve(&name, &arguments).await?
        {
            return Ok(Err(refusal));
        }
        match name.strip_prefix(AGENT) {
            Some(other) => self.ask_agent(other, &arguments).await,
            None => self.perform(&name, &arguments, found.commit).await,
        }
    }
}

fn refused(name: &str, answer: &reply::Answer) -> types::Error {
    let why = match answer.text.trim() {
        "" => String::new(),
        text => format!(": {text}"),
    };
    error(
        types::ErrorKind::Denied,
        format!("the call of {name} was refused by {}{why}", answer.by.id),
    )
}

/// Counts a call for the metrics.
fn note(name: &str, started: Instant, answer: &Result<Outcome, types::Error>) {
    let outcome = match answer {
        Ok(outcome) if outcome.is_error => "failed",
        Ok(_) => "answered",
        Err(_) => "error",
    };
    let tool = name.to_owned();
    metrics::counter!("anchorhold_tool_calls_total", "tool" => tool.clone(), "outcome" => outcome)
        .increment(1);
    metrics::histogram!("anchorhold_tool_seconds", "tool" => tool)
        .record(started.elapsed().as_secs_f64());
}

/// What an agent takes as a tool.
fn agent_schema() -> Value {
    serde_json::json!({
        "type": "object",
        "properties": {"text": {"type": "string", "description": "What to say to it"}},
        "required": ["text"],
        "additionalProperties": false
    })
}

fn find_agent(agent: &ResolvedAgent, other: &str, arguments: &str) -> Result<Found, types::Error> {
    agent
        .check(Some(Grant::Agents(other)))
        .map_err(|refusal| error(types::ErrorKind::Denied, refusal))?;
    let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
    let fits =
        arguments["text"].is_string() && arguments.as_object().is_some_and(|it| it.len() == 1);
    Ok(Found {
        commit: Commit::Intent,
        needs_approval: false,
        misfit: (!fits).then(|| "An agent takes {\"text\": \"…\"}.".to_owned()),
    })
}

/// The agents that this one may talk to, as tools.
async fn agents_as_tools(
    services: &Services,
    tenant: &str,
    agent: &ResolvedAgent,
) -> Result<Vec<Tool>, types::Error> {
    let rows = services.store.agents(tenant, "", MAX_AGENTS).await;
    let rows = rows.map_err(|_| error(types::ErrorKind::Internal, "agents cannot be listed"))?;
    let others = rows.into_iter().filter(|row| {
        row.status == "enabled"
            && row.name != agent.name
            && agent.grants.allows(Grant::Agents(&row.name))
    });
    let tool = |row: crate::store::AgentRow| Tool {
        definition: types::ToolDefinition {
            name: format!("{AGENT}{}", row.name),
            description: (!row.description.is_empty()).then_some(row.description),
            input_schema_json: agent_schema().to_string(),
            strict: false,
        },
        source: "agent".to_owned(),
        read_only: false,
        destructive: false,
        needs_approval: false,
    };
    Ok(others.map(tool).collect())
}

/// What is granted of these, by name, as much as fits into a call.
fn granted(mut tools: Vec<Tool>, grants: &Grants) -> Vec<Tool> {
    tools.retain(|tool| grants.allows(Grant::Tool(&tool.definition.name)));
    tools.sort_by(|a, b| a.definition.name.cmp(&b.definition.name));
    let mut room = MAX_LIST;
    tools.retain(|tool| {
        let definition = &tool.definition;
        let size = definition.input_schema_json.len()
            + definition.description.as_ref().map_or(0, String::len)
            + 200;
        room.checked_sub(size).map(|left| room = left).is_some()
    });
    tools
}

/// A page of the web, by the grants of the agent for its host.
async fn fetch(
    services: &Services,
    agent: &ResolvedAgent,
    arguments: &str,
) -> Result<Outcome, types::Error> {
    let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
    let url = arguments["url"].as_str().unwrap_or_default();
    let request = http::Request {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: None,
        timeout_ms: None,
    };
    let host_allowed = |host: &str| agent.check(Some(Grant::Http(host)));
    // A model wrote the address: no secret is filled in.
    let no_secret = |_: &str| Err("a page is fetched without secrets".to_owned());
    let limits = &agent.limits.http;
    let response = services
        .outbound
        .send(request, limits, &host_allowed, &no_secret);
    let response = match response.await {
        Ok(response) => response,
        Err(why) if why.kind == types::ErrorKind::Denied => return Err(why),
        Err(why) => return Ok(failed(format!("{url} cannot be fetched: {}", why.message))),
    };
    Ok(page(response))
}

fn page(response: http::Response) -> Outcome {
    let mut body = String::from_utf8_lossy(&response.body).into_owned();
    let truncated = cut(&mut body, MAX_PAGE);
    let mut outcome = match response.status {
        200..=299 => text(body),
        status => failed(format!("{} answered {status}.\n{body}", response.url)),
    };
    outcome.truncated = truncated;
    outcome
}
