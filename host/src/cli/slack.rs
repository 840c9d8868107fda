//! `anchorhold slack`: what helps with agents in Slack.

mod simulate;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::globals::Setting;

/// Slack: try agents on a fake one
#[derive(Debug, Args)]
pub(super) struct Slack {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Simulate(simulate::Simulate),
}

impl Slack {
    pub(super) async fn run(self, _: &Setting) -> Result<()> {
        match self.command {
            Command::Simulate(command) => command.run().await,
        }
    }
}
