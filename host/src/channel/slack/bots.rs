//! Other bots: heard where that is configured and they mention the app, and only
//! so often in a row, because they may answer each other for ever.

use tracing::debug;

use super::access;
use super::event::Message;
use super::lanes::Trouble;
use super::message::{AUTHOR, Place, Visit, author_id};
use crate::clock::now_ms;
use crate::store::{TurnFilter, TurnSummary};

/// How many times as much as in a row a bot may begin, and in which time.
const MOST_BEGUN: u32 = 10;
const HOUR_MS: i64 = 3_600_000;

/// Deals with what a bot says to an agent.
///
/// # Errors
///
/// Why it was not dealt with.
pub(super) async fn hear(
    visit: &Visit<'_>,
    message: Message,
    bot: String,
    place: Place,
    (agent, text): (&str, String),
) -> Result<(), Trouble> {
    let may = access::bot_may(visit, agent, &bot, &message.channel);
    if !may || !message.mentions_us || text.trim().is_empty() {
        debug!(bot, agent, "another bot is not heard");
        return Ok(());
    }
    let is_enough = match message.thread_ts {
        Some(_) => are_enough(visit, &place).await?,
        None => has_begun_enough(visit, &bot).await?,
    };
    if is_enough {
        let why = "bots have said as much as they may";
        visit.denied(&bot, (&message.channel, agent), why).await;
        return Ok(());
    }
    let message = Message {
        user: bot,
        ..message
    };
    visit.begin(message, place, agent, text, None).await
}

/// Whether a bot's latest turns are as many as it may begin. Each begins a thread,
/// so that none of them follows another.
async fn has_begun_enough(visit: &Visit<'_>, bot: &str) -> Result<bool, Trouble> {
    let most = visit.slack.config.max_bot_messages * MOST_BEGUN;
    let filter = TurnFilter {
        user: Some(author_id(bot)),
        since: Some(now_ms() - HOUR_MS),
        limit: most,
        ..TurnFilter::default()
    };
    let store = &visit.slack.host.store;
    let latest = store.turns(&visit.item.tenant_id, &filter).await?;
    Ok(latest.len() == most as usize)
}

/// Whether the latest turns of a thread are all of bots, as many as there may be.
async fn are_enough(visit: &Visit<'_>, place: &Place) -> Result<bool, Trouble> {
    let most = visit.slack.config.max_bot_messages;
    let filter = TurnFilter {
        conversation: Some(place.conversation()),
        limit: most,
        ..TurnFilter::default()
    };
    let store = &visit.slack.host.store;
    let latest = store.turns(&visit.item.tenant_id, &filter).await?;
    let is_bots = |turn: &TurnSummary| {
        let user = turn.user_id.as_deref().unwrap_or_default();
        user.strip_prefix(AUTHOR).is_some_and(access::is_bot)
    };
    Ok(latest.len() == most as usize && latest.iter().all(is_bots))
}
