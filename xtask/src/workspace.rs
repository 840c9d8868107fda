//! What cargo knows of this workspace: its root, its target folder and its members, asked from
//! `cargo metadata` so that `CARGO_TARGET_DIR` and configuration files are respected.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::step;

pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target_dir: PathBuf,
    members: Vec<Member>,
}

/// One package of the workspace.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    /// The name of its `cdylib` target, which is the file name of its component; `None` for
    /// packages that build none.
    pub(crate) cdylib: Option<String>,
}

impl Workspace {
    pub(crate) fn load() -> Result<Workspace> {
        let mut command = cargo_command();
        command.args(["metadata", "--format-version=1", "--no-deps"]);
        // Set by `cargo xtask`, wherever in the clone it is called from.
        if let Some(xtask) = std::env::var_os("CARGO_MANIFEST_DIR") {
            command.current_dir(xtask);
        }
        let metadata: Value =
            serde_json::from_str(&step::output(&mut command)?).context("reading cargo metadata")?;
        Ok(Workspace {
            root: path(&metadata, "workspace_root")?,
            target_dir: path(&metadata, "target_directory")?,
            members: list(&metadata, "packages")
                .iter()
                .map(member)
                .collect::<Result<_>>()?,
        })
    }

    /// The cargo that runs this task, called in the root of the workspace.
    pub(crate) fn cargo<const N: usize>(&self, args: [&str; N]) -> Command {
        let mut command = cargo_command();
        command.args(args).current_dir(&self.root);
        command
    }

    /// The members that lie directly in `folder`, a path relative to the root.
    pub(crate) fn members_in(&self, folder: &str) -> Vec<&Member> {
        let folder = self.root.join(folder);
        self.members
            .iter()
            .filter(|m| m.dir.parent() == Some(&folder))
            .collect()
    }

    /// The host binary as the dev profile builds it.
    pub(crate) fn host_binary(&self) -> PathBuf {
        self.target_dir.join("debug").join("anchorhold")
    }

    /// Where `cargo xtask guests` and `test` put every component.
    pub(crate) fn guests_dir(&self) -> PathBuf {
        self.target_dir.join("guests")
    }
}

/// Cargo tells its children which binary it is; outside of cargo, the one on the path.
pub(crate) fn cargo_command() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn member(package: &Value) -> Result<Member> {
    let manifest = path(package, "manifest_path")?;
    let dir = manifest
        .parent()
        .map(Path::to_owned)
        .context("a manifest lies in a folder")?;
    let cdylib = list(package, "targets").iter().find(|target| {
        list(target, "crate_types")
            .iter()
            .any(|kind| kind == "cdylib")
    });
    Ok(Member {
        name: text(package, "name")?,
        dir,
        cdylib: cdylib.map(file_stem).transpose()?,
    })
}

/// rustc names a library's file by its crate name, in which hyphens are underscores.
fn file_stem(target: &Value) -> Result<String> {
    Ok(text(target, "name")?.replace('-', "_"))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value, key: &str) -> Result<String> {
    let text = value[key]
        .as_str()
        .with_context(|| format!("cargo metadata has no `{key}`"))?;
    Ok(text.to_owned())
}

fn path(value: &Value, key: &str) -> Result<PathBuf> {
    text(value, key).map(PathBuf::from)
}
