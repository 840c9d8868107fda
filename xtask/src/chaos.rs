//! `cargo xtask chaos`: kills a host again and again while people talk to it, by a seed.

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{guests, step, test, up, wasm_target};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The moments of the kills follow from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many messages; there is a kill for every forty.
    #[arg(long, default_value_t = 1_000)]
    messages: usize,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    step::step("wasm target", || wasm_target::ensure(workspace))?;
    guests::build_rust(workspace)?;
    up::build_host(workspace)?;
    let mut cargo = test::command(workspace);
    cargo
        .args(["--test", "it", "chaos"])
        .env("ANCHORHOLD_CHAOS_SEED", options.seed.to_string())
        .env("ANCHORHOLD_CHAOS_MESSAGES", options.messages.to_string());
    step::step("chaos", || step::run(&mut cargo))
}
