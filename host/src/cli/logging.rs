//! Where log lines go: standard error, for people on a terminal and as JSON
//! otherwise.

use std::io::IsTerminal;

use anyhow::{Context, Result};
use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::config::Environment;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// One line of text each
    Text,
    /// One JSON object each
    Json,
}

/// Starts logging. `default` is the filter when `ANCHORHOLD_LOG` is not set.
pub(super) fn init(
    format: Option<LogFormat>,
    environment: &Environment,
    default: &str,
) -> Result<()> {
    let wanted = environment.get("ANCHORHOLD_LOG").unwrap_or(default);
    let filter = EnvFilter::try_new(wanted).with_context(|| {
        format!("ANCHORHOLD_LOG={wanted:?} is no filter; try info, or warn,anchorhold=debug")
    })?;
    let terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal {
        LogFormat::Text
    } else {
        LogFormat::Json
    });
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => {
            let colours = terminal && environment.get("NO_COLOR").is_none();
            lines.with_ansi(colours).with_target(false).try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started
        .map_err(|error| anyhow::anyhow!(error))
        .context("cannot start logging")
}
