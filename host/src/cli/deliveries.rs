//! `anchorhold deliveries`: answers on their way to callbacks.

use anyhow::Result;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use super::client::Client;
use super::globals::Setting;
use super::output::{self, Table};
use super::wire::{read, word};
use crate::channel::http::views::{Items, OutgoingView};
use crate::clock::now_ms;
use crate::format::{ago, short};

/// Answers that go to callbacks: list, try again
#[derive(Debug, Args)]
pub(super) struct Deliveries {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List answers that go to callbacks, oldest first
    List {
        /// Only pending, delivered or dead ones
        #[arg(long)]
        status: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// `next` of the list before
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Deliver an answer once more that could not be delivered
    Retry { turn: String },
}

impl Deliveries {
    pub(super) async fn run(self, setting: &Setting) -> Result<()> {
        let (client, json) = (setting.client()?, setting.globals.json);
        match self.command {
            Command::List {
                status,
                limit,
                cursor,
            } => {
                let limit = limit.to_string();
                let mut query = vec![("limit", limit.as_str())];
                query.extend(status.as_deref().map(|status| ("status", status)));
                query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
                list(&client.get(&["deliveries"], &query).await?, json)
            }
            Command::Retry { turn } => retry(&client, &turn).await,
        }
    }
}

async fn retry(client: &Client, turn: &str) -> Result<()> {
    let path = ["deliveries", turn, "retry"];
    client.call::<Value>(Method::POST, &path, None).await?;
    eprintln!("The answer of turn {turn} will be delivered once more.");
    Ok(())
}

fn list(deliveries: &Value, json: bool) -> Result<()> {
    if json {
        return output::json(deliveries);
    }
    let deliveries: Items<OutgoingView> = read(deliveries)?;
    let mut table = Table::new(["TURN", "STATUS", "ATTEMPTS", "WHEN", "CALLBACK", "ERROR"]);
    for delivery in deliveries.items {
        table.row([
            delivery.turn,
            word(delivery.status),
            delivery.attempts.to_string(),
            ago(delivery.created_at, now_ms()),
            short(&delivery.callback, 50),
            short(&delivery.error.unwrap_or_default(), 60),
        ]);
    }
    table.print("No answers go to callbacks.");
    if let Some(next) = deliveries.next {
        eprintln!("There may be more: --cursor {next}");
    }
    Ok(())
}
