//! `cargo xtask up`: from a fresh clone to a serving host. Builds what is needed, puts the sample
//! agents where the host watches, and becomes the host.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{cache, guests, step, wasm_target};

const PLUGINS_DIR: &str = "ANCHORHOLD_REGISTRY__PLUGINS_DIR";
const DATA_DIR: &str = "ANCHORHOLD_STORAGE__DATA_DIR";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Passed on to `anchorhold serve`.
    #[arg(last = true)]
    host_args: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let plugins_dir = folder(workspace, PLUGINS_DIR, "plugins");
    let data_dir = folder(workspace, DATA_DIR, "data");

    step::step("wasm target", || wasm_target::ensure(workspace))?;
    guests::build_agents(workspace, &plugins_dir)?;
    build_host(workspace)?;

    // Becoming the host, and not its parent, leaves it the terminal and every signal.
    let error = Command::new(workspace.host_binary())
        .arg("serve")
        .args(&options.host_args)
        .env(PLUGINS_DIR, plugins_dir)
        .env(DATA_DIR, data_dir)
        .exec();
    Err(error).with_context(|| format!("cannot start {}", workspace.host_binary().display()))
}

/// One profile and one choice of features serve `up` and `test`, or wasmtime would be compiled
/// twice: cargo unites features over the packages that are asked for, hence the whole workspace.
pub(crate) fn build_host(workspace: &Workspace) -> Result<()> {
    step::step("host", || {
        step::run(&mut workspace.cargo(["build", "--workspace", "--bin", "anchorhold"]))
    })
}

/// A folder the caller may have chosen, else one of ours below the target folder.
fn folder(workspace: &Workspace, variable: &str, name: &str) -> PathBuf {
    cache::variable(variable).unwrap_or_else(|| workspace.target_dir.join("up").join(name))
}
