//! What the operator sets: `anchorhold.toml`, overlaid with the environment.
//!
//! Read once, at start; nothing reads the environment later. Every section is a
//! file below, unknown keys are errors, and everything has a default, so that
//! the host starts with no configuration at all.

mod environment;
mod events;
mod guardrails;
mod limits;
mod llm;
mod outbox;
mod registry;
mod retention;
mod secrets;
mod server;
mod slack;
mod storage;
mod telemetry;
mod tools;
mod turns;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

pub use environment::Environment;
pub use events::Events;
pub use guardrails::{Action, Detector, Guardrail, On};
pub use limits::{DatabaseLimits, HttpLimits, Limits, LimitsPatch};
pub use llm::{Alias, Candidate, Llm, LlmCache, Provider, ProviderKind};
pub use outbox::Outbox;
pub use registry::Registry;
pub use retention::Retention;
pub use secrets::Secret;
pub use server::Server;
pub use slack::{Slack, SlackAccess};
pub use storage::Storage;
pub use telemetry::Telemetry;
pub use tools::{ToolServer, Tools};
pub use turns::Turns;

/// The whole configuration.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub storage: Storage,
    pub retention: Retention,
    pub registry: Registry,
    pub limits: Limits,
    pub turns: Turns,
    pub llm: Llm,
    pub events: Events,
    pub outbox: Outbox,
    pub telemetry: Telemetry,
    pub tools: Tools,
    pub slack: Slack,
    /// What is looked for in what is said to models and by them, in order.
    pub guardrails: Vec<Guardrail>,
    /// Values that agents use by placeholder, by name.
    pub secrets: std::collections::BTreeMap<String, Secret>,
}

impl Config {
    /// Reads `path` (or `anchorhold.toml` in the current folder, if it is
    /// there) and overlays `environment`.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is not TOML, or has an unknown key or a
    /// value of the wrong kind; the message names the place.
    pub fn load(path: Option<&Path>, environment: &Environment) -> Result<Self> {
        let mut table = read_table(path)?;
        environment.overlay(&mut table);
        let mut config: Config =
            Config::deserialize(table).context("the configuration is not valid")?;
        environment.apply_well_known(&mut config);
        config.check()?;
        config.llm.complete();
        config.llm.check()?;
        config.tools.check()?;
        config.slack.check()?;
        Ok(config)
    }
}

impl Config {
    /// Settings that cannot be together.
    fn check(&self) -> Result<()> {
        let (memory, most) = (self.limits.memory_bytes, self.turns.max_memory_bytes);
        if memory > most {
            bail!(
                "[limits] memory_bytes is {memory}, but [turns] max_memory_bytes is {most}; raise that as well"
            );
        }
        guardrails::check(&self.guardrails)
    }
}

fn read_table(path: Option<&Path>) -> Result<toml::Table> {
    let given = path.is_some();
    let path = path.map_or_else(|| PathBuf::from("anchorhold.toml"), Path::to_path_buf);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if !given && error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
    };
    // Checked on its own first, because errors then carry line numbers.
    toml::from_str::<Config>(&text).with_context(|| format!("{} is not valid", path.display()))?;
    Ok(toml::from_str(&text)?)
}

#[cfg(test)]
mod tests;
