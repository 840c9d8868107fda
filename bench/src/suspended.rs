//! `suspended`: a hundred thousand turns that wait for a person are rows.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hyper::StatusCode;
use rusqlite::Connection;

use crate::client::Client;
use crate::host::Host;
use crate::machine::memory_of;
use crate::place::Place;
use crate::stats::{Samples, mib, ms, ratio, verdict};
use crate::table::Table;

/// Turns of one wave: each keeps its instance for two seconds.
const WAVE: usize = 1_000;
const TURNS: usize = 100_000;
const WOKEN: usize = 200;
const GOAL: Duration = Duration::from_millis(50);

struct Start {
    seconds: f64,
    resident: u64,
    waking: Samples,
}

pub(crate) async fn measure(place: &Place) -> Result<Table> {
    place.plug("probe")?;
    let host = Host::start(place, "").await?;
    host.wait_for("probe", "echo hello").await?;
    let mut resident = vec![memory_of(host.pid()?)?.resident];
    for wave in 1..=3 {
        suspend(&host, place, wave * WAVE).await?;
        resident.push(memory_of(host.pid()?)?.resident);
    }
    host.end().await?;
    let few = start(place).await?;
    multiply(place)?;
    let many = start(place).await?;

    let mut table = Table::new(
        "suspended",
        &[
            "turns waiting",
            "start until ready",
            "RSS when ready",
            "answer until the turn has ended p50",
            "p99",
        ],
    );
    for (name, start) in [("baseline: 3,000", &few), ("100,000", &many)] {
        table.row([
            name.into(),
            format!("{:.0} ms", start.seconds * 1e3),
            mib(start.resident),
            ms(start.waking.median()),
            ms(start.waking.p99()),
        ]);
    }
    table.note(format!(
        "RSS of the process that suspended the 3,000: {} before, {} after the first thousand, {} after the second, {} \
         after the third, whose instances use what the first touched. RSS with 100,000: {} of the baseline. Goal: \
         woken within 50 ms ({}).",
        mib(resident[0]),
        mib(resident[1]),
        mib(resident[2]),
        mib(resident[3]),
        ratio(many.resident as f64, few.resident as f64),
        verdict(many.waking.p99() < GOAL),
    ));
    Ok(table)
}

/// Makes turns wait until so many do.
async fn suspend(host: &Host, place: &Place, until: usize) -> Result<()> {
    let mut client = Client::connect(&host.address).await?;
    for _ in 0..WAVE {
        client.tell("probe", "ask text Which?").await?;
    }
    let db = place.database()?;
    let end = Instant::now() + Duration::from_secs(120);
    while count_waiting(&db)? < until {
        ensure!(Instant::now() < end, "turns do not come to wait");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

fn count_waiting(db: &Connection) -> Result<usize> {
    let sql = "SELECT count(*) FROM turns WHERE status = 'waiting'";
    let count: i64 = db.query_row(sql, [], |row| row.get(0))?;
    Ok(usize::try_from(count)?)
}

/// Starts a host on what waits, and answers some of it.
async fn start(place: &Place) -> Result<Start> {
    let host = Host::start(place, "").await?;
    let resident = memory_of(host.pid()?)?.resident;
    let turns = some_waiting(&place.database()?)?;
    let mut client = Client::connect(&host.address).await?;
    let mut waking = Samples::default();
    for turn in turns {
        let begun = Instant::now();
        let path = format!("/api/v1/turns/{turn}/answer");
        let body = serde_json::json!({"text": "this one"}).to_string();
        let (status, answer) = client.post(&path, body).await?;
        let said = String::from_utf8_lossy(&answer).into_owned();
        ensure!(status == StatusCode::ACCEPTED, "{status}: {said}");
        let (_, events) = client.get(&format!("/api/v1/turns/{turn}/events")).await?;
        waking.push(begun.elapsed());
        let events = String::from_utf8_lossy(&events);
        ensure!(events.contains("turn.completed"), "{events}");
    }
    let start = Start {
        seconds: host.started_in.as_secs_f64(),
        resident,
        waking,
    };
    host.end().await?;
    Ok(start)
}

fn some_waiting(db: &Connection) -> Result<Vec<String>> {
    let sql =
        format!("SELECT id FROM turns WHERE status = 'waiting' ORDER BY random() LIMIT {WOKEN}");
    let mut statement = db.prepare(&sql)?;
    let ids = statement.query_map([], |row| row.get(0))?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}

/// Copies the rows of waiting turns until there are enough of them.
fn multiply(place: &Place) -> Result<()> {
    let db = Connection::open(place.data().join("anchorhold.db"))?;
    let waiting = count_waiting(&db)?;
    let copies = (TURNS - waiting).div_ceil(waiting.max(1));
    // The turns last: the others are found by them.
    for table in ["journal", "waits", "turns"] {
        let columns = columns(&db, table)?;
        let values = columns.iter().map(|column| match column.as_str() {
            "id" | "turn" | "conversation" => format!("t.{column} || '-' || n.value"),
            column => format!("t.{column}"),
        });
        let turn = if table == "turns" { "t.id" } else { "t.turn" };
        let sql = format!(
            "WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < {copies})
             INSERT INTO {table} ({}) SELECT {} FROM {table} t, n
             WHERE {turn} IN (SELECT id FROM turns WHERE status = 'waiting' AND length(id) = 36)",
            columns.join(", "),
            values.collect::<Vec<_>>().join(", "),
        );
        db.execute(&sql, [])
            .with_context(|| format!("copying {table}"))?;
    }
    ensure!(count_waiting(&db)? >= TURNS, "too few turns");
    Ok(())
}

fn columns(db: &Connection, table: &str) -> Result<Vec<String>> {
    let mut statement = db.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let names = statement.query_map([table], |row| row.get(0))?;
    Ok(names.collect::<rusqlite::Result<_>>()?)
}
