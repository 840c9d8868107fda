//! What is removed when it is old enough, by `[retention]`.

use std::num::NonZeroU32;

use anyhow::Result;

use crate::clock::now_ms;
use crate::config::Retention;
use crate::store::{RETENTION_BATCH, Store};

const DAY_MS: i64 = 86_400_000;

/// Removes what is old enough, batch by batch.
///
/// # Errors
///
/// If the store fails; what is left is removed another time.
pub async fn sweep(store: &Store, retention: &Retention) -> Result<()> {
    if let Some(before) = before(retention.turns_days) {
        repeat("turns", async || store.remove_turns(before).await).await?;
    }
    if let Some(before) = before(retention.conversations_days) {
        repeat("conversations", async || {
            store.remove_conversations(before).await
        })
        .await?;
    }
    if let Some(before) = before(retention.events_days) {
        repeat("events", async || store.remove_events(before).await).await?;
    }
    Ok(())
}

fn before(days: Option<NonZeroU32>) -> Option<i64> {
    Some(now_ms() - i64::from(days?.get()) * DAY_MS)
}

async fn repeat(kind: &'static str, remove: impl AsyncFn() -> Result<usize>) -> Result<()> {
    loop {
        let removed = remove().await?;
        metrics::counter!("anchorhold_removed_total", "kind" => kind).increment(removed as u64);
        if removed < RETENTION_BATCH {
            return Ok(());
        }
    }
}
