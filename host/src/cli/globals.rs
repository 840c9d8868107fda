//! What every command knows: the options before it, the environment, the
//! configuration.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::config::{Config, Environment};

/// The file in the data folder that holds the token for commands on the same
/// machine.
pub(super) const CLI_TOKEN_FILE: &str = "cli.token";

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Globals {
    /// The configuration; without it `anchorhold.toml` in this folder, if it is there
    #[arg(long, global = true, value_name = "FILE", env = "ANCHORHOLD_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Where the host answers; without it the host of the configuration
    #[arg(long, global = true, value_name = "URL", env = "ANCHORHOLD_URL")]
    pub(super) url: Option<String>,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// The options and a copy of the environment.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) globals: Globals,
    pub(super) environment: Environment,
}

impl Setting {
    pub(super) fn new(globals: Globals, environment: Environment) -> Self {
        Self {
            globals,
            environment,
        }
    }

    /// Reads the configuration.
    pub(super) fn config(&self) -> Result<Config> {
        Config::load(self.globals.config.as_deref(), &self.environment)
    }
}
