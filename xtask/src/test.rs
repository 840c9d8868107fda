//! `cargo xtask test`: what CI runs, in the order in which failures are cheapest to find.

use std::process::Command;
use std::time::Instant;

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{guests, judges, lint, step, up, wasm_target};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only the tests whose name contains this.
    #[arg(long)]
    filter: Option<String>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let start = Instant::now();
    step::step("wasm target", || wasm_target::ensure(workspace))?;
    lint::run(workspace)?;
    guests::build_all(workspace)?;
    up::build_host(workspace)?;
    step::step("tests", || tests(workspace, options))?;
    if options.filter.is_none() {
        judges::quick(workspace)?;
    }
    eprintln!("all passed in {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn tests(workspace: &Workspace, options: &Options) -> Result<()> {
    step::run(command(workspace).args(&options.filter))
}

/// The tests drive the built program and the built guests; they find both by these variables.
pub(crate) fn command(workspace: &Workspace) -> Command {
    let mut cargo = workspace.cargo(["test", "--workspace"]);
    cargo
        .env("ANCHORHOLD_GUESTS_DIR", workspace.guests_dir())
        .env("ANCHORHOLD_BIN", workspace.host_binary());
    cargo
}
