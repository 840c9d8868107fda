//! `race`: calls of a model through the host's chat completions, beside litellm's proxy, which is
//! what many put between their agents and their models: in one run, from one driver, before one provider.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::client::{Load, drive};
use crate::host::Host;
use crate::place::{Place, TOKEN};
use crate::provider::Provider;
use crate::stats::{Samples, ms, ratio, verdict};
use crate::table::Table;

const CONNECTIONS: usize = 16;
const WARM_UP: Duration = Duration::from_secs(3);
const TIME: Duration = Duration::from_secs(10);
/// Each runs so often, in turn.
const ROUNDS: usize = 2;
const GOAL: f64 = 8.0;

/// As many as the machine has processors, as its makers advise.
const WORKERS: &str = "2";
const PATIENCE: Duration = Duration::from_secs(120);

/// A proxy under the same load.
#[derive(Default)]
struct Runner {
    whole: Samples,
    streamed: Samples,
}

pub(crate) async fn measure(place: &Place, litellm: Option<&Path>) -> Result<Table> {
    let packages = litellm.context("say where litellm is installed: --litellm FOLDER")?;
    place.plug("probe")?;
    let provider = Provider::start().await?;
    let host = Host::start(place, &provider.settings()).await?;
    host.wait_for("probe", "generate hello").await?;
    let other = Litellm::start(place, packages, &provider).await?;

    let (mut ours, mut theirs) = (Runner::default(), Runner::default());
    for _ in 0..ROUNDS {
        ours.run(&host.address, "probe", "forward hi").await?;
        theirs.run(&other.address, "m", "hi").await?;
        provider.take_gaps();
    }
    Ok(table(&ours, &theirs))
}

impl Runner {
    async fn run(&mut self, address: &str, model: &'static str, text: &'static str) -> Result<()> {
        for (samples, stream) in [(&mut self.whole, false), (&mut self.streamed, true)] {
            let load = Load::Completion {
                model,
                text,
                stream,
            };
            drive(address, CONNECTIONS, WARM_UP, load).await?;
            samples.extend(drive(address, CONNECTIONS, TIME, load).await?);
        }
        Ok(())
    }
}

fn table(ours: &Runner, theirs: &Runner) -> Table {
    let rate = |samples: &Samples| samples.len() as f64 / (TIME.as_secs_f64() * ROUNDS as f64);
    let mut table = Table::new(
        "race",
        &[
            "chat completions",
            "answers",
            "per second",
            "of the baseline",
            "p50",
            "p99",
        ],
    );
    for (name, answers, samples, baseline) in [
        (
            "baseline: litellm's proxy",
            "whole",
            &theirs.whole,
            &theirs.whole,
        ),
        (
            "the host, an agent that forwards",
            "whole",
            &ours.whole,
            &theirs.whole,
        ),
        (
            "baseline: litellm's proxy",
            "streamed",
            &theirs.streamed,
            &theirs.streamed,
        ),
        (
            "the host, an agent that forwards",
            "streamed",
            &ours.streamed,
            &theirs.streamed,
        ),
    ] {
        table.row([
            name.into(),
            answers.into(),
            format!("{:.0}", rate(samples)),
            ratio(rate(samples), rate(baseline)),
            ms(samples.median()),
            ms(samples.p99()),
        ]);
    }
    let won = |ours: &Samples, theirs: &Samples| {
        rate(ours) >= GOAL * rate(theirs) && ours.p99() < theirs.p99()
    };
    table.note(format!(
        "{CONNECTIONS} connections, {ROUNDS} rounds of {} s each, in turn. Goal: {GOAL}x the throughput at a lower p99: \
         whole {}, streamed {}. Behind each answer of the host is a turn of an agent: stored before it is run, \
         reserved from two budgets, journaled and synced before it is answered. The proxy keeps nothing: it runs \
         without a database, with {WORKERS} workers.",
        TIME.as_secs(),
        verdict(won(&ours.whole, &theirs.whole)),
        verdict(won(&ours.streamed, &theirs.streamed)),
    ));
    table
}

/// litellm's proxy; killed with its workers when it is dropped.
struct Litellm {
    address: String,
    child: Child,
}

impl Litellm {
    async fn start(place: &Place, packages: &Path, provider: &Provider) -> Result<Self> {
        let config = place.path("litellm.yaml");
        std::fs::write(&config, settings(provider))?;
        let port = free_port().await?.to_string();
        let start = "from litellm.proxy.proxy_cli import run_server; run_server()";
        let child = Command::new("python3")
            .args(["-c", start, "--config"])
            .arg(&config)
            .args(["--host", "127.0.0.1", "--port", &port])
            .args(["--num_workers", WORKERS, "--telemetry", "False"])
            .current_dir(place.path(""))
            .env("PYTHONPATH", packages)
            .env("LITELLM_MODE", "PRODUCTION")
            .env("LITELLM_LOG", "ERROR")
            // What it knows of prices comes with it; it would fetch them at the start.
            .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("starting python3")?;
        let address = format!("127.0.0.1:{port}");
        let mut litellm = Self { address, child };
        litellm.wait_until_ready().await?;
        Ok(litellm)
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                bail!("litellm's proxy ended with {status}");
            }
            if TcpStream::connect(&self.address).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("litellm's proxy does not listen")
    }
}

impl Drop for Litellm {
    fn drop(&mut self) {
        // Its workers are of its group.
        if let Some(pid) = self.child.id() {
            let _ = std::process::Command::new("kill")
                .args(["-TERM", "--", &format!("-{pid}")])
                .status();
        }
    }
}

fn settings(provider: &Provider) -> String {
    format!(
        "model_list:\n  - model_name: m\n    litellm_params:\n      model: openai/m\n      \
         api_base: http://127.0.0.1:{}/v1\n      api_key: k\ngeneral_settings:\n  master_key: {TOKEN}\n",
        provider.port
    )
}

async fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    Ok(listener.local_addr()?.port())
}
