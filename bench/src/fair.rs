//! `fair`: a well-behaved agent beside four that never stop.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::client::{Client, Load, drive};
use crate::host::Host;
use crate::place::Place;
use crate::stats::{Samples, ms, ratio, verdict};
use crate::table::Table;

const TIME: Duration = Duration::from_secs(15);
const LOOPS: usize = 4;
const GOAL_MS: f64 = 50.0;

const TURN: Load = Load::Message {
    agent: "tiny",
    text: "there",
};

pub(crate) async fn measure(place: &Place) -> Result<Table> {
    place.plug("tiny")?;
    place.plug("hog")?;
    let fuel = "[limits]\nfuel = 1000000000000000\nwall_ms = 600000\n";
    let host = Host::start(place, fuel).await?;
    host.wait_for("tiny", "there").await?;
    host.wait_for("hog", "there").await?;
    let alone = drive(&host.address, 1, TIME, TURN).await?;
    let mut client = Client::connect(&host.address).await?;
    let mut loops = Vec::new();
    for _ in 0..LOOPS {
        let accepted: Value = serde_json::from_slice(&client.tell("hog", "loop").await?)?;
        loops.push(accepted["turn"].as_str().context("a turn")?.to_owned());
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let beside = drive(&host.address, 1, TIME, TURN).await?;
    for turn in loops {
        client
            .post(&format!("/api/v1/turns/{turn}/cancel"), String::new())
            .await?;
    }
    Ok(table(&alone, &beside))
}

fn table(alone: &Samples, beside: &Samples) -> Table {
    let mut table = Table::new(
        "fair",
        &[
            "a well-behaved agent, one connection",
            "turns",
            "p50",
            "p99",
            "most",
            "p99 of the baseline",
        ],
    );
    for (name, samples) in [
        ("baseline: alone", alone),
        ("beside four endless loops", beside),
    ] {
        table.row([
            name.into(),
            samples.len().to_string(),
            ms(samples.median()),
            ms(samples.p99()),
            ms(samples.max()),
            ratio(samples.p99().as_secs_f64(), alone.p99().as_secs_f64()),
        ]);
    }
    let p99 = beside.p99().as_secs_f64() * 1e3;
    table.note(format!(
        "Durable turns, message and answer synced. Goal: p99 below 50 ms ({}).",
        verdict(p99 < GOAL_MS)
    ));
    table
}
