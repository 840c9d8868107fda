//! `stop`: how soon an endless loop ends after its deadline, and after it was cancelled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anchorhold::runtime::{FailureCode, KillSwitch, ResolvedAgent};
use anyhow::{Result, ensure};
use tokio::runtime::{Builder, Handle};

use crate::place::Place;
use crate::rig::{Rig, code, message, with_deadline};
use crate::stats::{Samples, ms, verdict};
use crate::table::Table;

const STOPS: usize = 200;
const WALL: Duration = Duration::from_millis(40);
const OTHERS: usize = 3;
const GOAL_MS: f64 = 10.0;

pub(crate) async fn measure(place: &Place) -> Result<Table> {
    let rig = Arc::new(Rig::start(place, &["hog"]).await?);
    let agent = rig.resolve("hog").await?;
    // The threads for guests as the host makes them (host/src/app.rs).
    let guests = Builder::new_multi_thread()
        .worker_threads(2)
        .event_interval(2)
        .global_queue_interval(2)
        .enable_all()
        .build()?;
    let mut table = Table::new(
        "stop",
        &["an endless loop ends after", "loops", "p50", "p99", "most"],
    );
    let mut p99 = Duration::ZERO;
    for others in [0, OTHERS] {
        let kill = KillSwitch::default();
        let spinning: Vec<_> = (0..others)
            .map(|_| spin(guests.handle(), &rig, &agent, kill.clone()))
            .collect();
        let loops = others + 1;
        for (name, samples) in [
            (
                "its deadline",
                by_deadline(guests.handle(), &rig, &agent).await?,
            ),
            (
                "being cancelled",
                by_cancelling(guests.handle(), &rig, &agent).await?,
            ),
        ] {
            p99 = p99.max(samples.p99());
            table.row([
                name.into(),
                loops.to_string(),
                ms(samples.median()),
                ms(samples.p99()),
                ms(samples.max()),
            ]);
        }
        kill.pull();
        for turn in spinning {
            turn.await?;
        }
    }
    guests.shutdown_background();
    table.note(format!(
        "{STOPS} stops of each kind on two threads for guests, until the turn has ended. Goal: 10 ms ({}, by the worst p99).",
        verdict(p99.as_secs_f64() * 1e3 <= GOAL_MS)
    ));
    Ok(table)
}

/// An endless loop that ends when it is killed.
fn spin(
    guests: &Handle,
    rig: &Arc<Rig>,
    agent: &Arc<ResolvedAgent>,
    kill: KillSwitch,
) -> tokio::task::JoinHandle<()> {
    let (rig, agent) = (Arc::clone(rig), with_deadline(agent, 600_000));
    guests.spawn(async move {
        rig.turn(&agent, &message("loop"), &kill).await;
    })
}

async fn by_deadline(
    guests: &Handle,
    rig: &Arc<Rig>,
    agent: &Arc<ResolvedAgent>,
) -> Result<Samples> {
    let mut samples = Samples::default();
    for _ in 0..STOPS {
        let wall_ms = u64::try_from(WALL.as_millis())?;
        let (rig, agent) = (Arc::clone(rig), with_deadline(agent, wall_ms));
        let turn = guests.spawn(async move {
            let started = Instant::now();
            let finished = rig
                .turn(&agent, &message("loop"), &KillSwitch::default())
                .await;
            (started.elapsed(), code(&finished))
        });
        let (took, code) = turn.await?;
        ensure!(code == Some(FailureCode::Deadline), "{code:?}");
        samples.push(took.saturating_sub(WALL));
    }
    Ok(samples)
}

async fn by_cancelling(
    guests: &Handle,
    rig: &Arc<Rig>,
    agent: &Arc<ResolvedAgent>,
) -> Result<Samples> {
    let mut samples = Samples::default();
    for _ in 0..STOPS {
        let (rig, agent) = (Arc::clone(rig), with_deadline(agent, 600_000));
        let kill = KillSwitch::default();
        let switch = kill.clone();
        let turn = guests.spawn(async move {
            let finished = rig.turn(&agent, &message("loop"), &switch).await;
            (Instant::now(), code(&finished))
        });
        tokio::time::sleep(WALL).await;
        let pulled = Instant::now();
        kill.pull();
        let (ended, code) = turn.await?;
        ensure!(code == Some(FailureCode::Cancelled), "{code:?}");
        samples.push(ended.saturating_duration_since(pulled));
    }
    Ok(samples)
}
