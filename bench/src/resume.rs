//! `resume`: from the record of a turn of a thousand calls to where it was cut off.

use std::time::{Duration, Instant};

use anchorhold::runtime::KillSwitch;
use anchorhold::store::DEFAULT_TENANT;
use anchorhold::turn::Journal;
use anyhow::{Result, ensure};

use crate::place::Place;
use crate::recorded::{message_in, turn};
use crate::rig::Rig;
use crate::stats::{Samples, ms, ratio, verdict};
use crate::table::Table;

const CALLS: usize = 1_000;
const TIMES: usize = 50;
const GOAL: Duration = Duration::from_millis(100);

pub(crate) async fn measure(place: &Place) -> Result<Table> {
    let rig = Rig::start(place, &["probe"]).await?;
    let agent = rig.resolve("probe").await?;
    let text = format!("calls {CALLS}");
    let (mut first, mut again) = (Samples::default(), Samples::default());
    for _ in 0..TIMES {
        let message = message_in(0, &text);
        let started = Instant::now();
        turn(&rig, &agent, &message, Journal::live(None)).await?;
        first.push(started.elapsed());
        let started = Instant::now();
        let recorded = rig.host.store.journal(DEFAULT_TENANT, &message.id).await?;
        ensure!(recorded.len() == CALLS, "{} calls", recorded.len());
        let journal = Journal::resume(recorded);
        let kill = KillSwitch::default();
        let finished = rig.run(&agent, &message, &kill, journal).await;
        ensure!(finished.outcome.is_ok(), "it ends as it did");
        again.push(started.elapsed());
    }
    let mut table = Table::new(
        "resume",
        &["a turn of 1,000 calls", "median", "p99", "of the baseline"],
    );
    let baseline = first.median().as_secs_f64();
    for (name, samples) in [
        ("baseline: run and recorded", &first),
        ("run again from its record", &again),
    ] {
        table.row([
            name.into(),
            ms(samples.median()),
            ms(samples.p99()),
            ratio(samples.median().as_secs_f64(), baseline),
        ]);
    }
    table.note(format!(
        "{TIMES} turns that read the state, their journals read from the store. Goal: {} ms ({}).",
        GOAL.as_millis(),
        verdict(again.p99() <= GOAL)
    ));
    Ok(table)
}
