//! The command line: `serve` runs a host, everything else is a client of a
//! host's API.
//!
//! One file per subcommand. Results go to standard output, by `output` only;
//! what is said besides goes to standard error.

mod agents;
mod budgets;
mod chat;
mod client;
mod deliveries;
mod doctor;
mod events;
mod fault;
mod globals;
mod logging;
mod models;
mod output;
mod serve;
mod slack;
mod sse;
mod token;
mod tools;
mod turns;
mod usage;
mod wire;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

pub use fault::report;

use crate::config::Environment;
use globals::{Globals, Setting};

/// Hosts AI agents as sandboxed WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "anchorhold", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Chat(chat::Chat),
    Agents(agents::Agents),
    Turns(turns::Turns),
    Events(events::Events),
    Deliveries(deliveries::Deliveries),
    Usage(usage::Usage),
    Budgets(budgets::Budgets),
    Tools(tools::Tools),
    Slack(slack::Slack),
    Token(token::Token),
    Doctor(doctor::Doctor),
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    ///
    /// Whatever kept the command from doing what it was asked.
    pub fn run(self) -> Result<()> {
        let setting = Setting::new(self.globals, Environment::of_process());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("cannot start the threads of this program")?;
        let result = runtime.block_on(self.command.run(&setting));
        // A thread may still wait for a line from the terminal.
        runtime.shutdown_background();
        result
    }
}

impl Command {
    async fn run(self, setting: &Setting) -> Result<()> {
        match self {
            Self::Serve(command) => command.run(setting).await,
            Self::Chat(command) => command.run(setting).await,
            Self::Agents(command) => command.run(setting).await,
            Self::Turns(command) => command.run(setting).await,
            Self::Events(command) => command.run(setting).await,
            Self::Deliveries(command) => command.run(setting).await,
            Self::Usage(command) => command.run(setting).await,
            Self::Budgets(command) => command.run(setting).await,
            Self::Tools(command) => command.run(setting).await,
            Self::Slack(command) => command.run(setting).await,
            Self::Token(command) => command.run(setting).await,
            Self::Doctor(command) => command.run(setting).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_is_understood() {
        for line in [
            "serve --listen 127.0.0.1:0 --log-format json",
            "chat notes -m hello --conversation c --user u --json",
            "agents list",
            "agents add a --config f.toml --component a.wasm --set k=v --grant llm --limit fuel=1",
            "agents revoke a llm http:example.com",
            "agents label a production 2",
            "turns list --agent a --status failed --limit 5",
            "--url http://h:1 turns explain t",
            "turns replay t --component a.wasm --agent-config a.toml --live-models --max-cost-usd 0.50",
            "turns replay --agent a --status failed --since 7d --until 1h --limit 1000 --version 2",
            "events publish note.added {} --key k",
            "events list --topic note.added",
            "events tail --topic note.* --after 0",
            "events replay --agent a --since 24h --topic note.**",
            "events replay --agent a --from e",
            "events schedules list",
            "events schedules set s a.b {} --cron @daily --zone Europe/Berlin",
            "events schedules set s a.b {} --at 2026-01-31T12:00:00Z",
            "events schedules remove s --agent a",
            "usage --since 24h --by user,day --csv",
            "budgets list",
            "budgets set agent:notes --window day --cost-usd 0.50 --tokens 1000 --requests 10",
            "budgets remove all --window hour",
            "tools list --json",
            "slack simulate --listen 127.0.0.1:0 --host-url http://h:1 --socket --bot-token xoxb-1",
            "token create --name n --scope chat,read --scope write",
            "doctor --json",
        ] {
            let words = std::iter::once("anchorhold").chain(line.split(' '));
            Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
