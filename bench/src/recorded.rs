//! Whole turns in this process: accepted, run and ended in the store, without HTTP and scheduler.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anchorhold::clock::now_ms;
use anchorhold::codec;
use anchorhold::runtime::bindings::types;
use anchorhold::runtime::{Input, KillSwitch, Output, ResolvedAgent};
use anchorhold::store::{
    DEFAULT_TENANT, Durability, FinishedTurn, JournalPart, NewMessage, NewTurn, TurnKind,
    TurnStatus,
};
use anchorhold::turn::Journal;
use anyhow::{Result, bail};

use crate::rig::{Rig, message};

/// Makes ids of turns.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A message of its own, in a conversation by number.
pub(crate) fn message_in(conversation: usize, text: &str) -> types::Message {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    types::Message {
        id: format!("0190c5a0-0000-7000-8000-{number:012}"),
        conversation: format!("c{conversation}"),
        ..message(text)
    }
}

/// One durable turn, whose id is that of its message; answers how many calls it recorded last.
pub(crate) async fn turn(
    rig: &Rig,
    agent: &Arc<ResolvedAgent>,
    message: &types::Message,
    journal: Journal,
) -> Result<usize> {
    let store = &rig.host.store;
    let accepted = new_turn(agent, message)?;
    store
        .accept_turn(accepted, Durability::Written, |_| ())
        .await?;
    let finished = rig
        .run(agent, message, &KillSwitch::default(), journal)
        .await;
    let part = finished.journal().clone();
    let entries = part.entries.len();
    let Ok(Output::Reply(reply)) = finished.outcome else {
        bail!("no reply: {:?}", finished.outcome);
    };
    let ended = ended(message, reply, part)?;
    store.finish_turn(Arc::new(ended)).await?;
    Ok(entries)
}

fn new_turn(agent: &ResolvedAgent, message: &types::Message) -> Result<NewTurn> {
    Ok(NewTurn {
        tenant: DEFAULT_TENANT.to_owned(),
        id: message.id.clone(),
        kind: TurnKind::Chat,
        agent: agent.name.clone(),
        channel: message.channel.clone(),
        user: Some(message.author.id.clone()),
        token: None,
        seed: [7; 32],
        input: codec::encode(&Input::Chat(message.clone()))?,
        message: Some(NewMessage {
            id: message.id.clone(),
            conversation: message.conversation.clone(),
            author_name: message.author.name.clone(),
            text: message.text.clone(),
        }),
        idempotency: None,
        delivery: None,
        created_at: now_ms(),
        parent: None,
        callback: None,
        only_if_idle: false,
    })
}

fn ended(
    message: &types::Message,
    reply: types::Reply,
    journal: JournalPart,
) -> Result<FinishedTurn> {
    Ok(FinishedTurn {
        tenant: DEFAULT_TENANT.to_owned(),
        id: message.id.clone(),
        status: TurnStatus::Completed,
        text: Some(reply.text.clone()),
        output: Some(codec::encode(&Output::Reply(reply))?),
        error: None,
        receipt: "{}".to_owned(),
        journal,
        finished_at: now_ms(),
        for_parent: None,
        callback: None,
        went_on: false,
    })
}
