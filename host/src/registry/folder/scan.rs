//! What is in the folder, by names, sizes and times; nothing is opened.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// A component in the folder, with the manifest beside it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    pub(super) component: PathBuf,
    /// If there is one.
    pub(super) manifest: Option<PathBuf>,
    /// Sizes and times of both.
    pub(super) stamp: String,
    /// When the later of both was written.
    pub(super) modified: Option<SystemTime>,
    /// Size of the component.
    pub(super) size: u64,
    /// Why it must not be opened.
    pub(super) problem: Option<String>,
}

/// Every `name.wasm` of a folder, by name. Hidden files are left out: tools that
/// copy use them until they have finished. Names in `known` are looked for one
/// by one if they seem to be gone, because a listing can miss a file that is
/// replaced meanwhile.
pub(super) fn scan(folder: &Path, known: &[String]) -> Result<BTreeMap<String, Seen>> {
    let context = || format!("cannot read {}", folder.display());
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        if path.extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        let Some(stem) = path.file_stem() else {
            continue;
        };
        let name = stem.to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if let Some(seen) = look(path) {
            found.insert(name, seen);
        }
    }
    for name in known {
        if !found.contains_key(name)
            && let Some(seen) = look(folder.join(format!("{name}.wasm")))
        {
            found.insert(name.clone(), seen);
        }
    }
    Ok(found)
}

/// One component, or none if it has just gone.
pub(super) fn look(component: PathBuf) -> Option<Seen> {
    let beside = component.with_extension("toml");
    let file = Part::of(&component);
    let manifest = Part::of(&beside);
    if matches!(file, Part::Absent) {
        return None;
    }
    Some(Seen {
        stamp: format!("{} {}", file.stamp(), manifest.stamp()),
        modified: file.modified().max(manifest.modified()),
        size: file.size(),
        problem: file
            .problem(&component)
            .or_else(|| manifest.problem(&beside)),
        manifest: matches!(manifest, Part::File(_)).then_some(beside),
        component,
    })
}

/// One of the two files. Links are followed.
enum Part {
    Absent,
    File(Metadata),
    /// A folder, a device, a link to nothing.
    Other(&'static str),
}

impl Part {
    fn of(path: &Path) -> Self {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => Self::File(metadata),
            Ok(_) => Self::Other("is not a regular file"),
            Err(error) if error.kind() == ErrorKind::NotFound => match fs::symlink_metadata(path) {
                Ok(_) => Self::Other("is a link to nothing"),
                Err(_) => Self::Absent,
            },
            Err(_) => Self::Other("cannot be read by this host"),
        }
    }

    fn size(&self) -> u64 {
        match self {
            Self::File(metadata) => metadata.len(),
            _ => 0,
        }
    }

    fn modified(&self) -> Option<SystemTime> {
        match self {
            Self::File(metadata) => metadata.modified().ok(),
            _ => None,
        }
    }

    fn stamp(&self) -> String {
        let since = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
        match self {
            Self::Absent => "-".to_owned(),
            Self::File(metadata) => {
                let at = self.modified().map_or(0, |time| since(time).as_nanos());
                format!("{}@{at}", metadata.len())
            }
            Self::Other(what) => format!("({what})"),
        }
    }

    fn problem(&self, path: &Path) -> Option<String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match self {
            Self::Other(what) => Some(format!("{name} {what}; put a file in its place")),
            _ => None,
        }
    }
}
