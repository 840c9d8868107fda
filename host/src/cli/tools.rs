//! `anchorhold tools`: what agents may be granted to call.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::globals::Setting;
use super::output::{self, Table};
use super::wire::read;
use crate::channel::http::views::{ToolView, ToolsView};
use crate::format::short;

/// Tools and the servers that they come from: list
#[derive(Debug, Args)]
pub(super) struct Tools {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List all tools but agents, and how their servers do
    List,
}

impl Tools {
    pub(super) async fn run(self, setting: &Setting) -> Result<()> {
        let (client, json) = (setting.client()?, setting.globals.json);
        match self.command {
            Command::List => list(&client.get(&["tools"], &[]).await?, json),
        }
    }
}

fn list(tools: &Value, json: bool) -> Result<()> {
    if json {
        return output::json(tools);
    }
    let tools: ToolsView = read(tools)?;
    let mut table = Table::new(["TOOL", "EFFECT", "APPROVAL", "DESCRIPTION"]);
    for tool in tools.items {
        table.row([
            tool.name.clone(),
            effect(&tool).to_owned(),
            if tool.needs_approval { "asked for" } else { "" }.to_owned(),
            short(&tool.description.unwrap_or_default(), 70),
        ]);
    }
    table.print("There are no tools.");
    for server in tools.servers {
        let count = server
            .tools
            .map_or_else(String::new, |count| format!(", {count} tools"));
        let error = server
            .error
            .map_or_else(String::new, |error| format!(": {error}"));
        eprintln!("Server {}: {}{count}{error}", server.name, server.state);
    }
    Ok(())
}

fn effect(tool: &ToolView) -> &'static str {
    match (tool.read_only, tool.destructive) {
        (true, _) => "reads",
        (false, true) => "may destroy",
        (false, false) => "adds",
    }
}
