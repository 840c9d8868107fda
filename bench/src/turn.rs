//! `turn`: what the host adds to bare wasmtime in one turn: instantiate, call, one host call, drop.

use std::time::Instant;

use anyhow::Result;

use crate::bare::{Bare, Code};
use crate::place::Place;
use crate::rig::{Rig, message};
use crate::stats::{Samples, ratio, us, verdict};
use crate::table::Table;

const ROUNDS: usize = 60;
const TURNS: usize = 250;
/// Of the baseline, over the host.
const GOAL: f64 = 2.0;

/// One worker thread runs everything, as one guest thread of the host would.
pub(crate) async fn measure(place: &Place) -> Result<Table> {
    let rig = Rig::start(place, &["tiny"]).await?;
    let wasm = place.guest("tiny")?;
    let size = wasm.len();
    let sets = tokio::spawn(compare(rig, wasm, place.path("plain"), place.path("exact"))).await??;
    let mut table = Table::new(
        "turn",
        &["one turn of a guest", "median", "p99", "of the baseline"],
    );
    let names = [
        "baseline: bare wasmtime",
        "bare wasmtime with fuel and fixed NaNs",
        "the host's runtime and window",
    ];
    let baseline = sets[0].median().as_secs_f64();
    for (name, samples) in names.iter().zip(&sets) {
        let ratio = ratio(samples.median().as_secs_f64(), baseline);
        table.row([
            (*name).into(),
            us(samples.median()),
            us(samples.p99()),
            ratio,
        ]);
    }
    let times = sets[2].median().as_secs_f64() / baseline;
    table.note(format!(
        "A guest of {size} bytes, {} turns of each kind in turn. Goal: at most {GOAL:.1}x ({}); aim: 1.3x.",
        ROUNDS * TURNS,
        verdict(times <= GOAL)
    ));
    Ok(table)
}

async fn compare(
    rig: Rig,
    wasm: Vec<u8>,
    plain: std::path::PathBuf,
    exact: std::path::PathBuf,
) -> Result<[Samples; 3]> {
    let mut bare = Vec::new();
    for (code, path) in [(Code::Plain, plain), (Code::Exact, exact)] {
        let engine = Bare::new(code)?;
        engine.compile(&wasm, &path)?;
        let ready = engine.load(&path)?;
        bare.push((engine, ready));
    }
    let agent = rig.resolve("tiny").await?;
    let message = message("there");
    let mut sets: [Samples; 3] = Default::default();
    for round in 0..ROUNDS + 1 {
        let mut measured: [Samples; 3] = Default::default();
        for (samples, (engine, ready)) in measured.iter_mut().zip(&bare) {
            for _ in 0..TURNS {
                let started = Instant::now();
                engine.turn(ready, &message).await?;
                samples.push(started.elapsed());
            }
        }
        for _ in 0..TURNS {
            let started = Instant::now();
            rig.answer(&agent, &message).await?;
            measured[2].push(started.elapsed());
        }
        // The first round warms caches and pools.
        if round > 0 {
            sets.iter_mut()
                .zip(measured)
                .for_each(|(all, some)| all.extend(some));
        }
    }
    Ok(sets)
}
