//! `anchorhold events`: publishing now and by schedule, what was and is being
//! published, what could not be delivered and what is to be delivered again.

mod replay;
mod schedules;
mod tail;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::Client;
use super::fault::{Exit, Fault};
use super::globals::Setting;
use super::output::{self, Table};
use super::wire::{items, number, text};
use crate::clock::now_ms;
use crate::format::{ago, short, things};

/// Events: publish, schedule, follow, deliver again, dead letters
#[derive(Debug, Args)]
pub(super) struct Events {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Publish an event
    Publish {
        topic: String,
        /// The data, JSON
        data: String,
        /// Events of one key arrive in order
        #[arg(long)]
        key: Option<String>,
    },
    /// List events, oldest first
    List {
        /// Only events of this topic
        #[arg(long)]
        topic: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// `next` of the list before
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Follow events as they are published
    Tail(tail::Tail),
    /// Deliver stored events again to an agent
    Replay(replay::Replay),
    /// Publish later, again and again or once
    Schedules(schedules::Schedules),
    /// List events that could not be delivered, and why
    Dead,
    /// Deliver a dead letter once more
    Retry { event: String, agent: String },
}

impl Events {
    pub(super) async fn run(self, setting: &Setting) -> Result<()> {
        let (client, json) = (setting.client()?, setting.globals.json);
        match self.command {
            Command::Publish { topic, data, key } => {
                publish(&client, &topic, &data, key, json).await
            }
            Command::List {
                topic,
                limit,
                cursor,
            } => {
                let limit = limit.to_string();
                let mut query = vec![("limit", limit.as_str())];
                query.extend(topic.as_deref().map(|topic| ("topic", topic)));
                query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
                list(&client.get(&["events"], &query).await?, json)
            }
            Command::Tail(tail) => tail.run(&client, json).await,
            Command::Replay(replay) => replay.run(&client, json).await,
            Command::Schedules(schedules) => schedules.run(&client, json).await,
            Command::Dead => dead(&client.all(&["events", "dead"]).await?, json),
            Command::Retry { event, agent } => {
                let path = ["events", "dead", &event, &agent, "retry"];
                client.call::<Value>(Method::POST, &path, None).await?;
                eprintln!("Event {event} will be delivered to {agent} once more.");
                Ok(())
            }
        }
    }
}

async fn publish(
    client: &Client,
    topic: &str,
    data: &str,
    key: Option<String>,
    json: bool,
) -> Result<()> {
    let data = parse_data(data)?;
    let body = json!({ "topic": topic, "data": data, "ordering_key": key });
    let published: Value = client.call(Method::POST, &["events"], Some(&body)).await?;
    if json {
        return output::json(&published);
    }
    output::line(text(&published, "event"));
    let subscribers = number(&published, "subscribers").unsigned_abs();
    eprintln!("Published to {}.", things(subscribers, "agent"));
    Ok(())
}

fn parse_data(data: &str) -> Result<Value> {
    serde_json::from_str(data)
        .map_err(|error| {
            Fault::new(Exit::Usage, "the data is not JSON")
                .hint("quote it for the shell: '{\"text\": \"hello\"}'")
                .caused_by(error)
        })
        .context("reading the event")
}

fn list(events: &Value, json: bool) -> Result<()> {
    if json {
        return output::json(events);
    }
    let mut table = Table::new(["EVENT", "TOPIC", "SOURCE", "WHEN", "DATA"]);
    for event in items(events) {
        table.row([
            text(event, "event"),
            text(event, "topic"),
            text(event, "source"),
            ago(number(event, "at"), now_ms()),
            short(&text(event, "data"), 60),
        ]);
    }
    table.print("No events.");
    if let Some(next) = events.get("next").and_then(Value::as_str) {
        eprintln!("There may be more: --cursor {next}");
    }
    Ok(())
}

fn dead(letters: &Value, json: bool) -> Result<()> {
    if json {
        return output::json(letters);
    }
    let mut table = Table::new(["EVENT", "TOPIC", "AGENT", "ATTEMPTS", "WHEN", "ERROR"]);
    for letter in items(letters) {
        table.row([
            text(letter, "event"),
            text(letter, "topic"),
            text(letter, "agent"),
            text(letter, "attempts"),
            ago(number(letter, "at"), now_ms()),
            letter
                .get("error")
                .map(|error| text(error, "message"))
                .unwrap_or_default(),
        ]);
    }
    table.print("No dead letters.");
    Ok(())
}
