//! What is measured: the host, and apps of Bolt.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hyper::StatusCode;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use super::fake::Fake;
use crate::client::Client;
use crate::host::Host;
use crate::place::Place;
use crate::stats::Samples;

/// What the model of the host does.
const SCRIPT: &str = "[[rules]]\nwhen = { last = { contains = [\"slow\"] } }\n\
                      reply = { text = \"heard\", delay_ms = 60000 }\n[fallback]\ntext = \"heard\"\n";

/// How long a turn may take to end, and how often it is looked at.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(1);

/// How long until the app listens after it said that it is ready.
const A_MOMENT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    BoltPython,
    BoltJavaScript,
    Host,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::BoltPython => "baseline: Bolt for Python",
            Self::BoltJavaScript => "Bolt for JavaScript",
            Self::Host => "the host",
        }
    }
}

/// A running app; killed when it is dropped.
pub(super) enum App {
    Host(Host),
    Bolt { _child: Child },
}

impl App {
    /// Starts it, and the fake Slack that it is an app of.
    pub(super) async fn start(
        place: &Place,
        packages: &Path,
        kind: Kind,
        is_socket: bool,
    ) -> Result<(Fake, Self)> {
        let slack = format!("127.0.0.1:{}", free_port().await?);
        if kind == Kind::Host {
            // It asks for Slack until that is there.
            let host = Host::start(place, &settings(place, &slack, is_socket)?).await?;
            host.wait_for("probe", "generate quick").await?;
            let fake = Fake::start(&slack, &host.address, is_socket).await?;
            fake.wait_for_app(is_socket).await?;
            return Ok((fake, Self::Host(host)));
        }
        let port = free_port().await?;
        let fake = Fake::start(&slack, &format!("127.0.0.1:{port}"), is_socket).await?;
        let child = bolt(packages, kind, &slack, (!is_socket).then_some(port)).await?;
        fake.wait_for_app(is_socket).await?;
        tokio::time::sleep(A_MOMENT).await;
        Ok((fake, Self::Bolt { _child: child }))
    }
}

/// How soon turns end when a person presses Slack's own Stop, one after the other: from the moment
/// at which the fake Slack is told until the host says that the turn is cancelled.
pub(super) async fn stop(fake: &Fake, host: &Host, threads: &[String]) -> Result<Samples> {
    let mut client = Client::connect(&host.address).await?;
    let mut samples = Samples::default();
    for (before, thread) in threads.iter().enumerate() {
        let begun = Instant::now();
        fake.stop(thread).await?;
        while cancelled(&mut client).await? <= before {
            ensure!(begun.elapsed() < PATIENCE, "a turn goes on after Stop");
            tokio::time::sleep(LOOK).await;
        }
        samples.push(begun.elapsed());
    }
    Ok(samples)
}

/// How many turns are cancelled.
async fn cancelled(client: &mut Client) -> Result<usize> {
    let (status, answer) = client
        .get("/api/v1/turns?status=cancelled&limit=200")
        .await?;
    ensure!(status == StatusCode::OK, "the turns are answered {status}");
    let answer: Value = serde_json::from_slice(&answer)?;
    let items = answer["items"].as_array();
    Ok(items.context("a list of turns")?.len())
}

fn settings(place: &Place, slack: &str, is_socket: bool) -> Result<String> {
    let script = place.path("script.toml");
    std::fs::write(&script, SCRIPT)?;
    let way = if is_socket {
        "app_token = \"xapp-sim-app\""
    } else {
        "signing_secret = \"sim-signing-secret\""
    };
    Ok(format!(
        "[llm]\nscript = {script:?}\n[slack]\nagent = \"probe\"\nbot_token = \"xoxb-sim-bot\"\n{way}\n\
         api_base_url = \"http://{slack}/api\"\n"
    ))
}

/// An app of `bench/peers`; `packages` has Python's packages in `python` and those of JavaScript
/// in `javascript`.
async fn bolt(packages: &Path, kind: Kind, slack: &str, port: Option<u16>) -> Result<Child> {
    let peers = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers");
    let (program, script) = match kind {
        Kind::BoltPython => ("python3", "bolt_app.py"),
        Kind::BoltJavaScript | Kind::Host => ("node", "bolt_app.cjs"),
    };
    let mut command = Command::new(program);
    command
        .arg(peers.join(script))
        .env("PYTHONPATH", packages.join("python"))
        .env("NODE_PATH", packages.join("javascript/node_modules"))
        .env("SLACK_API", format!("http://{slack}/api"));
    if let Some(port) = port {
        command.env("PORT", port.to_string());
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    match first_line(&mut child).await?.as_deref() {
        Some("ready") => Ok(child),
        other => bail!("{script} did not start: {other:?}"),
    }
}

/// What a program says first. It is listened to further on, or it could say no more.
pub(super) async fn first_line(child: &mut Child) -> Result<Option<String>> {
    let said = child.stdout.take().context("it is piped")?;
    let mut lines = BufReader::new(said).lines();
    let first = lines.next_line().await?;
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok(first)
}

async fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    Ok(listener.local_addr()?.port())
}
