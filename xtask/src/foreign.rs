//! Guests written in other languages, under `tests/foreign/<language>`. Each folder pins the
//! tools of its language; this task installs them into the cache, builds the component, and keeps
//! it there under a name made of everything that goes into it, so that the next clone copies it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::guests::copy_if_changed;
use crate::workspace::Workspace;
use crate::{cache, step};

/// Where componentize-py looks for packages in a virtual environment.
const SITE_PACKAGES: &str = "lib/site-packages";

/// Earlier builds of a guest that stay in the cache, for clones that are at other commits.
const BUILDS_KEPT: usize = 4;

/// How guests of one language are built.
struct Language {
    /// Of its folder, its component and its manifest.
    name: &'static str,
    /// The file in its folder that pins the tools.
    pins: &'static str,
    /// Installs the tools that `pins` (first) names into a folder (second).
    install: fn(&Path, &Path) -> Result<()>,
    compile: fn(&Job) -> Command,
}

/// One run of a language's compiler.
struct Job<'a> {
    tools: &'a Path,
    wit: &'a Path,
    /// A copy of the guest's folder: some compilers write beside what they read.
    source: &'a Path,
    out: &'a Path,
}

/// Files by name.
type Files = BTreeMap<String, Vec<u8>>;

const LANGUAGES: [Language; 2] = [
    Language {
        name: "javascript",
        pins: "package.json",
        install: install_javascript,
        compile: compile_javascript,
    },
    Language {
        name: "python",
        pins: "requirements.txt",
        install: install_python,
        compile: compile_python,
    },
];

/// Builds every foreign guest into `dir` as `<name>.wasm`, with its manifest beside it.
pub(crate) fn build(workspace: &Workspace, dir: &Path) -> Result<()> {
    let cache = cache::dir("foreign")?;
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    let lock = File::create(cache.join("lock"))?;
    step::wait("another build of guests is at work", || Ok(lock.lock()?))?;
    for language in &LANGUAGES {
        let folder = workspace.root.join("tests/foreign").join(language.name);
        let wasm = component(language, &folder, &workspace.root.join("wit"), &cache)
            .with_context(|| format!("the guest in tests/foreign/{}", language.name))?;
        let manifest = format!("{}.toml", language.name);
        copy_if_changed(&folder.join(&manifest), &dir.join(&manifest))?;
        copy_if_changed(&wasm, &dir.join(language.name).with_extension("wasm"))?;
    }
    Ok(())
}

/// Installs the MCP servers that `tests/servers/package.json` pins, and makes `dir/servers` lead to
/// them.
pub(crate) fn install_servers(workspace: &Workspace, dir: &Path) -> Result<()> {
    let cache = cache::dir("foreign")?;
    let lock = File::create(cache.join("lock"))?;
    step::wait("another build of guests is at work", || Ok(lock.lock()?))?;
    let folder = workspace.root.join("tests/servers");
    let servers = Language {
        name: "servers",
        pins: "package.json",
        install: install_javascript,
        compile: compile_javascript,
    };
    let tools = tools(&servers, &folder, &files(&folder)?, &cache)?;
    let link = dir.join("servers");
    if fs::read_link(&link).is_ok_and(|found| found == tools) {
        return Ok(());
    }
    let _ = fs::remove_file(&link);
    Ok(std::os::unix::fs::symlink(tools, link)?)
}

/// Where the packages of the judges are.
pub(crate) struct Tools {
    /// A path for Python.
    pub(crate) python: PathBuf,
    /// The folder with `node_modules`, if it was asked for.
    pub(crate) javascript: Option<PathBuf>,
}

/// Installs what `tests/judges` pins.
pub(crate) fn install_judges(workspace: &Workspace, with_javascript: bool) -> Result<Tools> {
    let cache = cache::dir("foreign")?;
    let lock = File::create(cache.join("lock"))?;
    step::wait("another build of guests is at work", || Ok(lock.lock()?))?;
    let folder = workspace.root.join("tests/judges");
    let source = files(&folder)?;
    let [javascript, python] = LANGUAGES;
    let javascript = Language {
        name: "judges-javascript",
        ..javascript
    };
    let python = Language {
        name: "judges-python",
        ..python
    };
    let python = tools(&python, &folder, &source, &cache)?;
    let javascript = with_javascript.then(|| tools(&javascript, &folder, &source, &cache));
    Ok(Tools {
        python: python.join(SITE_PACKAGES),
        javascript: javascript.transpose()?,
    })
}

/// Installs the proxy that `bench/rival` pins; answers a path for Python.
pub(crate) fn install_rival(workspace: &Workspace) -> Result<PathBuf> {
    let cache = cache::dir("foreign")?;
    let lock = File::create(cache.join("lock"))?;
    step::wait("another build of guests is at work", || Ok(lock.lock()?))?;
    let folder = workspace.root.join("bench/rival");
    let [_, python] = LANGUAGES;
    let rival = Language {
        name: "rival",
        ..python
    };
    let tools = tools(&rival, &folder, &files(&folder)?, &cache)?;
    Ok(tools.join(SITE_PACKAGES))
}

/// The component of `folder`: from the cache, or built into it.
fn component(language: &Language, folder: &Path, wit: &Path, cache: &Path) -> Result<PathBuf> {
    let manifest = format!("{}.toml", language.name);
    let mut source = files(folder)?;
    source.remove(&manifest);
    let contract = files(wit)?;
    let name = format!(
        "{}-{}.wasm",
        language.name,
        key(language, &source, &contract)
    );
    let wasm = cache.join(name);
    if !wasm.is_file() {
        let tools = tools(language, folder, &source, cache)?;
        let message = format!("building {}.wasm", language.name);
        step::wait(&message, || compile(language, &tools, &source, wit, &wasm))?;
        prune(cache, language.name)?;
    }
    Ok(wasm)
}

/// Compiles in a folder of its own and moves the result to `wasm` when it is whole.
fn compile(
    language: &Language,
    tools: &Path,
    source: &Files,
    wit: &Path,
    wasm: &Path,
) -> Result<()> {
    let cache = wasm.parent().context("the cache is a folder")?;
    let work = tempfile::tempdir_in(cache)?;
    let copy = work.path().join("source");
    fs::create_dir(&copy)?;
    for (name, bytes) in source {
        fs::write(copy.join(name), bytes)?;
    }
    let out = work.path().join("component.wasm");
    step::output(&mut (language.compile)(&Job {
        tools,
        wit,
        source: &copy,
        out: &out,
    }))?;
    Ok(fs::rename(out, wasm)?)
}

/// The folder with the pinned tools, installed if they are not there. It appears only when it is
/// complete.
fn tools(language: &Language, folder: &Path, source: &Files, cache: &Path) -> Result<PathBuf> {
    let pins = source
        .get(language.pins)
        .with_context(|| format!("{} lacks {}", folder.display(), language.pins))?;
    // Some of these packages are native programs.
    let machine = (std::env::consts::OS, std::env::consts::ARCH);
    let tools = cache.join(format!(
        "{}-tools-{}",
        language.name,
        digest(&(pins, machine))
    ));
    if !tools.is_dir() {
        let work = tempfile::tempdir_in(cache)?;
        let message = format!("installing the tools for {}", language.name);
        step::wait(&message, || {
            (language.install)(&folder.join(language.pins), work.path())
        })?;
        fs::rename(work.keep(), &tools)?;
    }
    Ok(tools)
}

fn install_javascript(pins: &Path, tools: &Path) -> Result<()> {
    require(
        "node",
        "Node.js 20 or newer (on Debian: apt-get install nodejs)",
    )?;
    require("npm", "npm (on Debian: apt-get install npm)")?;
    fs::copy(pins, tools.join("package.json"))?;
    let mut npm = Command::new("npm");
    npm.args([
        "install",
        "--no-audit",
        "--no-fund",
        "--no-package-lock",
        "--ignore-scripts",
    ])
    .current_dir(tools);
    step::output(&mut npm).map(drop)
}

fn compile_javascript(job: &Job) -> Command {
    let mut componentize = Command::new(job.tools.join("node_modules/.bin/componentize-qjs"));
    componentize
        .arg("--js")
        .arg(job.source.join("agent.js"))
        .arg("--wit")
        .arg(job.wit)
        // Without `async` the runtime needs no more of a host than WASI 0.2.
        .args(["--world", "agent", "--sync", "--output"])
        .arg(job.out);
    componentize
}

fn install_python(pins: &Path, tools: &Path) -> Result<()> {
    require(
        "python3",
        "Python 3.9 or newer (on Debian: apt-get install python3 python3-venv)",
    )?;
    let scratch = tempfile::tempdir()?;
    let mut pip = pip(scratch.path())?;
    pip.args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
    ])
    .arg("--target")
    .arg(tools.join(SITE_PACKAGES))
    .arg("--requirement")
    .arg(pins);
    step::output(&mut pip).map(drop)
}

/// A pip: of a virtual environment in `scratch`, or the system's where Debian left out what it
/// takes to make one.
fn pip(scratch: &Path) -> Result<Command> {
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv"]).arg(scratch);
    if step::output(&mut venv).is_ok() {
        return Ok(python(scratch.join("bin/python"), ["-m", "pip"]));
    }
    if step::output(python("python3", ["-m", "pip"]).arg("--version")).is_ok() {
        return Ok(python("python3", ["-m", "pip"]));
    }
    bail!("python3 has neither venv nor pip: install one (on Debian: apt-get install python3-venv)")
}

fn compile_python(job: &Job) -> Command {
    let start = "import sys, componentize_py; sys.exit(componentize_py.script())";
    let mut componentize = python("python3", ["-c", start]);
    componentize
        .arg("--quiet")
        .arg("--wit-path")
        .arg(job.wit)
        .args(["--world", "agent", "componentize", "--stub-wasi", "--python-path"])
        .arg(job.source)
        .args(["app", "--output"])
        .arg(job.out)
        .env("PYTHONPATH", job.tools.join(SITE_PACKAGES))
        // It looks here for packages to put in, and otherwise in the user's own.
        .env("VIRTUAL_ENV", job.tools);
    componentize
}

fn python<const N: usize>(program: impl AsRef<OsStr>, args: [&str; N]) -> Command {
    let mut python = Command::new(program);
    python.args(args);
    python
}

/// Fails with what to install if `program` does not run.
fn require(program: &str, package: &str) -> Result<()> {
    step::output(Command::new(program).arg("--version"))
        .map(drop)
        .with_context(|| format!("it is built with `{program}`: install {package}"))
}

/// The files that lie in `folder`. What tools run by hand leave there are folders.
pub(crate) fn files(folder: &Path) -> Result<Files> {
    let read = || {
        let mut files = Files::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                let name = entry.file_name().to_string_lossy().into_owned();
                files.insert(name, fs::read(entry.path())?);
            }
        }
        Ok::<_, std::io::Error>(files)
    };
    read().with_context(|| format!("reading {}", folder.display()))
}

/// Changes with the source, the pinned tools, the contract and how the compiler is called.
fn key(language: &Language, source: &Files, contract: &Files) -> String {
    let [tools, wit, from, out] = ["tools", "wit", "source", "out"].map(Path::new);
    let command = (language.compile)(&Job {
        tools,
        wit,
        source: from,
        out,
    });
    digest(&(source, contract, command.get_args().collect::<Vec<_>>()))
}

/// Not stable between versions of Rust, which costs a rebuild and no more.
fn digest(value: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Removes all but the latest builds of one guest.
fn prune(cache: &Path, name: &str) -> Result<()> {
    let mut builds: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(cache)? {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        if file.starts_with(&format!("{name}-")) && file.ends_with(".wasm") {
            builds.push((fs::metadata(&path)?.modified()?, path));
        }
    }
    builds.sort();
    for (_, path) in builds.iter().rev().skip(BUILDS_KEPT) {
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_files(content: &str) -> Files {
        Files::from([("a".to_owned(), content.as_bytes().to_vec())])
    }

    #[test]
    fn the_key_changes_with_everything_that_goes_in() {
        let [javascript, python] = &LANGUAGES;
        let (one, two) = (some_files("one"), some_files("two"));
        let key_of_one = key(javascript, &one, &one);
        assert_eq!(key_of_one, key(javascript, &some_files("one"), &one));
        assert_ne!(key_of_one, key(javascript, &two, &one), "source");
        assert_ne!(key_of_one, key(javascript, &one, &two), "contract");
        assert_ne!(key_of_one, key(python, &one, &one), "compiler");
    }

    #[test]
    fn only_files_count() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "one").unwrap();
        fs::create_dir(dir.path().join("node_modules")).unwrap();
        assert_eq!(files(dir.path()).unwrap(), some_files("one"));
    }

    #[test]
    fn a_cached_component_is_not_built_again() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, wit, cache) = (
            dir.path().join("guest"),
            dir.path().join("wit"),
            dir.path().join("cache"),
        );
        for each in [&folder, &wit, &cache] {
            fs::create_dir(each).unwrap();
        }
        fs::write(folder.join("a"), "one").unwrap();
        let [javascript, _] = &LANGUAGES;
        let name = key(javascript, &some_files("one"), &Files::new());
        let cached = cache.join(format!("javascript-{name}.wasm"));
        fs::write(&cached, "").unwrap();

        assert_eq!(
            component(javascript, &folder, &wit, &cache).unwrap(),
            cached
        );
        fs::write(folder.join("javascript.toml"), "").unwrap();
        assert_eq!(
            component(javascript, &folder, &wit, &cache).unwrap(),
            cached,
            "manifest"
        );
        fs::write(folder.join("a"), "two").unwrap();
        let error = component(javascript, &folder, &wit, &cache).unwrap_err();
        assert!(
            error.to_string().contains("lacks package.json"),
            "{error:#}"
        );
    }

    #[test]
    fn old_builds_leave_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        for index in 0..BUILDS_KEPT + 2 {
            fs::write(dir.path().join(format!("python-{index}.wasm")), "").unwrap();
        }
        fs::write(dir.path().join("javascript-0.wasm"), "").unwrap();
        prune(dir.path(), "python").unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), BUILDS_KEPT + 1);
    }
}
