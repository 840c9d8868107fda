//! `anchorhold events tail`: events as they are published, until ctrl-c.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use crate::cli::client::Client;
use crate::cli::output;
use crate::cli::wire::{number, text};
use crate::format::{short, utc};

/// How long to wait before asking a host again that closed the connection.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct Tail {
    /// Only events of these topics: * is one word, ** the rest
    #[arg(long, value_name = "PATTERN")]
    topic: Option<String>,
    /// Begin after this position, 0 for all that is stored
    #[arg(long, value_name = "POSITION")]
    after: Option<i64>,
}

impl Tail {
    pub(super) async fn run(self, client: &Client, json: bool) -> Result<()> {
        tokio::select! {
            followed = self.follow(client, json) => followed,
            interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        }
    }

    /// Follows, also across connections that break; ends when no host answers.
    async fn follow(&self, client: &Client, json: bool) -> Result<()> {
        let mut last = self
            .after
            .map(|after| after.to_string())
            .unwrap_or_default();
        let topic = self.topic.as_deref();
        let query: Vec<(&str, &str)> = topic.map(|topic| ("topic", topic)).into_iter().collect();
        loop {
            let mut events = client.follow(&query, &last).await?;
            while let Ok(Some(event)) = events.next().await {
                show(&serde_json::from_str(&event.data)?, json);
                last = event.id;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// One event, one line.
fn show(event: &Value, json: bool) {
    if json {
        return output::line(event.to_string());
    }
    let line = [
        utc(number(event, "at")),
        text(event, "topic"),
        text(event, "source"),
        short(&text(event, "data"), 100),
    ];
    output::line(output::plain(&line.join("  ")).replace(['\n', '\t'], " "));
}
