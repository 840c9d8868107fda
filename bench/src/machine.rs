//! The machine: what it is, how busy it is, and how fast its disk commits.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rusqlite::Connection;

use crate::place::Place;
use crate::stats::{Samples, ms};
use crate::table::Table;

const TIME: Duration = Duration::from_secs(3);

/// The load averages.
pub(crate) fn load() -> Result<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    pub(crate) anonymous: u64,
    /// Memory maps, of which Linux gives a process 65,530.
    pub(crate) maps: usize,
}

pub(crate) fn memory_of(pid: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| -> Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Ok(kib.with_context(|| format!("no {name}"))?.parse::<u64>()? << 10)
    };
    Ok(Memory {
        resident: field("VmRSS:")?,
        anonymous: field("RssAnon:")?,
        maps: fs::read_to_string(format!("/proc/{pid}/maps"))?
            .lines()
            .count(),
    })
}

/// Processor time that a process used; in clock ticks of 10 ms, as Linux counts it.
pub(crate) fn processor_time_of(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("no stat")?;
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap_or(0))
        .sum();
    Ok(Duration::from_millis(ticks * 10))
}

pub(crate) async fn measure(place: &Place) -> Result<Table> {
    let mut table = Table::new("machine", &["what", "value"]);
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model
        .unwrap_or(": unknown")
        .trim_start_matches(['\t', ':', ' ']);
    let cores = std::thread::available_parallelism()?;
    table.row(["processor".into(), format!("{model}, {cores} cores")]);
    table.row(["kernel".into(), said_by("uname", "-sr")?]);
    table.row(["compiler".into(), said_by("rustc", "--version")?]);
    for (name, value) in disk(place)? {
        table.row([name, value]);
    }
    Ok(table)
}

fn said_by(program: &str, argument: &str) -> Result<String> {
    let output = Command::new(program).arg(argument).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// What the disk under the data folder does in the best case.
pub(crate) fn disk(place: &Place) -> Result<Vec<(String, String)>> {
    let synced = synced_appends(place)?;
    let mut rows = vec![(
        "append of 4 KiB and fdatasync, one after the other".to_owned(),
        format!("{:.0}/s, p99 {}", rate(&synced), ms(synced.p99())),
    )];
    for batch in [1, 64] {
        let commits = batch_commits(place, batch)?;
        rows.push((
            format!("SQLite commit (WAL, synced) of {batch} rows of 500 bytes"),
            format!(
                "{:.0}/s ({:.0} rows/s), p99 {}",
                rate(&commits),
                rate(&commits) * batch as f64,
                ms(commits.p99())
            ),
        ));
    }
    Ok(rows)
}

fn rate(samples: &Samples) -> f64 {
    samples.len() as f64 / TIME.as_secs_f64()
}

fn synced_appends(place: &Place) -> Result<Samples> {
    let path = place.path("appended");
    let mut file = File::create(&path)?;
    let mut samples = Samples::default();
    let begun = Instant::now();
    while begun.elapsed() < TIME {
        let started = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        samples.push(started.elapsed());
    }
    fs::remove_file(path)?;
    Ok(samples)
}

fn batch_commits(place: &Place, batch: usize) -> Result<Samples> {
    let path = place.path(&format!("commits-{batch}.db"));
    let mut db = Connection::open(&path)?;
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "full")?;
    db.execute_batch("CREATE TABLE rows (id INTEGER PRIMARY KEY, data BLOB NOT NULL)")?;
    let mut samples = Samples::default();
    let begun = Instant::now();
    while begun.elapsed() < TIME {
        let started = Instant::now();
        commit(&mut db, batch)?;
        samples.push(started.elapsed());
    }
    Ok(samples)
}

fn commit(db: &mut Connection, batch: usize) -> Result<()> {
    let transaction = db.transaction()?;
    for _ in 0..batch {
        transaction
            .prepare_cached("INSERT INTO rows (data) VALUES (?1)")?
            .execute([&[7u8; 500][..]])?;
    }
    Ok(transaction.commit()?)
}
