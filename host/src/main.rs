//! The binary `anchorhold`: parses the command line, runs the command, says
//! what went wrong.

use std::process::ExitCode;

use anchorhold::cli::{Cli, report};
use clap::Parser;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}
