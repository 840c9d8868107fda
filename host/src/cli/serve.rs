//! `anchorhold serve`: a host that runs until it is told to stop.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tracing::warn;

use super::globals::{self, CLI_TOKEN_FILE, Setting};
use super::logging::{self, LogFormat};
use super::models;
use crate::app::Host;
use crate::channel::http::{Credentials, Server};
use crate::config::Config;
use crate::killpoint;

/// What is logged unless `ANCHORHOLD_LOG` says otherwise.
const LOG: &str = "info,rusqlite_migration=warn,hyper=warn,wasmtime=warn,cranelift=warn";

/// How long open connections may take to close after everything else has.
const GRACE: Duration = Duration::from_secs(2);

/// What a process ends with that a signal ended.
const INTERRUPTED: i32 = 130;

/// Run a host
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Address and port, instead of [server] listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// How log lines look; without it text on a terminal, else json
    #[arg(long, value_enum)]
    log_format: Option<LogFormat>,
}

impl Serve {
    pub(super) async fn run(self, setting: &Setting) -> Result<()> {
        let mut config = setting.config()?;
        if let Some(listen) = self.listen {
            config.server.listen = listen;
        }
        logging::init(self.log_format, &setting.environment, LOG)?;
        if let Some(at) = setting.environment.get(killpoint::VARIABLE) {
            killpoint::set(at)?;
        }
        let mut signals = Signals::new()?;
        let host = Host::start(config).await?;
        let result = serve(&host, &mut signals).await;
        if result.is_err() {
            host.stop().await;
        }
        result
    }
}

async fn serve(host: &Arc<Host>, signals: &mut Signals) -> Result<()> {
    let (credentials, new_token) = Credentials::prepare(&host.store, &host.config.server).await?;
    let server = Server::bind(Arc::clone(host), credentials).await?;
    let url = server.url()?;
    globals::publish_url(&host.config.storage.data_dir, &url)?;
    introduce(&host.config, &url, new_token.as_ref());
    let mut serving = tokio::spawn(server.serve());
    tokio::select! {
        ended = &mut serving => return ended.context("the HTTP server crashed")?,
        () = signals.next() => {}
    }
    globals::withdraw_url(&host.config.storage.data_dir);
    eprintln!("Stopping; running turns are finished first. Once more quits at once.");
    tokio::select! {
        () = finish(host, serving) => {}
        () = signals.next() => quit(),
    }
    Ok(())
}

/// Lets turns end and their answers go out before anything is closed.
async fn finish(host: &Host, serving: JoinHandle<Result<()>>) {
    host.drain().await;
    if tokio::time::timeout(GRACE, serving).await.is_err() {
        warn!("connections that were still open are cut");
    }
    host.close().await;
}

/// Ends without finishing anything; what was accepted is stored and is taken
/// up at the next start.
fn quit() -> ! {
    std::process::exit(INTERRUPTED)
}

/// Says what runs here and how to talk to it.
fn introduce(config: &Config, url: &str, new_token: Option<&SecretString>) {
    eprintln!("Models");
    for line in models::lines(&config.llm) {
        eprintln!("  {line}");
    }
    if models::only_scripted(&config.llm) {
        eprintln!("{}", indent(models::PLUG_IN));
    }
    eprintln!("Plugins folder  {}", absolute(&config.registry.plugins_dir));
    eprintln!("Data folder     {}", absolute(&config.storage.data_dir));
    eprintln!("Serving on {url}");
    let file = absolute(&config.storage.data_dir.join(CLI_TOKEN_FILE));
    if let Some(token) = new_token {
        eprintln!("Administrator's token, shown this once and kept in {file}:");
        eprintln!("  {}", token.expose_secret());
    }
    eprintln!("Try: {}", chat(&program(), &config.storage.data_dir));
    eprintln!("or:  {}", example(url, &file));
}

/// This program as it was called, so that it is found from another folder too.
fn program() -> String {
    match std::env::args().next() {
        Some(called) if called.contains('/') => absolute(Path::new(&called)),
        _ => "anchorhold".to_owned(),
    }
}

/// What works in a second terminal: the data folder has the token, and says where the host is.
fn chat(program: &str, data_dir: &Path) -> String {
    let (program, data_dir) = (quoted(program), quoted(&absolute(data_dir)));
    format!("ANCHORHOLD_STORAGE__DATA_DIR={data_dir} {program} chat assistant")
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
    match word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

fn example(url: &str, token_file: &str) -> String {
    format!(
        "curl {url}/api/v1/agents/assistant/messages -H \"authorization: Bearer $(cat {})\" \
         --json '{{\"text\": \"Hello\"}}'",
        quoted(token_file)
    )
}

fn indent(text: &str) -> String {
    text.lines()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path)
        .unwrap_or_else(|_| path.to_owned())
        .display()
        .to_string()
}

/// What tells a host to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
