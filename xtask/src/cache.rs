//! The folder for what is worth keeping between clones: tools that were built, packages that were
//! fetched. Deleting it costs time and nothing else.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// `<name>` in the cache, made if missing.
pub(crate) fn dir(name: &str) -> Result<PathBuf> {
    let dir = base(variable).join(name);
    fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    Ok(dir)
}

/// `ANCHORHOLD_CACHE` if it is set, otherwise `<user's cache>/anchorhold`.
fn base(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let of_user = || {
        variable("XDG_CACHE_HOME")
            .or_else(|| variable("HOME").map(|home| home.join(".cache")))
            .unwrap_or_else(std::env::temp_dir)
            .join("anchorhold")
    };
    variable("ANCHORHOLD_CACHE").unwrap_or_else(of_user)
}

/// An environment variable that holds a path; an empty one counts as unset.
pub(crate) fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_of_its_own_comes_first() {
        let set = [
            ("ANCHORHOLD_CACHE", "/own"),
            ("XDG_CACHE_HOME", "/xdg"),
            ("HOME", "/home"),
        ];
        let expected = ["/own", "/xdg/anchorhold", "/home/.cache/anchorhold"];
        for (unset, expected) in expected.into_iter().enumerate() {
            let variable = |name: &str| {
                let found = set[unset..].iter().find(|(known, _)| *known == name);
                found.map(|(_, path)| PathBuf::from(path))
            };
            assert_eq!(base(variable), PathBuf::from(expected));
        }
    }
}
