//! `register`: a hundred thousand agents are rows; a start does not read them.

use anchorhold::registry::{Embedded, inspect};
use anchorhold::store::{DEFAULT_TENANT, NewVersion, Origin, Overrides, Store, VersionSpec};
use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::client::Client;
use crate::host::Host;
use crate::machine::memory_of;
use crate::place::Place;
use crate::stats::{Samples, mib, ms, ratio, verdict};
use crate::table::Table;

const AGENTS: usize = 100_000;
/// Of the agents, so many get a message.
const ASKED: usize = 200;

struct Start {
    seconds: f64,
    resident: u64,
    after: u64,
    first: Samples,
}

pub(crate) async fn measure(place: &Place) -> Result<Table> {
    place.plug("tiny")?;
    let host = Host::start(place, "").await?;
    host.wait_for("tiny", "hello").await?;
    host.end().await?;
    let one = start(place, |_| "tiny".to_owned(), 1).await?;
    let written = std::time::Instant::now();
    register(place).await?;
    let written = written.elapsed();
    let many = start(place, |number| agent(number * (AGENTS / ASKED)), ASKED).await?;

    let mut table = Table::new(
        "register",
        &[
            "registered agents",
            "start until ready",
            "RSS when ready",
            "RSS after messages",
            "first answer p50",
            "p99",
        ],
    );
    for (name, start) in [("baseline: 1", &one), ("100,001", &many)] {
        table.row([
            name.into(),
            format!("{:.0} ms", start.seconds * 1e3),
            mib(start.resident),
            mib(start.after),
            ms(start.first.median()),
            ms(start.first.p99()),
        ]);
    }
    table.note(format!(
        "Start {}, RSS {} of the baseline; {ASKED} of the agents were asked something, each for the first time. \
         Writing the rows through the store took {:.1} s. Goals: start below 1 s ({}), RSS below 200 MB ({}).",
        ratio(many.seconds, one.seconds),
        ratio(many.resident as f64, one.resident as f64),
        written.as_secs_f64(),
        verdict(many.seconds < 1.0),
        verdict(many.after < 200_000_000),
    ));
    Ok(table)
}

fn agent(number: usize) -> String {
    format!("agent-{number:06}")
}

/// Starts a host and asks some agents something.
async fn start(place: &Place, name: impl Fn(usize) -> String, asked: usize) -> Result<Start> {
    let host = Host::start(place, "").await?;
    let resident = memory_of(host.pid()?)?.resident;
    let mut client = Client::connect(&host.address).await?;
    let mut first = Samples::default();
    for number in 0..asked {
        let started = std::time::Instant::now();
        client.say(&name(number), "hello").await?;
        first.push(started.elapsed());
    }
    let start = Start {
        seconds: host.started_in.as_secs_f64(),
        resident,
        after: memory_of(host.pid()?)?.resident,
        first,
    };
    host.end().await?;
    Ok(start)
}

/// Registers agents that share one component, as the host itself does it.
async fn register(place: &Place) -> Result<()> {
    let inspection = inspect(&place.guest("tiny")?, 1 << 20, Embedded::Counts)?;
    let spec = VersionSpec {
        manifest: inspection.manifest.context("it has a manifest")?,
        exports: inspection.exports,
        overrides: Overrides::default(),
    };
    let store = Store::open(&place.data(), 1)?;
    stream::iter(0..AGENTS)
        .map(|number| {
            store.add_version(NewVersion {
                tenant: DEFAULT_TENANT.to_owned(),
                agent: agent(number),
                origin: Origin::Api,
                digest: inspection.digest.clone(),
                spec: spec.clone(),
            })
        })
        .buffer_unordered(512)
        .try_for_each(async |_| Ok(()))
        .await?;
    store.close().await;
    Ok(())
}
