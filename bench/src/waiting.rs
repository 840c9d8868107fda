//! `waiting`: thousands of turns that wait for a slow model at once.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rusqlite::Connection;

use crate::client::Client;
use crate::host::Host;
use crate::machine::{Memory, memory_of};
use crate::place::Place;
use crate::stats::{mib, ratio, verdict};
use crate::table::Table;

const TURNS: usize = 8_000;
const CONNECTIONS: usize = 16;
/// Long enough for all turns to be waiting before the first model call ends.
const DELAY: Duration = Duration::from_secs(40);
const GOAL_BYTES: f64 = 65_536.0;

const SCRIPT: &str = r#"
[[rules]]
when = { last = { contains = "slowly" } }
reply = { text = "at last", delay_ms = 40000 }

[fallback]
text = "at once"
"#;

pub(crate) async fn measure(place: &Place) -> Result<Table> {
    place.plug("probe")?;
    let script = place.path("script.toml");
    std::fs::write(&script, SCRIPT)?;
    let settings = format!(
        "[llm]\nscript = {script:?}\n[turns]\nconcurrent = {TURNS}\nqueue = {TURNS}\n[limits]\nconcurrent_turns = {TURNS}\n"
    );
    let host = Host::start(place, &settings).await?;
    host.wait_for("probe", "generate hello").await?;
    let before = memory_of(host.pid()?)?;
    let db = place.database()?;

    let begun = Instant::now();
    send_all(&host).await?;
    let sent = begun.elapsed();
    wait_for(
        &db,
        "SELECT count(*) FROM journal WHERE kind = 'llm.generate' AND status = 'begun'",
        TURNS,
    )
    .await?;
    let all_wait = begun.elapsed();
    ensure!(all_wait < DELAY, "the first ended before the last began");
    let during = memory_of(host.pid()?)?;
    wait_for(
        &db,
        "SELECT count(*) FROM turns WHERE status = 'completed'",
        TURNS + 1,
    )
    .await?;
    let whole = begun.elapsed();
    let after = memory_of(host.pid()?)?;

    let each = |during: u64, before: u64| (during.saturating_sub(before)) as f64 / TURNS as f64;
    let resident = each(during.resident, before.resident);
    let mut table = memory_table(before, during, after);
    table.note(format!(
        "{TURNS} turns were accepted in {:.1} s, all waited after {:.1} s and all completed after {:.1} s (the \
         model takes {} s). RSS per waiting turn: {:.1} KiB, {:.1} KiB of it anonymous; {} of the goal of 64 KiB ({}).",
        sent.as_secs_f64(),
        all_wait.as_secs_f64(),
        whole.as_secs_f64(),
        DELAY.as_secs(),
        resident / 1024.0,
        each(during.anonymous, before.anonymous) / 1024.0,
        ratio(resident, GOAL_BYTES),
        verdict(resident <= GOAL_BYTES),
    ));
    Ok(table)
}

/// What the process had before, while all waited, and after.
fn memory_table(before: Memory, during: Memory, after: Memory) -> Table {
    let mut table = Table::new(
        "waiting",
        &["turns waiting", "RSS", "anonymous", "memory maps"],
    );
    for (name, memory) in [
        ("none, before", before),
        ("8,000", during),
        ("none, after", after),
    ] {
        table.row([
            name.into(),
            mib(memory.resident),
            mib(memory.anonymous),
            memory.maps.to_string(),
        ]);
    }
    table
}

async fn send_all(host: &Host) -> Result<()> {
    let workers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let address = host.address.clone();
            tokio::spawn(async move {
                let mut client = Client::connect(&address).await?;
                for _ in 0..TURNS / CONNECTIONS {
                    client.tell("probe", "generate slowly").await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for worker in workers {
        worker.await??;
    }
    Ok(())
}

/// A connection that reads the host's database beside it.
async fn wait_for(db: &Connection, query: &'static str, count: usize) -> Result<()> {
    let begun = Instant::now();
    loop {
        let found: i64 = db.query_row(query, (), |row| row.get(0))?;
        if found >= count as i64 {
            return Ok(());
        }
        ensure!(
            begun.elapsed() < 3 * DELAY,
            "{found} of {count} after {:?}: {query}",
            begun.elapsed()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
