//! Building std for the target from its sources and putting it into rustc's sysroot, after which
//! a plain `cargo build --target wasm32-wasip2` works like anywhere else.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::NAME;
use super::debian::Packages;
use crate::step;
use crate::workspace::cargo_command;

/// Marks a target folder as ours: rustup refuses to install over files it does not know.
const MARK: &str = "built-by-anchorhold-xtask";

const CRATE: &str = "std_build";

/// Builds std as the dependency of an empty crate; returns the folder with its libraries.
pub(super) fn build(packages: &Packages) -> Result<PathBuf> {
    let dir = packages.scratch();
    fs::create_dir_all(dir.join("src"))?;
    fs::write(dir.join("src/lib.rs"), "")?;
    let manifest = format!("[package]\nname = \"{CRATE}\"\nedition = \"2024\"\n\n[workspace]\n");
    fs::write(dir.join("Cargo.toml"), manifest)?;

    // The standard distribution carries bitcode too, without which `lto` could not reach into std.
    let libc = packages.libc();
    let flags = format!("-Cembed-bitcode=yes -Lnative={}", libc.display());
    let mut cargo = cargo_command();
    cargo
        .args([
            "build",
            "--release",
            "-Zbuild-std=std,panic_abort,test",
            "--target",
            NAME,
        ])
        .args(["--target-dir", "target"])
        .current_dir(&dir)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("__CARGO_TESTS_ONLY_SRC_ROOT", packages.library())
        .env("RUSTFLAGS", flags)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER");
    step::run(&mut cargo)?;
    Ok(dir.join("target").join(NAME).join("release/deps"))
}

/// Moves std and libc into the sysroot in one rename, so that rustc never sees half of them.
pub(super) fn install(packages: &Packages, built: &Path, sysroot: &Path) -> Result<()> {
    let target = target_dir(sysroot);
    let rustlib = target.parent().context("a sysroot has a folder rustlib")?;
    let stage = tempfile::Builder::new()
        .prefix(".anchorhold-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir_in(rustlib)
        .with_context(|| format!("{} is not writable for you", rustlib.display()))?;
    let lib = stage.path().join("lib");
    copy(built, &lib, |name, extension| {
        extension == "rlib" && !name.starts_with(&format!("lib{CRATE}-"))
    })?;
    copy(
        &packages.libc(),
        &lib.join("self-contained"),
        |_, extension| extension == "o" || extension == "a",
    )?;
    fs::write(
        stage.path().join(MARK),
        "std and libc built from Debian's packages\n",
    )?;

    remove(&target)?;
    fs::rename(stage.keep(), &target).with_context(|| format!("making {}", target.display()))
}

/// Removes a std that we built for an earlier rustc: it is of no use, and in rustup's way.
pub(super) fn remove_outdated(sysroot: &Path) -> Result<()> {
    let target = target_dir(sysroot);
    if target.join(MARK).is_file() {
        remove(&target)
    } else {
        Ok(())
    }
}

fn target_dir(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib").join(NAME)
}

fn remove(dir: &Path) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))
}

/// Copies the files of a folder, not its subfolders, whose name and extension are wanted.
fn copy(from: &Path, to: &Path, wanted: impl Fn(&str, &str) -> bool) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        if path.is_file() && wanted(name, extension) {
            fs::copy(&path, to.join(name)).with_context(|| format!("copying {name}"))?;
        }
    }
    Ok(())
}
