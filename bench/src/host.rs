//! A host in a process of its own: the program's own `serve`, compiled into this binary.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anchorhold::cli::Cli;
use anyhow::{Context, Result, bail};
use clap::Parser;
use hyper::StatusCode;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::client::Client;
use crate::place::Place;

/// How long a host may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(120);

/// Becomes the host.
pub(crate) fn serve(config: PathBuf) -> Result<()> {
    let arguments = [
        "anchorhold".into(),
        "serve".into(),
        "--config".into(),
        config.into_os_string(),
    ];
    Cli::try_parse_from(arguments)?.run()
}

/// Becomes the fake Slack.
pub(crate) fn simulate(options: Vec<OsString>) -> Result<()> {
    let command = ["anchorhold", "slack", "simulate"].map(OsString::from);
    Cli::try_parse_from(command.into_iter().chain(options))?.run()
}

/// A running host; killed when it is dropped.
pub(crate) struct Host {
    pub(crate) address: String,
    /// From the start of the process until it was ready.
    pub(crate) started_in: Duration,
    child: Child,
}

impl Host {
    pub(crate) async fn start(place: &Place, more: &str) -> Result<Self> {
        let config = place.configure(more)?;
        let started = Instant::now();
        let mut child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg(config)
            .current_dir(place.path(""))
            .env_clear()
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stderr = child.stderr.take().context("it is piped")?;
        let mut lines = BufReader::new(stderr).lines();
        let mut said = String::new();
        let address = loop {
            let Some(line) = lines.next_line().await? else {
                bail!("the host did not start: {said}");
            };
            if let Some(address) = line.strip_prefix("Serving on http://") {
                break address.to_owned();
            }
            said.push_str(&line);
        };
        // Read on, or the host would wait for room in the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        wait_until_ready(&address).await?;
        Ok(Self {
            address,
            started_in: started.elapsed(),
            child,
        })
    }

    /// Kills it and waits for its end.
    pub(crate) async fn end(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        self.child.id().context("the host has ended")
    }

    /// Waits until an agent answers.
    pub(crate) async fn wait_for(&self, agent: &str, text: &str) -> Result<()> {
        wait_for(&self.address, agent, text).await
    }

    /// The value of a metric without labels.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64> {
        let (_, text) = Client::connect(&self.address)
            .await?
            .get("/metrics")
            .await?;
        let text = String::from_utf8_lossy(&text);
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(Ok(0.0), |value| Ok(value.trim().parse()?))
    }
}

/// Waits until an agent answers, which its component's compilation delays at first.
pub(crate) async fn wait_for(address: &str, agent: &str, text: &str) -> Result<()> {
    let mut client = Client::connect(address).await?;
    let begun = Instant::now();
    loop {
        match client.say(agent, text).await {
            Ok(_) => return Ok(()),
            Err(error) if begun.elapsed() > PATIENCE => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn wait_until_ready(address: &str) -> Result<()> {
    let mut client = Client::connect(address).await?;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if client.get("/health/ready").await?.0 == StatusCode::OK {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    bail!("the host is not ready")
}
