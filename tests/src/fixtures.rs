//! Components that tests run, built beforehand by `cargo xtask guests`.

use std::path::{Path, PathBuf};

/// The folder of built components.
pub fn guests_dir() -> PathBuf {
    std::env::var_os("ANCHORHOLD_GUESTS_DIR")
        .map_or_else(|| target_dir().join("guests"), PathBuf::from)
}

/// The bytes of a built component.
///
/// # Panics
///
/// If it was not built.
pub fn component(name: &str) -> Vec<u8> {
    let path = guests_dir().join(format!("{name}.wasm"));
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run cargo xtask guests", path.display()))
}

/// A component from its text in `tests/wat`.
///
/// # Panics
///
/// If the text is not right.
pub fn component_from_wat(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("wat")
        .join(format!("{name}.wat"));
    wat::parse_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Components whose manifest lies beside them: their toolchains embed none.
pub(crate) fn is_foreign(name: &str) -> bool {
    matches!(name, "javascript" | "python")
}

pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    )
}
