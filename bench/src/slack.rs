//! `slack`: how soon what Slack sends is acknowledged while turns wait and one hangs, beside apps of
//! Slack's own framework, before the same fake Slack. The host has it on disk by then. And how soon
//! Slack's Stop ends a turn of the host.

mod app;
mod fake;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::place::Place;
use crate::stats::{Samples, ms, ratio, verdict};
use crate::table::Table;

use app::{App, Kind};

/// Turns that wait for a model meanwhile.
const WAITING: usize = 50;
const EVENTS: usize = 500;
const PACE: Duration = Duration::from_millis(20);
const GOAL: Duration = Duration::from_millis(50);
const STOP_GOAL: Duration = Duration::from_secs(1);

/// Events after which the sockets are to be replaced.
const REFRESH_AT: [usize; 2] = [150, 300];

/// What an app did.
struct Run {
    kind: Kind,
    is_socket: bool,
    acknowledged: Samples,
    /// Deliveries that were not acknowledged the first time.
    late: usize,
    /// The longest time without an open socket.
    gap: Duration,
    /// Of the host: from Stop to the end of the turn.
    stopped: Option<Samples>,
}

pub(crate) async fn measure(place: &Place, packages: Option<&Path>) -> Result<Table> {
    let packages = packages.context("say where Bolt is installed: --packages FOLDER")?;
    place.plug("probe")?;
    let mut runs = Vec::new();
    for is_socket in [false, true] {
        for kind in [Kind::BoltPython, Kind::BoltJavaScript, Kind::Host] {
            runs.push(run(place, packages, kind, is_socket).await?);
        }
    }
    Ok(table(&runs))
}

async fn run(place: &Place, packages: &Path, kind: Kind, is_socket: bool) -> Result<Run> {
    let (fake, app) = App::start(place, packages, kind, is_socket).await?;
    let mut waiting = Vec::new();
    for _ in 0..WAITING {
        waiting.push(fake.say("generate slow").await?);
        // Who takes one connection at a time has to come along.
        tokio::time::sleep(PACE).await;
    }
    waiting.push(fake.say("sleep 60000").await?);
    fake.acknowledged(WAITING + 1).await?;
    let gap = is_socket.then(|| fake.watch_sockets());
    let begun = Instant::now();
    for number in 0..EVENTS {
        let at = begun + PACE * u32::try_from(number)?;
        tokio::time::sleep_until(at.into()).await;
        if is_socket && REFRESH_AT.contains(&number) {
            fake.refresh().await?;
        }
        fake.say("generate quick").await?;
    }
    let (acknowledged, late) = fake.acknowledged(WAITING + 1 + EVENTS).await?;
    let gap = match gap {
        Some(gap) => gap.end().await?,
        None => Duration::ZERO,
    };
    let stopped = match &app {
        App::Host(host) => Some(app::stop(&fake, host, &waiting).await?),
        App::Bolt { .. } => None,
    };
    Ok(Run {
        kind,
        is_socket,
        acknowledged,
        late,
        gap,
        stopped,
    })
}

fn table(runs: &[Run]) -> Table {
    let mut table = Table::new(
        "slack",
        &[
            "app",
            "events by",
            "p50",
            "p99",
            "p99 of the baseline",
            "delivered again",
            "longest without a socket",
            "p50 and most of Stop",
        ],
    );
    let baseline = |is_socket| {
        let is_it = |run: &&Run| run.is_socket == is_socket && run.kind == Kind::BoltPython;
        let p99 = runs.iter().find(is_it).map(|run| run.acknowledged.p99());
        p99.unwrap_or_default().as_secs_f64()
    };
    for run in runs {
        let p99 = run.acknowledged.p99();
        table.row([
            run.kind.name().to_owned(),
            if run.is_socket { "sockets" } else { "HTTP" }.to_owned(),
            ms(run.acknowledged.median()),
            ms(p99),
            ratio(p99.as_secs_f64(), baseline(run.is_socket)),
            run.late.to_string(),
            if run.is_socket {
                ms(run.gap)
            } else {
                "-".to_owned()
            },
            run.stopped.as_ref().map_or_else(
                || "-".to_owned(),
                |stopped| format!("{}, {}", ms(stopped.median()), ms(stopped.max())),
            ),
        ]);
    }
    let ours = runs.iter().filter(|run| run.kind == Kind::Host);
    let is_soon = ours.clone().all(|run| run.acknowledged.p99() < GOAL);
    let is_open = ours.clone().all(|run| run.gap.is_zero());
    let is_stopped = |run: &Run| matches!(&run.stopped, Some(it) if it.max() < STOP_GOAL);
    let is_at_once = ours.clone().all(is_stopped);
    table.note(format!(
        "{EVENTS} messages, one every {} ms, while {WAITING} turns wait for a model and one never answers; with sockets, \
         Slack wants them replaced {} times. From the moment at which the fake Slack sends. The host has the event on \
         disk when it acknowledges; Bolt keeps it in memory. Then a person presses Stop in each of the {} threads, one \
         after the other: from that moment until the host says that the turn is cancelled. Goals: p99 below {} ms by \
         both ways ({}), never without a socket ({}), every turn ends within a second of Stop ({}).",
        PACE.as_millis(),
        REFRESH_AT.len(),
        WAITING + 1,
        GOAL.as_millis(),
        verdict(is_soon),
        verdict(is_open),
        verdict(is_at_once),
    ));
    table
}
