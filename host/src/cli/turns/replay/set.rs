//! Which turns are run again when no single one is named.

use anyhow::Result;
use clap::Args;

use crate::channel::http::views::{Items, TurnView};
use crate::cli::client::Client;
use crate::clock::now_ms;
use crate::format::parse_span;

/// The most turns that the host lists at a time.
const PAGE: u32 = 500;

#[derive(Debug, Args)]
pub(super) struct Set {
    /// Run turns of this agent, the latest first
    #[arg(long)]
    agent: Option<String>,
    /// How many of them at most
    #[arg(long, default_value_t = 20, requires = "agent")]
    limit: u32,
    /// Only turns of this last time: 30m, 24h, 7d
    #[arg(long, value_name = "TIME", requires = "agent", value_parser = parse_span)]
    since: Option<i64>,
    /// Only turns before this last time
    #[arg(long, value_name = "TIME", requires = "agent", value_parser = parse_span)]
    until: Option<i64>,
    /// completed or failed ones
    #[arg(long, default_value = "completed", requires = "agent", value_parser = ["completed", "failed"])]
    status: String,
    /// Only turns that somebody rated up or down
    #[arg(long, value_name = "RATING", requires = "agent", value_parser = ["up", "down"])]
    feedback: Option<String>,
}

impl Set {
    /// The turns, page by page.
    pub(super) async fn turns(&self, client: &Client) -> Result<Vec<String>> {
        let mut turns = Vec::new();
        let mut cursor = None;
        while let Some(missing) = self.missing(&turns) {
            let page = self.page(client, missing, cursor.as_deref()).await?;
            turns.extend(page.items.into_iter().map(|turn| turn.turn));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        Ok(turns)
    }

    fn missing(&self, turns: &[String]) -> Option<u32> {
        let found = u32::try_from(turns.len()).unwrap_or(u32::MAX);
        Some(self.limit.saturating_sub(found).min(PAGE)).filter(|missing| *missing > 0)
    }

    async fn page(
        &self,
        client: &Client,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Items<TurnView>> {
        let ago = |span: Option<i64>| Some(now_ms().saturating_sub(span?).to_string());
        let (since, until, limit) = (ago(self.since), ago(self.until), limit.to_string());
        let options = [
            ("agent", self.agent.as_deref()),
            ("status", Some(self.status.as_str())),
            ("since_ms", since.as_deref()),
            ("until_ms", until.as_deref()),
            ("feedback", self.feedback.as_deref()),
            ("limit", Some(limit.as_str())),
            ("cursor", cursor),
        ];
        let query: Vec<(&str, &str)> = options
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        client.get(&["turns"], &query).await
    }
}
