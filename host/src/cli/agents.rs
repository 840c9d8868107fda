//! `anchorhold agents`: which agents there are, what each may do, and the
//! operator's settings.

mod settings;
mod show;
pub(super) mod upload;

use std::collections::BTreeMap;

use anyhow::Result;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::fault::{Exit, Fault};
use super::globals::Setting;
use super::output::{self, Table};
use super::wire::{items, number, text, texts};
use crate::clock::now_ms;
use crate::format::{ago, short};
use settings::{parse_limit, parse_pair};

/// Agents: list, settings, grants, versions
#[derive(Debug, Args)]
pub(super) struct Agents {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List agents, and files that cannot be used, with the reason
    List,
    /// Show an agent with all that is set and granted
    Show { name: String },
    /// Make an agent, or change the settings of one
    Add(Add),
    /// Grant something: llm, database, http:api.example.com, events:note.*
    Grant {
        name: String,
        #[arg(required = true)]
        grant: Vec<String>,
    },
    /// Take a grant away
    Revoke {
        name: String,
        #[arg(required = true)]
        grant: Vec<String>,
    },
    /// Point a label at a version; `production` answers
    Label {
        name: String,
        label: String,
        version: i64,
    },
    /// Remove an agent
    Remove { name: String },
}

#[derive(Debug, Args)]
struct Add {
    name: String,
    /// A component's file, which is uploaded, or the digest of one that is there
    #[arg(long, value_name = "FILE|DIGEST")]
    component: Option<String>,
    /// A value of its configuration, JSON or text
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair)]
    set: Vec<(String, Value)>,
    /// A grant; instead of [registry] default_grants
    #[arg(long)]
    grant: Vec<String>,
    /// A limit, such as fuel=1000000000
    #[arg(long, value_name = "LIMIT=NUMBER", value_parser = parse_limit)]
    limit: Vec<(String, u64)>,
}

impl Agents {
    pub(super) async fn run(self, setting: &Setting) -> Result<()> {
        let (client, json) = (setting.client()?, setting.globals.json);
        match self.command {
            Command::List => list(&client, json).await,
            Command::Show { name } => {
                let agent = client.get(&["agents", &name], &[]).await?;
                show::print(&agent, json)
            }
            Command::Add(add) => add.run(&client, json).await,
            Command::Grant { name, grant } => {
                change_grants(&client, &name, json, |grants| {
                    settings::union(grants, grant)
                })
                .await
            }
            Command::Revoke { name, grant } => {
                change_grants(&client, &name, json, |grants| {
                    settings::without(grants, &grant)
                })
                .await
            }
            Command::Label {
                name,
                label,
                version,
            } => {
                let labels = BTreeMap::from([(label, version)]);
                put(&client, &name, &json!({ "labels": labels }), json).await
            }
            Command::Remove { name } => {
                client
                    .call::<Value>(Method::DELETE, &["agents", &name], None)
                    .await?;
                eprintln!("Removed {name}.");
                Ok(())
            }
        }
    }
}

impl Add {
    async fn run(self, client: &Client, json: bool) -> Result<()> {
        let mut body = Map::new();
        if let Some(component) = &self.component {
            body.insert(
                "component".into(),
                upload::digest_of(client, component).await?.into(),
            );
        }
        if !self.set.is_empty() {
            body.insert(
                "config".into(),
                self.set.into_iter().collect::<Map<_, _>>().into(),
            );
        }
        if !self.grant.is_empty() {
            body.insert("grants".into(), self.grant.into());
        }
        if !self.limit.is_empty() {
            let limits = self
                .limit
                .into_iter()
                .map(|(name, limit)| (name, limit.into()));
            body.insert("limits".into(), limits.collect::<Map<_, _>>().into());
        }
        if body.is_empty() {
            let fault = Fault::new(Exit::Usage, "nothing to set");
            return Err(fault
                .hint("name a --component, --set, --grant or --limit")
                .into());
        }
        put(client, &self.name, &body.into(), json).await
    }
}

async fn put(client: &Client, name: &str, body: &Value, json: bool) -> Result<()> {
    let agent = client
        .call(Method::PUT, &["agents", name], Some(body))
        .await?;
    show::print(&agent, json)
}

/// Changes what the operator grants; what the manifest wants stays.
async fn change_grants(
    client: &Client,
    name: &str,
    json: bool,
    change: impl FnOnce(Vec<String>) -> Vec<String>,
) -> Result<()> {
    let agent: Value = client.get(&["agents", name], &[]).await?;
    let grants = change(texts(&agent, "granted"));
    put(client, name, &json!({ "grants": grants }), json).await
}

async fn list(client: &Client, json: bool) -> Result<()> {
    let mut agents = client.all(&["agents"]).await?;
    let files: Value = client.get(&["plugin-files"], &[]).await?;
    if json {
        if let (Some(agents), Some(files)) = (agents.as_object_mut(), files.get("items")) {
            agents.insert("unusable_files".into(), files.clone());
        }
        return output::json(&agents);
    }
    let mut table = Table::new([
        "NAME",
        "STATUS",
        "VERSION",
        "SOURCE",
        "CHANGED",
        "DESCRIPTION",
    ]);
    for agent in items(&agents) {
        table.row([
            text(agent, "name"),
            text(agent, "status"),
            text(agent, "version"),
            text(agent, "source"),
            ago(number(agent, "updated_at"), now_ms()),
            short(&text(agent, "description"), 60),
        ]);
    }
    table
        .print("No agents yet. Put a component into the plugins folder, or: anchorhold agents add");
    for reason in reasons(items(&agents), items(&files)) {
        output::line(output::plain(&reason));
    }
    Ok(())
}

/// What is wrong, and with what. A file whose agent is listed is not named
/// twice.
fn reasons(agents: &[Value], files: &[Value]) -> Vec<String> {
    let said: Vec<String> = agents.iter().map(|agent| text(agent, "reason")).collect();
    let agents = agents
        .iter()
        .map(|agent| (text(agent, "name"), text(agent, "reason")));
    let files = files
        .iter()
        .map(|file| (text(file, "file"), text(file, "reason")))
        .filter(|(_, reason)| !said.contains(reason));
    let all = agents.filter(|(_, reason)| !reason.is_empty()).chain(files);
    all.map(|(name, reason)| format!("{name}: {reason}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_file_is_named_once() {
        let agents = [
            json!({"name": "a", "reason": null}),
            json!({"name": "b", "reason": "cut short"}),
        ];
        let files = [
            json!({"file": "b.wasm", "reason": "cut short"}),
            json!({"file": "B!.wasm", "reason": "no name for an agent"}),
        ];
        assert_eq!(
            reasons(&agents, &files),
            ["b: cut short", "B!.wasm: no name for an agent"]
        );
    }
}
