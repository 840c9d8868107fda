//! `evict`: a thousand distinct components through a cache of fifty.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anchorhold::app::Host;
use anchorhold::registry::{Embedded, inspect};
use anchorhold::runtime::CacheCounts;
use anchorhold::store::{DEFAULT_TENANT, NewVersion, Origin, Overrides, Store, VersionSpec};
use anyhow::{Context, Result, ensure};

use crate::machine::memory_of;
use crate::place::Place;
use crate::rig::{Rig, message};
use crate::stats::{Samples, mib, ms, verdict};
use crate::table::Table;

const COMPONENTS: usize = 1_000;
const ROUNDS: u64 = 5;
/// Of the second round, by which later ones may differ.
const TOLERANCE: f64 = 0.05;

pub(crate) async fn measure(place: &Place) -> Result<Table> {
    let rig = Rig::start(place, &["tiny"]).await?;
    let wasm = place.guest("tiny")?;
    let compiled = only_compiled(&place.data())?;
    for number in 0..COMPONENTS {
        add(&rig.host.store, &place.data(), &compiled, &wasm, number).await?;
    }
    let rig = anew(rig).await?;
    let mut table = Table::new(
        "evict",
        &[
            "round",
            "miss to answer p50",
            "p99",
            "RSS",
            "anonymous",
            "maps",
            "components",
        ],
    );
    let mut resident = Vec::new();
    for round in 1..=ROUNDS {
        let misses = touch_all(&rig).await?;
        let memory = memory_of(std::process::id())?;
        let counts = rig.agents.counts();
        check(&counts, round)?;
        resident.push(memory.resident as f64);
        table.row([
            round.to_string(),
            ms(misses.median()),
            ms(misses.p99()),
            mib(memory.resident),
            mib(memory.anonymous),
            memory.maps.to_string(),
            counts.loaded_components.to_string(),
        ]);
    }
    let later = resident.iter().skip(1);
    let most = later.fold(0.0, |most: f64, rss| most.max(*rss));
    table.note(format!(
        "{COMPONENTS} components, each touched twice in each round; 50 stay. The counts were exact after every \
         round: {COMPONENTS} hits, misses and loads a round, no compilation, and as many evictions as misses \
         but 50. Goal: RSS flat from the second round on ({}: it grew by {:.1} % at most).",
        verdict(most <= resident[1] * (1.0 + TOLERANCE)),
        (most / resident[1] - 1.0) * 100.0
    ));
    Ok(table)
}

/// A rig whose counts start at nothing.
async fn anew(rig: Rig) -> Result<Rig> {
    let config = rig.host.config.clone();
    rig.host.stop().await;
    drop(rig);
    // What the host's tasks still hold, the folder's lock among it, goes a moment later.
    tokio::time::sleep(Duration::from_secs(2)).await;
    Rig::beside(Host::start(config).await?)
}

async fn touch_all(rig: &Rig) -> Result<Samples> {
    let message = message("there");
    let mut misses = Samples::default();
    for number in 0..COMPONENTS {
        let name = agent(number);
        let started = Instant::now();
        rig.answer(&rig.resolve(&name).await?, &message).await?;
        misses.push(started.elapsed());
        rig.answer(&rig.resolve(&name).await?, &message).await?;
    }
    Ok(misses)
}

fn check(counts: &CacheCounts, rounds: u64) -> Result<()> {
    let touched = rounds * COMPONENTS as u64;
    let expected = CacheCounts {
        hits: touched,
        misses: touched,
        loads: touched,
        compiles: 0,
        evicted_count: touched - 50,
        evicted_bytes: 0,
        dropped_changed: 0,
        resolved_agents: 50,
        loaded_components: 50,
        loaded_bytes: counts.loaded_bytes,
    };
    ensure!(*counts == expected, "{counts:?} is not {expected:?}");
    Ok(())
}

/// Registers an agent with a component of its own: the same code and a custom section with its
/// number. The compiled code is the same too, so it is copied and not compiled a thousand times.
async fn add(
    store: &Store,
    data: &Path,
    compiled: &Path,
    wasm: &[u8],
    number: usize,
) -> Result<()> {
    let bytes = numbered(wasm, number)?;
    let inspection = inspect(&bytes, 1 << 20, Embedded::Counts)?;
    let digest = &inspection.digest;
    std::fs::write(
        data.join("components").join(format!("{digest}.wasm")),
        &bytes,
    )?;
    for extension in ["cwasm", "sha256"] {
        let copy = compiled.with_file_name(digest).with_extension(extension);
        std::fs::copy(compiled.with_extension(extension), copy)?;
    }
    let spec = VersionSpec {
        manifest: inspection.manifest.unwrap_or_default(),
        exports: inspection.exports.clone(),
        overrides: Overrides::default(),
    };
    let version = NewVersion {
        tenant: DEFAULT_TENANT.to_owned(),
        agent: agent(number),
        origin: Origin::Api,
        digest: digest.clone(),
        spec,
    };
    store.add_version(version).await?;
    Ok(())
}

fn agent(number: usize) -> String {
    format!("agent-{number:04}")
}

/// The component with a custom section at its end.
fn numbered(wasm: &[u8], number: usize) -> Result<Vec<u8>> {
    let content = format!("\u{6}number{number:06}");
    let mut bytes = wasm.to_vec();
    bytes.extend([0, u8::try_from(content.len())?]);
    bytes.extend(content.as_bytes());
    Ok(bytes)
}

/// The one compiled component of a data folder.
fn only_compiled(data: &Path) -> Result<PathBuf> {
    let folder = std::fs::read_dir(data.join("compiled"))?
        .next()
        .context("nothing is compiled")??;
    let files = std::fs::read_dir(folder.path())?.flatten();
    let mut compiled = files.map(|file| file.path()).filter(|path| {
        path.extension()
            .is_some_and(|extension| extension == "cwasm")
    });
    compiled.next().context("nothing is compiled")
}
