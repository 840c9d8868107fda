//! `journal`: what recording costs a turn, and how much can be recorded in a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anchorhold::turn::Journal;
use anyhow::Result;

use crate::place::Place;
use crate::recorded::{message_in, turn};
use crate::rig::Rig;
use crate::stats::{Samples, ratio, us, verdict};
use crate::table::Table;

const ROUNDS: usize = 30;
const TURNS: usize = 50;
/// Of the same turn whose journal stays in memory.
const GOAL: f64 = 1.15;

const CONVERSATIONS: usize = 32;
const CALLS: usize = 100;
const TIME: Duration = Duration::from_secs(5);
const GOAL_RATE: f64 = 10_000.0;

pub(crate) async fn measure(place: &Place) -> Result<Table> {
    let rig = Arc::new(Rig::start(place, &["probe"]).await?);
    let mut table = Table::new(
        "journal",
        &[
            "a turn with ten state calls",
            "median",
            "p99",
            "of the baseline",
        ],
    );
    let mut worst: f64 = 0.0;
    for (name, text) in [
        ("ten reads", reads()),
        ("five changes, five reads", changes()),
    ] {
        let [memory, stored] = compare(&rig, &text).await?;
        let baseline = memory.median().as_secs_f64();
        let times = stored.median().as_secs_f64() / baseline;
        worst = worst.max(times);
        for (kind, samples) in [
            ("baseline: journal in memory", &memory),
            ("journal stored", &stored),
        ] {
            table.row([
                format!("{name}, {kind}"),
                us(samples.median()),
                us(samples.p99()),
                ratio(samples.median().as_secs_f64(), baseline),
            ]);
        }
    }
    table.note(format!(
        "{} turns of each kind in turn, each accepted, run, and ended with a sync. Goal: at most {GOAL:.2}x ({}).",
        ROUNDS * TURNS,
        verdict(worst <= GOAL)
    ));
    let rate = entries_per_second(&rig).await?;
    table.note(format!(
        "{CONVERSATIONS} conversations at once, turns of {CALLS} calls: {rate:.0} entries recorded per second. \
         Goal: {GOAL_RATE:.0} ({}).",
        verdict(rate >= GOAL_RATE)
    ));
    Ok(table)
}

fn reads() -> String {
    ["state get agent k"; 10].join("\n")
}

fn changes() -> String {
    ["state set agent k v\nstate get agent k"; 5].join("\n")
}

async fn compare(rig: &Rig, text: &str) -> Result<[Samples; 2]> {
    let agent = rig.resolve("probe").await?;
    let mut sets: [Samples; 2] = Default::default();
    for round in 0..ROUNDS + 1 {
        for (kind, samples) in sets.iter_mut().enumerate() {
            for _ in 0..TURNS {
                let journal = match kind {
                    0 => Journal::in_memory(),
                    _ => Journal::live(None),
                };
                let message = message_in(0, text);
                let started = Instant::now();
                turn(rig, &agent, &message, journal).await?;
                // The first round warms caches and pools.
                if round > 0 {
                    samples.push(started.elapsed());
                }
            }
        }
    }
    Ok(sets)
}

async fn entries_per_second(rig: &Arc<Rig>) -> Result<f64> {
    let begun = Instant::now();
    let talks: Vec<_> = (1..=CONVERSATIONS)
        .map(|conversation| tokio::spawn(talk(Arc::clone(rig), conversation, begun)))
        .collect();
    let mut entries = 0;
    for talk in talks {
        entries += talk.await??;
    }
    Ok(entries as f64 / begun.elapsed().as_secs_f64())
}

async fn talk(rig: Arc<Rig>, conversation: usize, begun: Instant) -> Result<usize> {
    let agent = rig.resolve("probe").await?;
    let mut entries = 0;
    while begun.elapsed() < TIME {
        let message = message_in(conversation, &format!("calls {CALLS}"));
        entries += turn(&rig, &agent, &message, Journal::live(None)).await?;
    }
    Ok(entries)
}
