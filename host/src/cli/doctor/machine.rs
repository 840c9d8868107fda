//! Checks that need no host: folders, models, memory maps, clock.

use std::path::Path;

use super::check::Check;
use crate::cli::models;
use crate::clock::now_ms;
use crate::config::Config;
use crate::format::{count, utc};

/// What a live instance takes, and what the host itself takes.
const MAPS_PER_TURN: u64 = 6;
const OWN_MAPS: u64 = 2_000;

/// 2026-01-01; no build of this program is older.
const EARLIEST_MS: i64 = 1_767_225_600_000;

pub(super) fn checks(config: &Config) -> Vec<Check> {
    let mut checks = vec![
        data_folder(&config.storage.data_dir),
        plugins_folder(&config.registry.plugins_dir),
        models_of(config),
    ];
    checks.extend(memory_maps(config.turns.concurrent));
    checks
}

fn data_folder(folder: &Path) -> Check {
    const NAME: &str = "data folder";
    const MEND: &str = "set [storage] data_dir to a folder that can be written";
    let shown = folder.display();
    if !folder.exists() {
        return match nearest(folder).map(write_into) {
            Some(Ok(())) => Check::good(NAME, format!("{shown} will be made")),
            _ => Check::bad(NAME, format!("{shown} cannot be made"), MEND),
        };
    }
    match write_into(folder) {
        Ok(()) => Check::good(NAME, format!("{shown} can be written")),
        Err(error) => Check::bad(NAME, format!("{shown} cannot be written: {error}"), MEND),
    }
}

/// The closest folder above that exists.
fn nearest(folder: &Path) -> Option<&Path> {
    let above = folder.ancestors().skip(1);
    above
        .map(|path| {
            if path.as_os_str().is_empty() {
                Path::new(".")
            } else {
                path
            }
        })
        .find(|path| path.is_dir())
}

/// Permissions say too little (read-only mounts, full disks), so a file is made.
fn write_into(folder: &Path) -> std::io::Result<()> {
    let file = folder.join(format!(".doctor-{}", std::process::id()));
    std::fs::write(&file, b"can be written\n")?;
    std::fs::remove_file(&file)
}

fn plugins_folder(folder: &Path) -> Check {
    const NAME: &str = "plugins folder";
    let shown = folder.display();
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            let is_wasm = |path: &Path| path.extension().is_some_and(|ending| ending == "wasm");
            let found = entries
                .flatten()
                .filter(|entry| is_wasm(&entry.path()))
                .count();
            Check::good(NAME, format!("{shown} has {found} components"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Check::note(
            NAME,
            format!("{shown} is not there"),
            "make it, or set [registry] plugins_dir; agents can also be added by: anchorhold agents add",
        ),
        Err(error) => Check::bad(
            NAME,
            format!("{shown} cannot be read: {error}"),
            "set [registry] plugins_dir to a folder that can be read",
        ),
    }
}

fn models_of(config: &Config) -> Check {
    let found = models::lines(&config.llm).join(", ");
    if models::only_scripted(&config.llm) {
        Check::note("models", found, models::PLUG_IN)
    } else {
        Check::good("models", found)
    }
}

/// Linux bounds the memory maps of a process; elsewhere nothing is known.
fn memory_maps(concurrent: u32) -> Option<Check> {
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok()?;
    let allowed: u64 = text.trim().parse().ok()?;
    Some(maps_check(allowed, concurrent))
}

fn maps_check(allowed: u64, concurrent: u32) -> Check {
    const NAME: &str = "memory maps";
    let needed = u64::from(concurrent) * MAPS_PER_TURN + OWN_MAPS;
    let found = format!(
        "vm.max_map_count is {}; {} turns at once need about {}",
        count(allowed),
        count(concurrent.into()),
        count(needed)
    );
    if allowed >= needed {
        return Check::good(NAME, found);
    }
    let most = allowed.saturating_sub(OWN_MAPS) / MAPS_PER_TURN;
    Check::bad(
        NAME,
        found,
        format!(
            "as root: sysctl -w vm.max_map_count={needed}; or set [turns] concurrent to at most {most}"
        ),
    )
}

pub(super) fn clock() -> Check {
    let now = now_ms();
    match now >= EARLIEST_MS {
        true => Check::good("clock", utc(now)),
        false => Check::bad(
            "clock",
            utc(now),
            "set the clock of this machine; it is in the past",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    #[test]
    fn more_turns_than_maps_are_bad() {
        assert_eq!(maps_check(65_530, 1_000).verdict, Verdict::Good);
        let check = maps_check(65_530, 20_000);
        assert_eq!(check.verdict, Verdict::Bad);
        assert!(check.hint.unwrap().contains("at most 10588"));
    }

    #[test]
    fn folders_are_tried_without_being_made() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("a/b");
        assert_eq!(data_folder(&missing).verdict, Verdict::Good);
        assert!(!missing.exists());
        assert_eq!(data_folder(dir.path()).verdict, Verdict::Good);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(data_folder(&file).verdict, Verdict::Bad);
        assert_eq!(plugins_folder(&file).verdict, Verdict::Bad);
        assert_eq!(plugins_folder(&missing).verdict, Verdict::Note);
    }
}
