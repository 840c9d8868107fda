//! The project's tasks, run as `cargo xtask <task>`: one file per task, called from here.
//! Tasks only arrange calls of cargo, rustc and a few system tools; nothing of the product is
//! built into them.

mod bench;
mod cache;
mod chaos;
mod deny;
mod foreign;
mod fuzz;
mod guests;
mod judges;
mod lint;
mod step;
mod test;
mod up;
mod wasm_target;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use workspace::Workspace;

/// Build, run and check Anchorhold.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the host and the sample agents, then serve them.
    Up(up::Options),
    /// Run everything that CI runs: format, clippy, builds, tests.
    Test(test::Options),
    /// Kill a host again and again while people talk to it.
    Chaos(chaos::Options),
    /// Let clients and suites of others judge a host.
    Judges(judges::Options),
    /// Measure the host and keep the tables in docs/benchmarks.md.
    Bench(bench::Options),
    /// Build every agent and test guest into `<target>/guests`.
    Guests(guests::Options),
    /// Make the wasm32-wasip2 target available to rustc.
    WasmTarget,
    /// Check format and clippy, warnings being errors.
    Lint,
    /// Check licences, sources, duplicate versions and known advisories of the dependencies.
    Deny(deny::Options),
    /// Feed the parsers with what nobody would send, by cargo-fuzz.
    Fuzz(fuzz::Options),
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    let workspace = Workspace::load()?;
    match task {
        Task::Up(options) => up::run(&workspace, &options),
        Task::Test(options) => test::run(&workspace, &options),
        Task::Chaos(options) => chaos::run(&workspace, &options),
        Task::Judges(options) => judges::run(&workspace, &options),
        Task::Bench(options) => bench::run(&workspace, &options),
        Task::Guests(options) => guests::run(&workspace, &options),
        Task::WasmTarget => wasm_target::ensure(&workspace),
        Task::Lint => lint::run(&workspace),
        Task::Deny(options) => deny::run(&workspace, &options),
        Task::Fuzz(options) => fuzz::run(&workspace, &options),
    }
}
