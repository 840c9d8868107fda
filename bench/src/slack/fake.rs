//! The fake Slack in a process of its own, and what it saw.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::app::first_line;
use crate::client::Client;
use crate::stats::Samples;

/// How long to wait for what is to come.
const PATIENCE: Duration = Duration::from_secs(90);

/// Who talks to the app, and where.
const PERSON: &str = "U0ALICE";
const CHANNEL: &str = "D0ALICE";

/// How often sockets are looked at.
const LOOK: Duration = Duration::from_millis(2);

/// Killed when it is dropped.
pub(super) struct Fake {
    address: String,
    control: Mutex<Client>,
    _child: Child,
}

impl Fake {
    /// Starts it at `address`; it posts to the host at `host`, or waits for sockets.
    pub(super) async fn start(address: &str, host: &str, is_socket: bool) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["simulate", "--listen", address]);
        command.args(["--host-url", &format!("http://{host}")]);
        if is_socket {
            command.arg("--socket");
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let line = first_line(&mut child).await?;
        line.context("the fake Slack did not start")?;
        Ok(Self {
            control: Mutex::new(Client::connect(address).await?),
            address: address.to_owned(),
            _child: child,
        })
    }

    /// Somebody says something to the app; answers the thread that it begins.
    pub(super) async fn say(&self, text: &str) -> Result<String> {
        let said = json!({"do": "say", "user": PERSON, "channel": CHANNEL, "text": text});
        let answer = self.act(said).await?;
        let ts = answer["ts"].as_str();
        Ok(ts.context("a message has a time")?.to_owned())
    }

    /// The person presses Stop.
    pub(super) async fn stop(&self, thread: &str) -> Result<()> {
        let stop = json!({"do": "stop", "user": PERSON, "channel": CHANNEL, "thread_ts": thread});
        self.act(stop).await.map(drop)
    }

    /// Sockets are to be replaced.
    pub(super) async fn refresh(&self) -> Result<()> {
        let refresh = json!({"do": "disconnect", "reason": "refresh_requested"});
        self.act(refresh).await.map(drop)
    }

    async fn act(&self, action: Value) -> Result<Value> {
        let mut control = self.control.lock().await;
        let (status, answer) = control.post("/sim/act", action.to_string()).await?;
        if status != StatusCode::OK {
            bail!("{}", String::from_utf8_lossy(&answer));
        }
        Ok(serde_json::from_slice(&answer)?)
    }

    /// Waits until the app called `auth.test` or opened a socket: then it listens.
    pub(super) async fn wait_for_app(&self, is_socket: bool) -> Result<()> {
        let list = if is_socket {
            "sockets?"
        } else {
            "calls?method=auth.test&"
        };
        self.list(list, 1).await.map(drop)
    }

    /// How soon messages were acknowledged, when so many are, and how many of them not at the
    /// first try.
    pub(super) async fn acknowledged(&self, count: usize) -> Result<(Samples, usize)> {
        let deliveries = self
            .list("deliveries?name=message&state=acked&", count)
            .await?;
        let mut samples = Samples::default();
        let mut late = 0;
        for delivery in &deliveries {
            let attempts = delivery["attempts"].as_array().context("attempts")?;
            late += usize::from(attempts.len() > 1);
            let ms = attempts.first().and_then(|it| it["latency_ms"].as_f64());
            samples.push(Duration::from_secs_f64(ms.context("a latency")? / 1e3));
        }
        Ok((samples, late))
    }

    async fn list(&self, list: &str, count: usize) -> Result<Vec<Value>> {
        let path = format!("/sim/{list}count={count}&wait_ms={}", PATIENCE.as_millis());
        let (_, answer) = Client::connect(&self.address).await?.get(&path).await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        if answer["complete"] != true {
            bail!("{list} has not {count} after {} s", PATIENCE.as_secs());
        }
        let mut lists = answer.as_object().into_iter().flatten();
        let found = lists.find_map(|(_, list)| list.as_array());
        Ok(found.cloned().unwrap_or_default())
    }

    /// Looks at the open sockets until it is ended.
    pub(super) fn watch_sockets(&self) -> Watch {
        let is_over = Arc::new(AtomicBool::new(false));
        let (address, stop) = (self.address.clone(), Arc::clone(&is_over));
        let watcher = tokio::spawn(async move {
            let mut control = Client::connect(&address).await?;
            let (mut longest, mut last) = (Duration::ZERO, Instant::now());
            while !stop.load(Ordering::Relaxed) {
                let (_, answer) = control.get("/sim/sockets").await?;
                let answer: Value = serde_json::from_slice(&answer)?;
                let open = answer["sockets"].as_array().map_or(0, Vec::len);
                if open > 0 {
                    last = Instant::now();
                }
                longest = longest.max(if open == 0 {
                    last.elapsed()
                } else {
                    Duration::ZERO
                });
                tokio::time::sleep(LOOK).await;
            }
            Ok(longest)
        });
        Watch { is_over, watcher }
    }
}

/// Somebody who looks at sockets.
pub(super) struct Watch {
    is_over: Arc<AtomicBool>,
    watcher: JoinHandle<Result<Duration>>,
}

impl Watch {
    /// The longest time without one.
    pub(super) async fn end(self) -> Result<Duration> {
        self.is_over.store(true, Ordering::Relaxed);
        self.watcher.await?
    }
}
