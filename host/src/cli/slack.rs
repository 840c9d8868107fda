//! `anchorhold slack`: what helps with agents in Slack.

mod doctor;
mod setup;
mod simulate;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::globals::Setting;

/// Slack: make an app, check it, try agents on a fake one
#[derive(Debug, Args)]
pub(super) struct Slack {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Setup(setup::Setup),
    Doctor(doctor::Doctor),
    Simulate(simulate::Simulate),
}

impl Slack {
    pub(super) async fn run(self, setting: &Setting) -> Result<()> {
        match self.command {
            Command::Setup(command) => command.run(),
            Command::Doctor(command) => command.run(setting).await,
            Command::Simulate(command) => command.run().await,
        }
    }
}
