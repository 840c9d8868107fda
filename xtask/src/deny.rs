//! `cargo xtask deny`: licences, sources, duplicates and advisories of what we depend on, by
//! cargo-deny and the rules of deny.toml.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::workspace::{Workspace, cargo_command};
use crate::{cache, step};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leave out the advisories, whose database lies on the network.
    #[arg(long)]
    offline: bool,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let binary = cargo_deny()?;
    step::step("bans, licences and sources", || {
        let mut check = Command::new(&binary);
        check
            .args([
                "check",
                "--hide-inclusion-graph",
                "bans",
                "licenses",
                "sources",
            ])
            .current_dir(&workspace.root);
        step::run(&mut check)
    })?;
    if options.offline {
        return Ok(());
    }
    step::step("advisories", || advisories(workspace, &binary))
}

/// Fetching the database is apart from judging by it: only the second can find a fault of ours.
fn advisories(workspace: &Workspace, binary: &PathBuf) -> Result<()> {
    let fetched = step::wait("fetching the advisory database", || {
        step::output(
            Command::new(binary)
                .args(["fetch", "db"])
                .current_dir(&workspace.root),
        )
    });
    if let Err(error) = fetched {
        bail!(
            "the advisory database cannot be fetched, so advisories were not checked \
             (`--offline` leaves them out): {error:#}"
        );
    }
    let mut check = Command::new(binary);
    check
        .args(["check", "--disable-fetch", "advisories"])
        .current_dir(&workspace.root);
    step::run(&mut check)
}

/// The cargo-deny on the path, else one built into our cache.
fn cargo_deny() -> Result<PathBuf> {
    let tools = cache::dir("tools")?;
    let cached = tools.join("bin/cargo-deny");
    for binary in [PathBuf::from("cargo-deny"), cached.clone()] {
        if works(&binary) {
            return Ok(binary);
        }
    }
    step::step("installing cargo-deny, once", || {
        let mut install = cargo_command();
        install
            .args(["install", "cargo-deny", "--locked", "--root"])
            .arg(&tools);
        step::run(&mut install)
    })?;
    Ok(cached)
}

fn works(binary: &PathBuf) -> bool {
    let probe = Command::new(binary)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    probe.is_ok_and(|status| status.success())
}
