//! `spawn`: from an agent that is not in memory to its first answer, from compiled code on disk.

use std::time::Instant;

use anchorhold::store::DEFAULT_TENANT;
use anyhow::{Result, ensure};

use crate::bare::{Bare, Code};
use crate::place::Place;
use crate::rig::{Rig, message};
use crate::stats::{Samples, ms, ratio, verdict};
use crate::table::Table;

const SPAWNS: usize = 3_000;
const GOAL_MS: f64 = 1.0;

struct Spawns {
    bare: Samples,
    resolve: Samples,
    whole: Samples,
}

pub(crate) async fn measure(place: &Place) -> Result<Table> {
    let rig = Rig::start(place, &["tiny"]).await?;
    let wasm = place.guest("tiny")?;
    let size = wasm.len();
    let compiled = place.path("exact");
    let spawns = tokio::spawn(spawn(rig, wasm, compiled)).await??;
    let mut table = Table::new(
        "spawn",
        &["spawn of an evicted agent", "p50", "p99", "of the baseline"],
    );
    let baseline = spawns.bare.median().as_secs_f64();
    for (name, samples) in [
        (
            "baseline: bare wasmtime, load and first answer",
            &spawns.bare,
        ),
        ("the host: its row and its component", &spawns.resolve),
        ("the host: row, component and first answer", &spawns.whole),
    ] {
        let ratio = ratio(samples.median().as_secs_f64(), baseline);
        table.row([name.into(), ms(samples.median()), ms(samples.p99()), ratio]);
    }
    let p99 = spawns.whole.p99().as_secs_f64() * 1e3;
    table.note(format!(
        "A guest of {size} bytes, {SPAWNS} spawns, page cache warm. Goal: p99 below 1 ms ({}).",
        verdict(p99 < GOAL_MS)
    ));
    Ok(table)
}

async fn spawn(rig: Rig, wasm: Vec<u8>, compiled: std::path::PathBuf) -> Result<Spawns> {
    let bare = Bare::new(Code::Exact)?;
    bare.compile(&wasm, &compiled)?;
    let message = message("there");
    rig.answer(&rig.resolve("tiny").await?, &message).await?;
    let mut spawns = Spawns {
        bare: Samples::default(),
        resolve: Samples::default(),
        whole: Samples::default(),
    };
    for _ in 0..SPAWNS {
        let started = Instant::now();
        let ready = bare.load(&compiled)?;
        bare.turn(&ready, &message).await?;
        spawns.bare.push(started.elapsed());
        drop(ready);

        rig.agents.forget(DEFAULT_TENANT, "tiny");
        let started = Instant::now();
        let agent = rig.resolve("tiny").await?;
        spawns.resolve.push(started.elapsed());
        rig.answer(&agent, &message).await?;
        spawns.whole.push(started.elapsed());
    }
    let loads = rig.agents.counts().loads;
    ensure!(loads as usize == SPAWNS + 1, "{loads} loads");
    Ok(spawns)
}
