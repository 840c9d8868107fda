//! Starting and stopping the real program.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::fixtures::{self, component};

/// The administrator's token of every test host.
const ADMIN_TOKEN: &str = "test-admin-token";

/// How long anything may take that a test waits for. Generous: machines are
/// busy, and no test measures time with it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The program.
pub fn anchorhold() -> PathBuf {
    std::env::var_os("ANCHORHOLD_BIN").map_or_else(
        || fixtures::target_dir().join("debug/anchorhold"),
        PathBuf::from,
    )
}

/// A host that is to be started.
pub struct HostBuilder {
    folder: Arc<TempDir>,
    config: toml::Table,
    environment: Vec<(String, String)>,
    wrapper: Vec<String>,
}

/// A running host. It is killed when it is dropped.
pub struct TestHost {
    pub url: String,
    pub(crate) client: reqwest::Client,
    folder: Arc<TempDir>,
    child: Child,
    stderr: Arc<Mutex<String>>,
    environment: Vec<(String, String)>,
    wrapper: Vec<String>,
}

impl TestHost {
    /// A host with an empty data folder, an empty plugins folder and default
    /// settings.
    #[expect(clippy::new_ret_no_self, reason = "it reads as a sentence")]
    pub fn new() -> HostBuilder {
        let folder = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        std::fs::create_dir(folder.path().join("plugins")).expect("a plugins folder");
        HostBuilder {
            folder,
            config: toml::Table::new(),
            environment: Vec::new(),
            wrapper: Vec::new(),
        }
    }

    /// The watched folder.
    pub fn plugins_dir(&self) -> PathBuf {
        self.folder.path().join("plugins")
    }

    /// The data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What the host wrote to standard error so far.
    pub fn log(&self) -> String {
        self.stderr.lock().expect("no panic").clone()
    }

    /// A client that speaks as the administrator.
    pub fn client(&self) -> reqwest::Client {
        self.client.clone()
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// The CLI of the program, aimed at this host.
    pub fn cli(&self, args: &[&str]) -> Command {
        let mut command = Command::new(anchorhold());
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("ANCHORHOLD_URL", &self.url)
            .env("ANCHORHOLD_TOKEN", ADMIN_TOKEN)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs the CLI; answers exit code, standard output and error.
    pub async fn run_cli(&self, args: &[&str]) -> (i32, String, String) {
        let output = tokio::time::timeout(PATIENCE, self.cli(args).output())
            .await
            .expect("it ends")
            .expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        (
            output.status.code().unwrap_or(-1),
            text(output.stdout),
            text(output.stderr),
        )
    }

    /// Kills the process as a crash would and answers what starts it again on
    /// the same folder.
    pub async fn crash(mut self) -> HostBuilder {
        self.child.kill().await.expect("it is killed");
        self.builder()
    }

    /// Waits until the process has ended by itself and answers what starts it
    /// again.
    pub async fn died(mut self) -> HostBuilder {
        tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("it lives: {}", self.log()))
            .expect("it ends");
        self.builder()
    }

    /// Stops the process by SIGTERM, waits for its end, and answers what starts
    /// it again.
    pub async fn stop(mut self) -> HostBuilder {
        let pid = self.pid().to_string();
        let killed = Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await
            .expect("kill runs");
        assert!(killed.success());
        let status = tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .expect("it stops")
            .expect("it ends");
        assert!(status.success(), "{status}: {}", self.log());
        self.builder()
    }

    /// What starts the same again.
    pub fn builder(&self) -> HostBuilder {
        let text = std::fs::read_to_string(self.folder.path().join("anchorhold.toml"))
            .expect("its configuration");
        HostBuilder {
            folder: Arc::clone(&self.folder),
            config: toml::from_str(&text).expect("TOML"),
            environment: self.environment.clone(),
            wrapper: self.wrapper.clone(),
        }
    }
}

impl HostBuilder {
    /// Puts a built component into the plugins folder, with its manifest.
    pub fn plugin(self, name: &str) -> Self {
        self.plugin_as(name, name)
    }

    /// As `plugin`, under another name.
    pub fn plugin_as(self, name: &str, agent: &str) -> Self {
        match std::fs::read_to_string(fixtures::guests_dir().join(format!("{name}.toml"))) {
            Ok(manifest) if fixtures::is_foreign(name) => self.manifest(agent, &manifest),
            _ => self,
        }
        .wasm(agent, &component(name))
    }

    /// Puts bytes into the plugins folder.
    pub fn wasm(self, agent: &str, bytes: &[u8]) -> Self {
        std::fs::write(
            self.folder
                .path()
                .join("plugins")
                .join(format!("{agent}.wasm")),
            bytes,
        )
        .expect("it is written");
        self
    }

    /// Puts a manifest beside a component.
    pub fn manifest(self, agent: &str, text: &str) -> Self {
        std::fs::write(
            self.folder
                .path()
                .join("plugins")
                .join(format!("{agent}.toml")),
            text,
        )
        .expect("it is written");
        self
    }

    /// Sets a key of the configuration, for example `limits.fuel`.
    pub fn set(mut self, key: &str, value: impl Into<toml::Value>) -> Self {
        let mut table = &mut self.config;
        let (sections, last) = key.rsplit_once('.').unwrap_or(("", key));
        for section in sections.split('.').filter(|section| !section.is_empty()) {
            let entry = table
                .entry(section)
                .or_insert_with(|| toml::Value::Table(toml::Table::new()));
            table = entry.as_table_mut().expect("a section");
        }
        table.insert(last.to_owned(), value.into());
        self
    }

    /// Sets a limit of every turn.
    pub fn limit(self, name: &str, value: i64) -> Self {
        self.set(&format!("limits.{name}"), value)
    }

    /// Grants these by default and nothing else.
    pub fn grants(self, grants: &[&str]) -> Self {
        let list: Vec<toml::Value> = grants
            .iter()
            .map(|grant| toml::Value::from(*grant))
            .collect();
        self.set("registry.default_grants", list)
    }

    /// Answers model calls from this script.
    pub fn script(self, text: &str) -> Self {
        let path = self.folder.path().join("script.toml");
        std::fs::write(&path, text).expect("it is written");
        self.set("llm.script", path.to_str().expect("UTF-8"))
    }

    /// Sets a variable of the host's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes a variable out of it again.
    pub fn unset(mut self, name: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self
    }

    /// Lets another program start the host: the host's own command line is put
    /// behind these words.
    pub fn started_by(mut self, words: &[&str]) -> Self {
        self.wrapper = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// The same on a copy of its folders.
    pub fn on_a_copy(self) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["data", "plugins"] {
            let copied = std::process::Command::new("cp")
                .args(["-r", "--"])
                .arg(self.folder.path().join(name))
                .arg(folder.path())
                .status();
            assert!(copied.expect("cp runs").success());
        }
        Self {
            folder: Arc::new(folder),
            ..self
        }
    }

    /// The folder that holds everything.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self) -> Command {
        let config = self.folder.path().join("anchorhold.toml");
        std::fs::write(&config, toml::to_string(&self.config).expect("TOML"))
            .expect("it is written");
        let program = anchorhold();
        let mut words = self.wrapper.iter().map(String::as_str);
        let mut command = match words.next() {
            Some(first) => Command::new(first),
            None => Command::new(&program),
        };
        if !self.wrapper.is_empty() {
            command.args(words).arg(&program);
        }
        command
            .args(["--config", config.to_str().expect("UTF-8"), "serve"])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("ANCHORHOLD_SERVER__LISTEN", "127.0.0.1:0")
            .env(
                "ANCHORHOLD_STORAGE__DATA_DIR",
                self.folder.path().join("data"),
            )
            .env(
                "ANCHORHOLD_REGISTRY__PLUGINS_DIR",
                self.folder.path().join("plugins"),
            )
            .env("ANCHORHOLD_ADMIN_TOKEN", ADMIN_TOKEN)
            .env("RUST_BACKTRACE", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Starts a host that is expected to refuse; answers exit code and standard
    /// error.
    pub async fn start_fails(self) -> (i32, String) {
        let output = tokio::time::timeout(PATIENCE, self.command().output())
            .await
            .expect("it ends")
            .expect("it runs");
        (
            output.status.code().unwrap_or(-1),
            String::from_utf8(output.stderr).expect("UTF-8"),
        )
    }

    /// Starts the host and waits until every plugin has been looked at.
    pub async fn start(self) -> TestHost {
        let expected = std::fs::read_dir(self.folder.path().join("plugins"))
            .expect("a folder")
            .flatten()
            .filter(|entry| {
                entry
                    .path()
                    .extension()
                    .is_some_and(|extension| extension == "wasm")
            })
            .count();
        let host = self.start_now().await;
        host.wait_for("the plugins", async || {
            let agents = host.get("/api/v1/agents?limit=500").await;
            let count = agents.body["items"].as_array().map_or(0, Vec::len);
            (count >= expected).then_some(())
        })
        .await;
        host
    }

    /// Starts the host and waits only until it listens.
    pub async fn start_now(self) -> TestHost {
        let mut child = self
            .command()
            .spawn()
            .expect("the program starts; build it with cargo build");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let stderr = Arc::new(Mutex::new(String::new()));
        let mut url = None;
        while url.is_none() {
            let line = tokio::time::timeout(PATIENCE, lines.next_line())
                .await
                .expect("a line")
                .expect("UTF-8");
            let Some(line) = line else {
                panic!("the host ended: {}", stderr.lock().expect("no panic"));
            };
            url = line
                .split_once("Serving on ")
                .map(|(_, url)| url.trim().to_owned());
            keep(&stderr, &line);
        }
        let copy = Arc::clone(&stderr);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                keep(&copy, &line);
            }
        });
        TestHost {
            url: url.expect("it was found"),
            client: client(),
            folder: self.folder,
            child,
            stderr,
            environment: self.environment,
            wrapper: self.wrapper,
        }
    }
}

fn keep(stderr: &Mutex<String>, line: &str) {
    let mut text = stderr.lock().expect("no panic");
    // What a test looks at is at the beginning; a flood must not fill memory.
    if text.len() < 8 << 20 {
        text.push_str(line);
        text.push('\n');
    }
}

fn client() -> reqwest::Client {
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert(
        "authorization",
        format!("Bearer {ADMIN_TOKEN}").parse().expect("a header"),
    );
    reqwest::Client::builder()
        .default_headers(headers)
        .timeout(PATIENCE)
        .no_proxy()
        .build()
        .expect("a client")
}

impl TestHost {
    /// Waits until `probe` gives something, looking again and again.
    pub async fn wait_for<T>(&self, what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
        let start = std::time::Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{what} did not come; the host's log:\n{}", self.log());
    }

    /// Waits until an agent answers in the version `version` or a later one.
    pub async fn wait_for_version(&self, agent: &str, version: i64) -> Value {
        self.wait_for(&format!("version {version} of {agent}"), async || {
            let found = self.get(&format!("/api/v1/agents/{agent}")).await.body;
            (found["version"].as_i64() >= Some(version)).then_some(found)
        })
        .await
    }
}
