//! `cargo xtask wasm-target`: makes rustc able to compile for wasm32-wasip2. rustup is the
//! ordinary route; where its server cannot be reached, std is built once from Debian's packages.

mod debian;
mod std_build;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use crate::{cache, step};

pub(crate) const NAME: &str = "wasm32-wasip2";

/// A server that cannot be reached may leave rustup waiting for much longer than this.
const RUSTUP_LIMIT: Duration = Duration::from_secs(60);

/// Does nothing where the target works already.
pub(crate) fn ensure(workspace: &Workspace) -> Result<()> {
    if probe().is_ok() {
        eprintln!("    {NAME} is there");
        return Ok(());
    }
    // Two tasks at once must not write the same sysroot; the second finds the work done.
    let lock = File::create(cache::dir("wasm-target")?.join("lock"))?;
    lock.lock()
        .context("waiting for another task that prepares the target")?;
    if probe().is_ok() {
        return Ok(());
    }
    std_build::remove_outdated(&sysroot()?)?;
    let Err(rustup) = by_rustup() else {
        return Ok(());
    };
    eprintln!("    rustup did not bring {NAME} ({rustup:#}); building it from Debian's packages");
    let Err(debian) = by_debian(workspace) else {
        return Ok(());
    };
    bail!(explain(&rustup, &debian)?)
}

fn by_rustup() -> Result<()> {
    let mut rustup = Command::new("rustup");
    step::run_within(RUSTUP_LIMIT, rustup.args(["target", "add", NAME]))?;
    probe()
}

fn by_debian(workspace: &Workspace) -> Result<()> {
    let packages = debian::packages(workspace, &rustc_version()?)?;
    let built = step::step("building std", || std_build::build(&packages))?;
    std_build::install(&packages, &built, &sysroot()?)?;
    probe()
}

/// Compiles and links one line: a target that is listed may still lack its libc, or its std may
/// have been left by an older rustc, which this one refuses.
fn probe() -> Result<()> {
    let libdir = PathBuf::from(rustc(&["--print", "target-libdir", "--target", NAME])?);
    if !has_std(&libdir) {
        bail!("rustc has no std for {NAME}");
    }
    let dir = tempfile::tempdir()?;
    let mut compiler = rustc_command()
        .args(["--target", NAME, "--crate-name", "probe", "-o"])
        .arg(dir.path().join("probe.wasm"))
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start rustc")?;
    if let Some(mut source) = compiler.stdin.take() {
        source.write_all(b"fn main() { println!(\"{:?}\", std::time::Instant::now()); }")?;
    }
    let output = compiler.wait_with_output()?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!(
            "rustc cannot compile for {NAME}: {}",
            error.lines().next().unwrap_or_default()
        );
    }
    Ok(())
}

fn has_std(libdir: &Path) -> bool {
    let Ok(entries) = fs::read_dir(libdir) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    })
}

fn sysroot() -> Result<PathBuf> {
    Ok(PathBuf::from(rustc(&["--print", "sysroot"])?))
}

/// Such as `1.95.0`.
fn rustc_version() -> Result<String> {
    let text = rustc(&["--version", "--verbose"])?;
    let release = text.lines().find_map(|line| line.strip_prefix("release: "));
    release.map(str::to_owned).context("rustc names no release")
}

fn rustc(args: &[&str]) -> Result<String> {
    Ok(step::output(rustc_command().args(args))?.trim().to_owned())
}

fn rustc_command() -> Command {
    Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

fn explain(rustup: &anyhow::Error, debian: &anyhow::Error) -> Result<String> {
    let version = rustc_version()?;
    Ok(format!(
        "rustc {version} cannot compile for {NAME}, and neither way to change that worked:
  by rustup: {rustup:#}
  by Debian's packages: {debian:#}
What to do, whichever is easier:
  - where rustup's server can be reached: rustup target add {NAME}
  - elsewhere: put rust-src_{version}+….deb and wasi-libc_….deb (one with {NAME}; both are in
    Debian's trixie-backports, or in forky or sid) into a folder, set {} to it,
    and run `cargo xtask wasm-target` again",
        debian::FOLDER_VARIABLE
    ))
}
