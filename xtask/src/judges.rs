//! `cargo xtask judges`: other people's clients and suites, in pinned versions, against a host in a
//! temporary folder. The scripts in `tests/judges/` print a line for each check; their exit code
//! says whether all passed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::foreign::{self, Tools};
use crate::workspace::Workspace;
use crate::{guests, step, up, wasm_target};

/// By name, with its script.
const JUDGES: [(&str, &str); 11] = [
    ("openai", "openai_sdk.py"),
    ("mcp", "mcp_client.py"),
    ("slack", "slack_client.py"),
    ("slack_host", "slack_host.py"),
    ("agents", "agents_sdk.py"),
    ("ai", "ai_sdk.mjs"),
    ("bolt", "bolt.mjs"),
    ("slack_types", "slack_types.mjs"),
    ("emulate", "emulate.mjs"),
    ("conformance", "conformance.mjs"),
    ("aimock", "aimock.mjs"),
];

/// How many of them `cargo xtask test` runs: those from the beginning.
const QUICK: usize = 4;

/// Agents of the host that is judged.
const AGENTS: [&str; 3] = ["assistant", "hog", "probe"];

const TOKEN: &str = "token-of-the-judges";

const PATIENCE: Duration = Duration::from_secs(300);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Which to run; all if none is named.
    #[arg(value_parser = JUDGES.map(|(name, _)| name))]
    names: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    step::step("wasm target", || wasm_target::ensure(workspace))?;
    guests::build_rust(workspace)?;
    up::build_host(workspace)?;
    let wanted = |name: &str| options.names.is_empty() || options.names.iter().any(|it| it == name);
    let chosen: Vec<_> = JUDGES
        .into_iter()
        .filter(|(name, _)| wanted(name))
        .collect();
    judge(workspace, &chosen)
}

/// The quick ones; host and guests are built.
pub(crate) fn quick(workspace: &Workspace) -> Result<()> {
    judge(workspace, &JUDGES[..QUICK])
}

fn judge(workspace: &Workspace, judges: &[(&str, &str)]) -> Result<()> {
    let needs_node = judges.iter().any(|(_, script)| script.ends_with(".mjs"));
    let tools = step::step("judges' packages", || {
        foreign::install_judges(workspace, needs_node)
    })?;
    let court = Court::open(workspace, &tools)?;
    let failed: Vec<_> = judges
        .iter()
        .filter(|(name, script)| {
            let result = step::step(name, || court.hear(script, &tools));
            result.inspect_err(|error| eprintln!("{error:#}")).is_err()
        })
        .map(|(name, _)| *name)
        .collect();
    if !failed.is_empty() {
        bail!("not all checks passed: {}", failed.join(", "));
    }
    Ok(())
}

/// A host that serves, and the scripts beside it. The host ends with it.
struct Court {
    folder: TempDir,
    host: Child,
    url: String,
    upstream: u16,
    program: PathBuf,
}

impl Court {
    fn open(workspace: &Workspace, tools: &Tools) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let upstream = free_port()?;
        furnish(folder.path(), workspace, tools, upstream)?;
        let mut host = Command::new(workspace.host_binary())
            .args(["--config", "host.toml", "serve"])
            .current_dir(&folder)
            .env("ANCHORHOLD_SERVER__LISTEN", "127.0.0.1:0")
            .env("ANCHORHOLD_STORAGE__DATA_DIR", folder.path().join("data"))
            .env(
                "ANCHORHOLD_REGISTRY__PLUGINS_DIR",
                folder.path().join("plugins"),
            )
            .env("ANCHORHOLD_ADMIN_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting the host")?;
        let log = host.stderr.take().context("the host has a log")?;
        let mut court = Self {
            folder,
            host,
            url: String::new(),
            upstream,
            program: workspace.host_binary(),
        };
        court.url = ready(log)?;
        Ok(court)
    }

    fn hear(&self, script: &str, tools: &Tools) -> Result<()> {
        let program = if script.ends_with(".py") {
            "python3"
        } else {
            "node"
        };
        let mut command = Command::new(program);
        command
            .arg(script)
            .current_dir(&self.folder)
            .env("PYTHONPATH", &tools.python)
            .env("PYTHONWARNINGS", "ignore")
            .env("NO_PROXY", "127.0.0.1")
            .env("JUDGE_URL", &self.url)
            .env("JUDGE_TOKEN", TOKEN)
            .env("JUDGE_PROGRAM", &self.program)
            .env("JUDGE_UPSTREAM_PORT", self.upstream.to_string());
        step::run_within(PATIENCE, &mut command)
    }
}

impl Drop for Court {
    fn drop(&mut self) {
        let _ = self.host.kill();
        let _ = self.host.wait();
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Puts scripts, configuration, packages and agents where host and judges find them.
fn furnish(folder: &Path, workspace: &Workspace, tools: &Tools, upstream: u16) -> Result<()> {
    let source = workspace.root.join("tests/judges");
    for (name, bytes) in foreign::files(&source)? {
        fs::write(folder.join(name), bytes)?;
    }
    let config = fs::read_to_string(folder.join("host.toml"))?;
    let config = config.replace("UPSTREAM", &upstream.to_string());
    fs::write(folder.join("host.toml"), config)?;
    if let Some(javascript) = &tools.javascript {
        symlink(javascript.join("node_modules"), folder.join("node_modules"))?;
    }
    let plugins = folder.join("plugins");
    fs::create_dir(&plugins)?;
    for agent in AGENTS {
        let manifest = format!("{agent}.toml");
        let own = source.join(&manifest);
        let manifest_of_guest = workspace.guests_dir().join(&manifest);
        let from = if own.is_file() {
            own
        } else {
            manifest_of_guest
        };
        fs::copy(from, plugins.join(&manifest))?;
        let wasm = format!("{agent}.wasm");
        fs::copy(workspace.guests_dir().join(&wasm), plugins.join(&wasm))?;
    }
    Ok(())
}

/// Waits until the host serves and every agent answers; where it serves.
fn ready(log: ChildStderr) -> Result<String> {
    let mut lines = BufReader::new(log).lines();
    let mut url = None;
    let mut agents = 0;
    let mut seen = String::new();
    while url.is_none() || agents < AGENTS.len() {
        let Some(line) = lines.next().transpose()? else {
            bail!("the host ended: {seen}");
        };
        if let Some((_, found)) = line.split_once("Serving on ") {
            url = Some(found.trim().to_owned());
        }
        agents += usize::from(line.contains("a file of the plugins folder answers"));
        seen.push_str(&line);
        seen.push('\n');
    }
    // Nobody reads on, and the host must be able to write.
    std::thread::spawn(move || lines.for_each(drop));
    url.context("the host said where it serves")
}
