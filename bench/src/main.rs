//! The project's numbers. Each measurement is a file and runs in a process of its own; `cargo xtask
//! bench` builds what is needed, runs them one after the other and keeps the tables in
//! docs/benchmarks.md, which says what each number means.

mod bare;
mod client;
mod evict;
mod fair;
mod gateway;
mod host;
mod http;
mod journal;
mod machine;
mod one_way;
mod place;
mod provider;
mod race;
mod recorded;
mod register;
mod replay;
mod resume;
mod rig;
mod slack;
mod spawn;
mod stats;
mod stop;
mod suspended;
mod table;
mod turn;
mod waiting;

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use futures_util::future::LocalBoxFuture;
use tokio::runtime::Builder;

use table::Table;

/// Measure the host.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Run one measurement and print its table.
    Run(Options),
    /// Be a host, for a measurement that drives one.
    Serve { config: PathBuf },
    /// Be a fake Slack, for a measurement that has a host in one.
    #[command(disable_help_flag = true)]
    Simulate {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<OsString>,
    },
}

#[derive(clap::Args)]
struct Options {
    name: Name,
    /// Where the components lie: tiny, probe and hog.
    #[arg(long)]
    guests: PathBuf,
    /// A folder on the disk to be measured; what is made in it is removed again.
    #[arg(long)]
    dir: PathBuf,
    /// Where Python finds litellm, for `race`.
    #[arg(long)]
    litellm: Option<PathBuf>,
    /// Where the packages of Bolt are, `python` and `javascript`, for `slack`.
    #[arg(long)]
    packages: Option<PathBuf>,
    /// The document whose table is replaced.
    #[arg(long)]
    record: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    Machine,
    Turn,
    Spawn,
    Evict,
    Register,
    Waiting,
    Suspended,
    Http,
    Fair,
    Stop,
    Journal,
    Resume,
    Replay,
    Gateway,
    Race,
    Slack,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Serve { config } => host::serve(config),
        Command::Simulate { options } => host::simulate(options),
        Command::Run(options) => run(&options),
    }
}

fn run(options: &Options) -> Result<()> {
    let load = machine::load()?;
    let place = place::Place::new(&options.dir, &options.guests)?;
    let table = measure(options, &place)?;
    let text = table.render(&load)?;
    print!("{text}");
    match &options.record {
        Some(document) => table::record(document, table.name, &text),
        None => Ok(()),
    }
}

/// What drives a host from outside gets one thread, so that it leaves the host what there is.
fn measure(options: &Options, place: &place::Place) -> Result<Table> {
    let (threads, work): (usize, LocalBoxFuture<'_, Result<Table>>) = match options.name {
        Name::Machine => (1, Box::pin(machine::measure(place))),
        Name::Turn => (2, Box::pin(turn::measure(place))),
        Name::Spawn => (2, Box::pin(spawn::measure(place))),
        Name::Evict => (2, Box::pin(evict::measure(place))),
        Name::Stop => (2, Box::pin(stop::measure(place))),
        Name::Journal => (2, Box::pin(journal::measure(place))),
        Name::Resume => (2, Box::pin(resume::measure(place))),
        Name::Replay => (2, Box::pin(replay::measure(place))),
        Name::Register => (1, Box::pin(register::measure(place))),
        Name::Waiting => (1, Box::pin(waiting::measure(place))),
        Name::Suspended => (1, Box::pin(suspended::measure(place))),
        Name::Http => (1, Box::pin(http::measure(place))),
        Name::Gateway => (2, Box::pin(gateway::measure(place))),
        Name::Race => (
            1,
            Box::pin(race::measure(place, options.litellm.as_deref())),
        ),
        Name::Slack => (
            1,
            Box::pin(slack::measure(place, options.packages.as_deref())),
        ),
        Name::Fair => (1, Box::pin(fair::measure(place))),
    };
    let runtime = if threads == 1 {
        Builder::new_current_thread().enable_all().build()?
    } else {
        Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()?
    };
    runtime.block_on(work)
}
