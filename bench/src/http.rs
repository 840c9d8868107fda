//! `http`: durable turns over HTTP, beside what the disk and the HTTP server do by themselves.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::client::{Load, drive};
use crate::host::Host;
use crate::machine::{disk, processor_time_of};
use crate::place::Place;
use crate::stats::{Samples, ms, ratio, verdict};
use crate::table::Table;

const CONNECTIONS: usize = 64;
const WARM_UP: Duration = Duration::from_secs(3);
const TIME: Duration = Duration::from_secs(15);
const GOAL_RATE: f64 = 3_000.0;
const GOAL_MS: f64 = 10.0;

const TURN: Load = Load::Message {
    agent: "probe",
    text: "generate hello",
};

/// A run of requests and what it took.
struct Run {
    samples: Samples,
    seconds: f64,
    host_time: Duration,
    commits: f64,
    writes: f64,
}

impl Run {
    fn rate(&self) -> f64 {
        self.samples.len() as f64 / self.seconds
    }
}

pub(crate) async fn measure(place: &Place) -> Result<Table> {
    place.plug("probe")?;
    let disk = disk(place)?;
    let host = Host::start(place, "").await?;
    host.wait_for("probe", "generate hello").await?;
    drive(&host.address, CONNECTIONS, WARM_UP, TURN).await?;
    let idle = run(&host, CONNECTIONS, Load::Get("/health/live")).await?;
    let many = run(&host, CONNECTIONS, TURN).await?;
    let one = run(&host, 1, TURN).await?;

    let mut table = Table::new(
        "http",
        &[
            "requests",
            "connections",
            "per second",
            "of the baseline",
            "p50",
            "p99",
            "host CPU each",
            "writes per commit",
        ],
    );
    for (name, connections, run) in [
        ("baseline: GET /health/live", CONNECTIONS, &idle),
        ("durable turn with one model call", CONNECTIONS, &many),
        ("durable turn with one model call", 1, &one),
    ] {
        table.row([
            name.into(),
            connections.to_string(),
            format!("{:.0}", run.rate()),
            ratio(run.rate(), idle.rate()),
            ms(run.samples.median()),
            ms(run.samples.p99()),
            format!(
                "{:.0} us",
                run.host_time.as_secs_f64() * 1e6 / run.samples.len() as f64
            ),
            format!("{:.1}", run.writes / run.commits.max(1.0)),
        ]);
    }
    table.note(format!(
        "Goals: {GOAL_RATE} turns/s over {CONNECTIONS} connections ({}: {:.0} %), p50 below {GOAL_MS} ms over one ({}). \
         The disk in the same run: {}.",
        verdict(many.rate() >= GOAL_RATE),
        many.rate() / GOAL_RATE * 100.0,
        verdict(one.samples.median().as_secs_f64() * 1e3 < GOAL_MS),
        disk.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("; "),
    ));
    Ok(table)
}

async fn run(host: &Host, connections: usize, load: Load) -> Result<Run> {
    let pid = host.pid()?;
    let counts = async || -> Result<(f64, f64)> {
        let commits = host.metric("anchorhold_store_group_size_count").await?;
        Ok((
            commits,
            host.metric("anchorhold_store_group_size_sum").await?,
        ))
    };
    let (commits, writes) = counts().await?;
    let time = processor_time_of(pid)?;
    let started = Instant::now();
    let samples = drive(&host.address, connections, TIME, load).await?;
    let seconds = started.elapsed().as_secs_f64();
    let host_time = processor_time_of(pid)?.saturating_sub(time);
    let (commits_after, writes_after) = counts().await?;
    Ok(Run {
        samples,
        seconds,
        host_time,
        commits: commits_after - commits,
        writes: writes_after - writes,
    })
}
