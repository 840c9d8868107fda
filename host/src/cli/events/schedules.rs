//! `anchorhold events schedules`: what is published later, again and again or
//! once.

use anyhow::Result;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::parse_data;
use crate::cli::client::Client;
use crate::cli::output::{self, Table};
use crate::cli::wire::{items, text};
use crate::clock::now_ms;
use crate::format::{parse_time, short, utc};

#[derive(Debug, Args)]
pub(super) struct Schedules {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List schedules and when they publish next
    List,
    /// Make a schedule, or replace the one of this name
    Set(Set),
    /// Remove a schedule
    Remove {
        name: String,
        /// One that this agent made
        #[arg(long)]
        agent: Option<String>,
    },
}

#[derive(Debug, Args)]
struct Set {
    name: String,
    topic: String,
    /// The data, JSON
    data: String,
    /// Minute, hour, day of the month, month, day of the week: "30 9 * * 1-5"
    #[arg(long, required_unless_present = "at")]
    cron: Option<String>,
    /// The time zone of --cron, such as Europe/Berlin; UTC without it
    #[arg(long, value_name = "NAME", requires = "cron")]
    zone: Option<String>,
    /// Once, at a time such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = at, conflicts_with = "cron")]
    at: Option<i64>,
    /// Events of one key arrive in order
    #[arg(long)]
    key: Option<String>,
}

impl Schedules {
    pub(super) async fn run(self, client: &Client, json: bool) -> Result<()> {
        match self.command {
            Command::List => list(&client.all(&["schedules"]).await?, json),
            Command::Set(set) => set.run(client, json).await,
            Command::Remove { name, agent } => {
                let agent = agent.as_deref();
                let query: Vec<(&str, &str)> =
                    agent.map(|agent| ("agent", agent)).into_iter().collect();
                let path = ["schedules", &name];
                client
                    .call_with::<Value>(Method::DELETE, &path, &query)
                    .await?;
                eprintln!("Schedule {name} is removed.");
                Ok(())
            }
        }
    }
}

impl Set {
    async fn run(self, client: &Client, json: bool) -> Result<()> {
        let body = json!({
            "topic": self.topic, "data": parse_data(&self.data)?, "ordering_key": self.key,
            "cron": self.cron, "time_zone": self.zone, "at": self.at,
        });
        let path = ["schedules", &self.name];
        let set: Value = client.call(Method::PUT, &path, Some(&body)).await?;
        if json {
            return output::json(&set);
        }
        output::line(when(&set));
        Ok(())
    }
}

fn list(schedules: &Value, json: bool) -> Result<()> {
    if json {
        return output::json(schedules);
    }
    let mut table = Table::new(["NAME", "AGENT", "CRON", "NEXT", "TOPIC", "DATA"]);
    for schedule in items(schedules) {
        let cron = text(schedule, "cron");
        let zone = text(schedule, "time_zone");
        table.row([
            text(schedule, "name"),
            text(schedule, "agent"),
            if cron.is_empty() {
                "once".to_owned()
            } else {
                format!("{cron} {zone}")
            },
            when(schedule),
            text(schedule, "topic"),
            short(&text(schedule, "data"), 40),
        ]);
    }
    table.print("No schedules.");
    Ok(())
}

/// When it publishes next, and why it did not the last time.
fn when(schedule: &Value) -> String {
    let next = schedule.get("next_at").and_then(Value::as_i64);
    let next = next.map_or_else(|| "never again".to_owned(), utc);
    match text(schedule, "problem") {
        problem if problem.is_empty() => next,
        problem => format!("{next} (missed: {problem})"),
    }
}

fn at(text: &str) -> Result<i64, String> {
    parse_time(text, now_ms())
}
