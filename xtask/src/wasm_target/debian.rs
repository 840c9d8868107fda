//! The sources of std and a libc for the target, as Debian packages: from a folder of copies if
//! there is one, else from the machine's own mirror. An apt of our own, with its own lists and
//! cache, leaves the system's sources alone and needs no root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::NAME;
use crate::workspace::Workspace;
use crate::{cache, step};

/// Names a folder with copies of both packages.
pub(super) const FOLDER_VARIABLE: &str = "ANCHORHOLD_WASM_TARGET_DIR";

/// Looked through in this order; the first has most recent releases of rustc for a stable libc.
const SUITES: [&str; 4] = ["trixie-backports", "trixie", "forky", "sid"];

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Both packages, unpacked into a folder that goes when this is dropped.
pub(super) struct Packages {
    dir: TempDir,
    version: String,
}

impl Packages {
    /// The sources of the standard library.
    pub(super) fn library(&self) -> PathBuf {
        self.dir
            .path()
            .join(format!("usr/src/rustc-{}/library", self.version))
    }

    /// The libc's archives and start files.
    pub(super) fn libc(&self) -> PathBuf {
        self.dir.path().join("usr/lib").join(NAME)
    }

    /// A place for whatever is made of them.
    pub(super) fn scratch(&self) -> PathBuf {
        self.dir.path().join("scratch")
    }
}

pub(super) fn packages(workspace: &Workspace, version: &str) -> Result<Packages> {
    let kept = cache::dir("wasm-target/packages")?;
    for folder in copies(workspace).into_iter().chain([kept.clone()]) {
        if let Some(files) = in_folder(&folder, version) {
            return unpack(&files, version);
        }
    }
    fetch(&kept, version)?;
    let files = in_folder(&kept, version).context("apt brought other files than it promised")?;
    unpack(&files, version)
}

/// The folder the caller names, else one that may lie beside the clone.
fn copies(workspace: &Workspace) -> Option<PathBuf> {
    let beside = || Some(workspace.root.parent()?.join("shared/wasm-target"));
    cache::variable(FOLDER_VARIABLE).or_else(beside)
}

fn in_folder(folder: &Path, version: &str) -> Option<[PathBuf; 2]> {
    let names: Vec<PathBuf> = fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|e| e.path())
        .collect();
    let find = |test: &dyn Fn(&str) -> bool| {
        names.iter().find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.ends_with(".deb") && test(&name)
        })
    };
    let source = find(&|name| {
        name.strip_prefix("rust-src_")
            .is_some_and(|package| is_release(package, version))
    });
    let libc = find(&|name| name.starts_with("wasi-libc_"));
    Some([source?.clone(), libc?.clone()])
}

/// Whether a Debian version such as `1.95.0+dfsg1-2` packages that release.
fn is_release(package: &str, version: &str) -> bool {
    package
        .strip_prefix(version)
        .is_some_and(|rest| rest.starts_with(['+', '-', '~']))
}

fn unpack(files: &[PathBuf], version: &str) -> Result<Packages> {
    let packages = Packages {
        dir: tempfile::tempdir()?,
        version: version.to_owned(),
    };
    for file in files {
        step::wait(&format!("unpacking {}", file.display()), || {
            let mut dpkg = Command::new("dpkg-deb");
            step::output(dpkg.arg("--extract").arg(file).arg(packages.dir.path()))
        })?;
    }
    for part in [packages.library(), packages.libc()] {
        if !part.is_dir() {
            bail!("the packages hold no {}", part.display());
        }
    }
    Ok(packages)
}

/// Brings both packages into `to`, each from the first suite that has a fitting one.
fn fetch(to: &Path, version: &str) -> Result<()> {
    let mirror = mirror()?;
    let apt = Apt::new()?;
    let (mut source, mut libc) = (false, false);
    for suite in SUITES {
        let listed = step::wait(&format!("reading the list of {suite}"), || {
            apt.use_suite(&mirror, suite)
        });
        if let Err(error) = listed {
            eprintln!("    {suite}: {error:#}");
            continue;
        }
        source = source || apt.bring("rust-src", to, |v| is_release(v, version))?;
        libc = libc || apt.bring("wasi-libc", to, is_recent_libc)?;
        if source && libc {
            return Ok(());
        }
    }
    let missing = if source {
        "wasi-libc for WASI 0.2".into()
    } else {
        format!("rust-src {version}")
    };
    bail!("the mirror has no {missing} in {}", SUITES.join(", "))
}

/// Debian's wasi-libc has carried wasm32-wasip2 from its snapshots of 2024 on; trixie's is older.
fn is_recent_libc(version: &str) -> bool {
    let date = version.split_once("git").map_or("", |(_, rest)| rest);
    date.get(..4)
        .and_then(|year| year.parse().ok())
        .is_some_and(|year: u32| year >= 2025)
}

/// The mirror that this machine takes its own release from.
fn mirror() -> Result<String> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let codename = codename.unwrap_or("stable").trim_matches('"');
    let mut apt = Command::new("apt-get");
    apt.args(["indextargets", "--format", "$(RELEASE) $(REPO_URI)"])
        .args(["Created-By: Packages", "Component: main"]);
    let targets = step::output(&mut apt)?;
    let of = |name: &str| {
        targets
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
    };
    let found = of(codename)
        .or_else(|| of("stable"))
        .or_else(|| of("testing"));
    found
        .map(str::to_owned)
        .context("apt knows no mirror of Debian's main archive")
}

/// An apt with lists and cache in a folder of its own.
struct Apt {
    dir: TempDir,
}

impl Apt {
    fn new() -> Result<Apt> {
        let dir = tempfile::tempdir()?;
        for part in ["etc", "state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.path().join(part))?;
        }
        fs::write(dir.path().join("state/status"), "")?;
        Ok(Apt { dir })
    }

    /// Reads the list of packages of one suite, and forgets that of the last.
    fn use_suite(&self, mirror: &str, suite: &str) -> Result<()> {
        let signed = if Path::new(KEYRING).is_file() {
            format!("signed-by={KEYRING}")
        } else {
            String::new()
        };
        let line = format!("deb [target=Packages {signed}] {mirror} {suite} main\n");
        fs::write(self.dir.path().join("etc/sources.list"), line)?;
        step::output(self.command("apt-get").args(["--error-on=any", "update"]))?;
        Ok(())
    }

    /// Downloads the newest version of `package` that `fits`; says whether there was one.
    fn bring(&self, package: &str, to: &Path, fits: impl Fn(&str) -> bool) -> Result<bool> {
        let versions = step::output(self.command("apt-cache").args(["madison", package]))?;
        let version = versions
            .lines()
            .filter_map(|line| line.split('|').nth(1).map(str::trim));
        let Some(version) = version.into_iter().find(|version| fits(version)) else {
            return Ok(false);
        };
        let name = format!("{package}={version}");
        step::wait(&format!("fetching {name}"), || {
            step::output(
                self.command("apt-get")
                    .args(["download", &name])
                    .current_dir(to),
            )
        })?;
        Ok(true)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (key, value) in [
            ("Dir::Etc", self.dir.path().join("etc")),
            ("Dir::State", self.dir.path().join("state")),
            ("Dir::State::status", self.dir.path().join("state/status")),
            ("Dir::Cache", self.dir.path().join("cache")),
            (
                "Dir::Etc::trustedparts",
                PathBuf::from("/etc/apt/trusted.gpg.d"),
            ),
        ] {
            command.arg("-o").arg(format!("{key}={}", value.display()));
        }
        // The user whom apt would change to may not write into our folders.
        command.args(["-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=2"]);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_matched_whole() {
        assert!(is_release("1.95.0+dfsg1-2~bpo13+1", "1.95.0"));
        assert!(is_release("1.95.0-1", "1.95.0"));
        assert!(!is_release("1.95.01-1", "1.95.0"));
        assert!(!is_release("1.94.0+dfsg1-2", "1.95.0"));
    }

    #[test]
    fn a_libc_without_the_target_is_passed_over() {
        assert!(is_recent_libc("0.0~git20260129.ec0effd-3~bpo13+1"));
        assert!(!is_recent_libc("0.0~git20230113.4362b18-2"));
        assert!(!is_recent_libc("1.0-1"));
    }

    #[test]
    fn copies_are_found_by_release() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "rust-src_1.95.0+dfsg1-2_all.deb",
            "wasi-libc_0.0_all.deb",
            "note.txt",
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let [source, libc] = in_folder(dir.path(), "1.95.0").unwrap();
        assert!(source.ends_with("rust-src_1.95.0+dfsg1-2_all.deb"));
        assert!(libc.ends_with("wasi-libc_0.0_all.deb"));
        assert!(in_folder(dir.path(), "1.96.0").is_none());
    }
}
