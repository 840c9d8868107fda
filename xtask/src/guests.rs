//! Building components: the sample agents under `plugins/` and the test guests under
//! `tests/guests/`, copied as `<package>.wasm` with their manifest beside them.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workspace::{Member, Workspace};
use crate::{foreign, step, wasm_target};

/// The cargo profile of components, defined in the workspace's Cargo.toml.
const PROFILE: &str = "guest";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Build the sample agents alone, into this folder.
    #[arg(long, value_name = "FOLDER")]
    agents: Option<PathBuf>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    step::step("wasm target", || wasm_target::ensure(workspace))?;
    match &options.agents {
        Some(dir) => build_agents(workspace, dir),
        None => build_all(workspace),
    }
}

/// Builds the agents that come with Anchorhold.
pub(crate) fn build_agents(workspace: &Workspace, dir: &Path) -> Result<()> {
    let agents = workspace.members_in("plugins");
    step::step("sample agents", || build(workspace, &agents, dir))
}

/// Builds every guest in every language into `<target>/guests`.
pub(crate) fn build_all(workspace: &Workspace) -> Result<()> {
    build_rust(workspace)?;
    step::step("guests in other languages", || {
        foreign::build(workspace, &workspace.guests_dir())
    })?;
    step::step("tool servers", || {
        foreign::install_servers(workspace, &workspace.guests_dir())
    })
}

/// Builds every guest in Rust into `<target>/guests`.
pub(crate) fn build_rust(workspace: &Workspace) -> Result<()> {
    let mut members = workspace.members_in("plugins");
    members.extend(workspace.members_in("tests/guests"));
    step::step("sample agents and test guests", || {
        build(workspace, &members, &workspace.guests_dir())
    })
}

/// Builds `members` in one call of cargo, which shares their dependencies, and installs each
/// into `dir`.
fn build(workspace: &Workspace, members: &[&Member], dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    if members.is_empty() {
        return Ok(());
    }
    let mut cargo = workspace.cargo(["build", "--profile", PROFILE, "--target", wasm_target::NAME]);
    for member in members {
        cargo.args(["--package", &member.name]);
    }
    step::run(&mut cargo)?;
    members
        .iter()
        .try_for_each(|member| install(workspace, member, dir))
}

/// Copies one component and, if it has one, its manifest. The manifest goes first: a folder that
/// is being watched should find it when the component appears.
fn install(workspace: &Workspace, member: &Member, dir: &Path) -> Result<()> {
    let name = &member.name;
    let manifest = member.dir.join(format!("{name}.toml"));
    if manifest.is_file() {
        copy_if_changed(&manifest, &dir.join(format!("{name}.toml")))?;
    }
    copy_if_changed(
        &built(workspace, member)?,
        &dir.join(format!("{name}.wasm")),
    )
}

/// Where cargo put the component of `member`.
fn built(workspace: &Workspace, member: &Member) -> Result<PathBuf> {
    let stem = member.cdylib.as_ref().with_context(|| {
        format!(
            "{} builds no component: its Cargo.toml needs crate-type cdylib",
            member.name
        )
    })?;
    let folder = workspace.target_dir.join(wasm_target::NAME).join(PROFILE);
    Ok(folder.join(stem).with_extension("wasm"))
}

/// Whoever watches `to` sees either the old file or the whole new one, and nothing at all when
/// the bytes are the same.
pub(crate) fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let dir = to.parent().context("a file lies in a folder")?;
    write_atomically(dir, to, &bytes).with_context(|| format!("writing {}", to.display()))
}

fn write_atomically(dir: &Path, to: &Path, bytes: &[u8]) -> Result<()> {
    // A dot and no `.wasm` at the end: no watcher takes the half-written file for an agent.
    let mut file = tempfile::Builder::new()
        .prefix(".xtask-")
        .tempfile_in(dir)?;
    file.write_all(bytes)?;
    make_readable(file.as_file())?;
    file.persist(to)?;
    Ok(())
}

/// Temporary files are private to their owner; a component is as public as any build result.
fn make_readable(file: &fs::File) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(file.set_permissions(fs::Permissions::from_mode(0o644))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_only_what_differs() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&from, "one").unwrap();
        copy_if_changed(&from, &to).unwrap();
        let first = fs::metadata(&to).unwrap().modified().unwrap();
        copy_if_changed(&from, &to).unwrap();
        assert_eq!(fs::metadata(&to).unwrap().modified().unwrap(), first);

        fs::write(&from, "two").unwrap();
        copy_if_changed(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "two");
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            2,
            "no temporary file is left"
        );
    }
}
