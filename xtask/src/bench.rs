//! `cargo xtask bench`: the project's numbers, measured in the release profile, printed, and kept
//! in docs/benchmarks.md.

use std::os::unix::fs::symlink;
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{foreign, guests, step, wasm_target};

/// In the order in which they run: `machine` first says what they ran on.
const NAMES: [&str; 16] = [
    "machine",
    "turn",
    "spawn",
    "evict",
    "register",
    "waiting",
    "gateway",
    "race",
    "suspended",
    "http",
    "fair",
    "stop",
    "journal",
    "resume",
    "replay",
    "slack",
];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to measure; everything if nothing is named.
    #[arg(value_parser = NAMES)]
    names: Vec<String>,
    /// Print the tables and leave docs/benchmarks.md as it is.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    step::step("wasm target", || wasm_target::ensure(workspace))?;
    guests::build_rust(workspace)?;
    step::step("host and load driver", || {
        step::run(&mut workspace.cargo(["build", "--release", "--package", "anchorhold-bench"]))
    })?;
    NAMES
        .iter()
        .filter(|name| options.names.is_empty() || options.names.iter().any(|own| own == *name))
        .try_for_each(|name| step::step(name, || measure(workspace, options, name)))?;
    if !options.names.is_empty() {
        return Ok(());
    }
    step::step("parts, by criterion", || {
        step::run(&mut workspace.cargo([
            "bench",
            "--package",
            "anchorhold-bench",
            "--bench",
            "parts",
        ]))
    })
}

/// Each measurement gets a process of its own, whose memory nothing else has used.
fn measure(workspace: &Workspace, options: &Options, name: &str) -> Result<()> {
    let mut bench = Command::new(workspace.target_dir.join("release/anchorhold-bench"));
    bench
        .args(["run", name, "--guests"])
        .arg(workspace.guests_dir())
        .arg("--dir")
        .arg(workspace.target_dir.join("bench"));
    if name == "race" {
        bench
            .arg("--litellm")
            .arg(foreign::install_rival(workspace)?);
    }
    let packages = tempfile::tempdir()?;
    if name == "slack" {
        let tools = foreign::install_judges(workspace, true)?;
        let javascript = tools.javascript.context("it was asked for")?;
        symlink(tools.python, packages.path().join("python"))?;
        symlink(javascript, packages.path().join("javascript"))?;
        bench.arg("--packages").arg(packages.path());
    }
    if !options.dry_run {
        bench
            .arg("--record")
            .arg(workspace.root.join("docs/benchmarks.md"));
    }
    step::run(&mut bench)
}
