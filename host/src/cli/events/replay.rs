//! `anchorhold events replay`: stored events, delivered again to one agent.

use anyhow::Result;
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::output;
use crate::cli::wire::number;
use crate::clock::now_ms;
use crate::format::{parse_time, things};

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// Which agent gets them
    #[arg(long)]
    agent: String,
    /// Events since then: a time such as 2026-01-31T12:00:00Z, or 24h
    #[arg(long, value_name = "TIME", value_parser = since, required_unless_present = "from")]
    since: Option<i64>,
    /// Events from this one on
    #[arg(long, value_name = "EVENT", conflicts_with = "since")]
    from: Option<String>,
    /// Events of these topics, instead of those it subscribes to
    #[arg(long, value_name = "PATTERN")]
    topic: Option<String>,
    /// How many deliveries at most
    #[arg(long, default_value_t = 1_000)]
    limit: u32,
}

impl Replay {
    pub(super) async fn run(self, client: &Client, json: bool) -> Result<()> {
        let from = match &self.from {
            Some(event) => json!({ "event": event }),
            None => json!({ "time": self.since }),
        };
        let body = json!({
            "agent": self.agent, "from": from, "topic": self.topic, "limit": self.limit,
        });
        let made: Value = client
            .call(Method::POST, &["events", "replay"], Some(&body))
            .await?;
        if json {
            return output::json(&made);
        }
        let deliveries = number(&made, "deliveries").unsigned_abs();
        output::line(format!("{} to {}", things(deliveries, "event"), self.agent));
        if let Some(next) = made.get("next").and_then(Value::as_str) {
            eprintln!("There are more: --from {next}");
        }
        Ok(())
    }
}

fn since(text: &str) -> Result<i64, String> {
    parse_time(text, now_ms())
}
