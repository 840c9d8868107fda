//! The folder for what is worth keeping between clones: tools that were built, packages that were
//! fetched. Deleting it costs time and nothing else.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// `<user's cache>/anchorhold/<name>`, made if missing.
pub(crate) fn dir(name: &str) -> Result<PathBuf> {
    let base = variable("XDG_CACHE_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir);
    let dir = base.join("anchorhold").join(name);
    fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    Ok(dir)
}

/// An environment variable that holds a path; an empty one counts as unset.
pub(crate) fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}
