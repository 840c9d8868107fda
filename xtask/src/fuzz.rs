//! `cargo xtask fuzz`: the parsers of what others send, fed by libFuzzer with what nobody would
//! send. The targets are those of fuzz/; what breaks one is kept below fuzz/artifacts.

use anyhow::{Context, Result, bail};

use crate::step;
use crate::workspace::{Workspace, cargo_command};

/// An input that takes longer than this is reported like one that breaks something.
const SLOW_SECONDS: u32 = 10;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// A file of fuzz/fuzz_targets, without its ending; all of them, one after the other, when
    /// none is named.
    target: Option<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    check_installed()?;
    let known = targets(workspace)?;
    let chosen = match &options.target {
        None => known,
        Some(name) if known.contains(name) => vec![name.clone()],
        Some(name) => bail!(
            "there is no target {name:?}; there are {}",
            known.join(", ")
        ),
    };
    for target in &chosen {
        step::step(target, || fuzz(workspace, target, options.seconds))?;
    }
    Ok(())
}

fn check_installed() -> Result<()> {
    step::output(cargo_command().args(["fuzz", "--version"]))
        .map(|_| ())
        .context("this needs cargo-fuzz and a C++ compiler; run: cargo install cargo-fuzz --locked")
}

fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root.join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).context("reading fuzz/fuzz_targets")? {
        let path = entry?.path();
        names.extend(
            path.file_stem()
                .map(|name| name.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    Ok(names)
}

/// Without the address sanitizer, which needs a nightly compiler and would see nothing: what is
/// fuzzed is safe Rust, and SQLite is C that it does not instrument.
fn fuzz(workspace: &Workspace, target: &str, seconds: u32) -> Result<()> {
    let folder = workspace.root.join("fuzz");
    let found = folder.join("corpus").join(target);
    std::fs::create_dir_all(&found).context("making the folder of the corpus")?;
    let mut fuzz = workspace.cargo(["fuzz", "run", "--sanitizer", "none", "--fuzz-dir", "fuzz"]);
    fuzz.arg("--target-dir")
        .arg(workspace.target_dir.join("fuzz"))
        .arg(target)
        .args(
            [found, folder.join("seeds").join(target)]
                .iter()
                .filter(|path| path.is_dir()),
        )
        .args([
            "--",
            &format!("-max_total_time={seconds}"),
            &format!("-timeout={SLOW_SECONDS}"),
        ]);
    let words = folder.join("words").join(target);
    if words.is_file() {
        fuzz.arg(format!("-dict={}", words.display()));
    }
    step::run(&mut fuzz)
}
