//! `replay`: a thousand recorded turns of the agents that come along, run again and compared.

use std::time::{Duration, Instant};

use anchorhold::inbox::{Admitted, Inbound};
use anchorhold::runtime::Input;
use anchorhold::store::DEFAULT_TENANT;
use anchorhold::turn::Replay;
use anyhow::{Context, Result, bail, ensure};

use crate::place::Place;
use crate::recorded::message_in;
use crate::rig::Rig;
use crate::stats::{Samples, ms, verdict};
use crate::table::Table;

const TURNS: usize = 1_000;
const GOAL: Duration = Duration::from_secs(60);

const SAID: [(&str, &str); 5] = [
    ("assistant", "hello"),
    ("assistant", "remember that I like tea"),
    ("notes", "add buy milk #home"),
    ("notes", "list"),
    ("notes", "find milk"),
];

pub(crate) async fn measure(place: &Place) -> Result<Table> {
    let rig = Rig::start(place, &["assistant", "notes"]).await?;
    let begun = Instant::now();
    let mut turns = Vec::with_capacity(TURNS);
    for (number, (agent, text)) in SAID.iter().cycle().take(TURNS).enumerate() {
        turns.push(record(&rig, agent, text, number / 10).await?);
    }
    let recording = begun.elapsed();
    let (mut each, begun) = (Samples::default(), Instant::now());
    for turn in &turns {
        let started = Instant::now();
        let scheduler = &rig.host.scheduler;
        let replayed = scheduler
            .replay(DEFAULT_TENANT, turn, Replay::default())
            .await?;
        ensure!(
            replayed.same,
            "turn {turn} differs: {:?}",
            replayed.differences
        );
        each.push(started.elapsed());
    }
    let whole = begun.elapsed();
    let mut table = Table::new(
        "replay",
        &[
            "1,000 turns of assistant and notes",
            "in all",
            "median",
            "p99",
        ],
    );
    let seconds = |span: Duration| format!("{:.1} s", span.as_secs_f64());
    table.row([
        "baseline: run and recorded".into(),
        seconds(recording),
        String::new(),
        String::new(),
    ]);
    table.row([
        "run again and compared".into(),
        seconds(whole),
        ms(each.median()),
        ms(each.p99()),
    ]);
    table.note(format!(
        "One after the other, all the same. Goal: below {} s ({}).",
        GOAL.as_secs(),
        verdict(whole < GOAL)
    ));
    Ok(table)
}

/// Says something and waits for the end; answers the turn.
async fn record(rig: &Rig, agent: &str, text: &str, conversation: usize) -> Result<String> {
    let message = message_in(conversation, text);
    let inbox = &rig.host.inbox;
    let inbound = Inbound {
        tenant: DEFAULT_TENANT.to_owned(),
        agent: agent.to_owned(),
        channel: message.channel.clone(),
        user: Some(message.author.id.clone()),
        token: None,
        input: Input::Chat(message),
        idempotency: None,
        delivery: None,
        parent: None,
        callback: None,
        only_if_idle: false,
    };
    let seat = inbox.seat().context("the queue is full")?;
    let Admitted::Turn(feed) = inbox.admit(inbound, seat).await? else {
        bail!("a new message was taken for a repeated one");
    };
    feed.ended().await;
    Ok(feed.turn.clone())
}
