//! `cargo xtask lint`: format and clippy, as CI checks them.

use anyhow::Result;

use crate::step;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    step::step("format", || {
        step::run(&mut workspace.cargo(["fmt", "--all", "--check"]))
    })?;
    step::step("clippy", || {
        let args = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ];
        step::run(&mut workspace.cargo(args))
    })
}
