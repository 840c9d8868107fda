//! `gateway`: what the host adds to calls of a model, and its memory over very many of them.

use anyhow::{Result, ensure};

use crate::client::Client;
use crate::host::Host;
use crate::machine::memory_of;
use crate::one_way;
use crate::place::Place;
use crate::provider::{Provider, bare_gaps};
use crate::stats::{Samples, mib, us, verdict};
use crate::table::Table;

/// Calls of one turn, one after the other.
const IN_A_TURN: usize = 250;
const TURNS: usize = 12;

/// Streamed calls between which memory must stay the same.
const FIRST: usize = 10_000;
const ALL: usize = 110_000;

const BETWEEN: &str = "an answer to the next question at the provider";
const ONE_WAY: &str = "the guest's call to the provider";

const GOAL_P50_US: f64 = 200.0;
const GOAL_P99_US: f64 = 1_000.0;

pub(crate) async fn measure(place: &Place) -> Result<Table> {
    place.plug("probe")?;
    let provider = Provider::start().await?;
    let one_way = one_way::measure(place, &provider, TURNS, IN_A_TURN).await?;
    let more = format!("{}[limits]\nfuel = 200000000000\n", provider.settings());
    let host = Host::start(place, &more).await?;
    host.wait_for("probe", "generate hello").await?;
    let mut client = Client::connect(&host.address).await?;
    let bare = bare_gaps(&provider, IN_A_TURN * TURNS).await?;

    let mut table = Table::new("gateway", &["calls of a model", "from", "p50", "p99"]);
    row(&mut table, "a bare HTTP client", BETWEEN, &bare);
    for (command, name) in [
        ("generate hi", "`llm.generate` in a turn"),
        ("stream hi", "`llm.start`, read event by event"),
    ] {
        let gaps = turns(&mut client, &provider, command).await?;
        row(&mut table, name, BETWEEN, &gaps);
    }
    row(&mut table, "`llm.generate` in a turn", ONE_WAY, &one_way);
    let (p50, p99) = (one_way.median(), one_way.p99());
    let reached = p50.as_secs_f64() * 1e6 <= GOAL_P50_US && p99.as_secs_f64() * 1e6 <= GOAL_P99_US;
    table.note(format!(
        "One way, in one process with the host: the call is granted, reserved from two budgets, announced in the \
         journal, looked at by eight detectors and sent. p50 {} (goal 200 us), p99 {} (goal 1 ms): {}. Both ways, over \
         loopback: the answer is read, parsed and recorded besides, and the guest does what it does.",
        us(p50),
        us(p99),
        verdict(reached)
    ));

    let early = stream_until(&mut client, &provider, FIRST).await?;
    let before = memory_of(host.pid()?)?.resident;
    let late = stream_until(&mut client, &provider, ALL - early).await?;
    let after = memory_of(host.pid()?)?.resident;
    table.note(format!(
        "RSS after {early} streamed calls: {}, after {} more: {}.",
        mib(before),
        late,
        mib(after),
    ));
    Ok(table)
}

fn row(table: &mut Table, name: &str, from: &str, samples: &Samples) {
    let (p50, p99) = (us(samples.median()), us(samples.p99()));
    table.row([name.to_owned(), from.to_owned(), p50, p99]);
}

/// Turns that call a model again and again; what was between the calls.
async fn turns(client: &mut Client, provider: &Provider, command: &str) -> Result<Samples> {
    let text = vec![command; IN_A_TURN].join("\n");
    let mut gaps = Samples::default();
    for turn in 0..=TURNS {
        provider.take_gaps();
        client.say("probe", &text).await?;
        ensure!(provider.calls() == IN_A_TURN, "calls got lost");
        let of_turn = provider.take_gaps();
        // The first warms up.
        if turn > 0 {
            gaps.extend(of_turn);
        }
    }
    Ok(gaps)
}

async fn stream_until(client: &mut Client, provider: &Provider, calls: usize) -> Result<usize> {
    let text = vec!["stream hi"; IN_A_TURN].join("\n");
    let mut made = 0;
    while made < calls {
        client.say("probe", &text).await?;
        made += IN_A_TURN;
        provider.take_gaps();
    }
    Ok(made)
}
