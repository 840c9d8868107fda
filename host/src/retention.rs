//! What is removed when it is old enough, by `[retention]`.

use std::num::NonZeroU32;

use anyhow::Result;

use crate::clock::now_ms;
use crate::config::Retention;
use crate::store::{RETENTION_BATCH, Store};

const DAY_MS: i64 = 86_400_000;

/// Longer than any replay takes.
const ABANDONED_MS: i64 = 3_600_000;

/// Slack may send again what it could not for a while.
const SLACK_MS: i64 = 3 * DAY_MS;

/// Removes what is old enough, batch by batch, and settles what was reserved and
/// left.
///
/// # Errors
///
/// If the store fails; what is left is removed another time.
pub async fn sweep(store: &Store, retention: &Retention) -> Result<()> {
    store.settle_abandoned(now_ms() - ABANDONED_MS).await?;
    if let Some(before) = before(retention.turns_days) {
        while count("turns", store.remove_turns(before).await?) {}
    }
    if let Some(before) = before(retention.conversations_days) {
        while count("conversations", store.remove_conversations(before).await?) {}
    }
    if let Some(before) = before(retention.events_days) {
        while count("events", store.remove_events(before).await?) {}
    }
    while count("slack", store.remove_slack(now_ms() - SLACK_MS).await?) {}
    while count(
        "cached answers",
        store.remove_cached_responses(now_ms()).await?,
    ) {}
    Ok(())
}

fn before(days: Option<NonZeroU32>) -> Option<i64> {
    Some(now_ms() - i64::from(days?.get()) * DAY_MS)
}

/// Counts what was removed; answers whether there may be more.
fn count(kind: &'static str, removed: usize) -> bool {
    metrics::counter!("anchorhold_removed_total", "kind" => kind).increment(removed as u64);
    removed == RETENTION_BATCH
}
