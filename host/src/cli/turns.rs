//! `anchorhold turns`: what was asked, what came of it, where the time went.

pub(super) mod explain;
mod feedback;
mod questions;
mod replay;

use anyhow::Result;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use feedback::Feedback;
use questions::Answer;
use replay::Replay;

use super::client::Client;
use super::globals::Setting;
use super::output::{self, Table, plain};
use super::wire::{read, word};
use crate::channel::http::views::{Items, JournalItem, TurnView};
use crate::clock::now_ms;
use crate::format::{ago, money, short, span, utc};

/// Turns: list, answers, journals, where the time went
#[derive(Debug, Args)]
pub(super) struct Turns {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List turns, newest first
    List(List),
    /// Show a turn and its answer
    Show { id: String },
    /// Say where the time and the money of a turn went
    Explain { id: String },
    /// Show every host call of a turn
    Journal { id: String },
    /// Stop a turn that has not ended
    Cancel { id: String },
    /// List the questions that wait for an answer
    Questions,
    /// Answer the question of a turn
    Answer(Answer),
    /// Say what you think of an answer
    Feedback(Feedback),
    /// Run turns again from their journals and compare; nothing outside happens
    Replay(Replay),
}

#[derive(Debug, Args)]
struct List {
    /// Only turns of this agent
    #[arg(long)]
    agent: Option<String>,
    /// Only turns of this conversation
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,
    /// Only queued, running, waiting, completed, failed or cancelled ones
    #[arg(long)]
    status: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// `next` of the list before
    #[arg(long)]
    cursor: Option<String>,
}

impl Turns {
    pub(super) async fn run(self, setting: &Setting) -> Result<()> {
        let (client, json) = (setting.client()?, setting.globals.json);
        match self.command {
            Command::List(list) => list.run(&client, json).await,
            Command::Show { id } => show(&client.get(&["turns", &id], &[]).await?, json),
            Command::Explain { id } => explain::run(&client, &id, json).await,
            Command::Journal { id } => journal(&client, &id, json).await,
            Command::Cancel { id } => {
                client
                    .call::<Value>(Method::POST, &["turns", &id, "cancel"], None)
                    .await?;
                eprintln!("Turn {id} is told to stop.");
                Ok(())
            }
            Command::Questions => questions::list(&client, json).await,
            Command::Answer(answer) => answer.run(&client, json).await,
            Command::Feedback(feedback) => feedback.run(&client, json).await,
            Command::Replay(replay) => replay.run(&client, json).await,
        }
    }
}

impl List {
    async fn run(&self, client: &Client, json: bool) -> Result<()> {
        let limit = self.limit.to_string();
        let options = [
            ("agent", self.agent.as_deref()),
            ("conversation", self.conversation.as_deref()),
            ("status", self.status.as_deref()),
            ("limit", Some(limit.as_str())),
            ("cursor", self.cursor.as_deref()),
        ];
        let query: Vec<(&str, &str)> = options
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        let turns: Value = client.get(&["turns"], &query).await?;
        if json {
            return output::json(&turns);
        }
        let turns: Items<TurnView> = read(&turns)?;
        let mut table = Table::new(["TURN", "AGENT", "STATUS", "WHEN", "TOOK", "COST", "ANSWER"]);
        for turn in &turns.items {
            table.row(row(turn));
        }
        table.print("No turns.");
        if let Some(next) = turns.next {
            eprintln!("There may be more: --cursor {next}");
        }
        Ok(())
    }
}

fn row(turn: &TurnView) -> [String; 7] {
    let receipt = turn.receipt.clone().unwrap_or_default();
    let took = turn
        .receipt
        .as_ref()
        .map(|receipt| span(receipt.wall_ms * 1_000));
    let said = match &turn.error {
        Some(error) => format!("{}: {}", word(error.code), error.message),
        None => turn.text.clone().unwrap_or_default(),
    };
    [
        turn.turn.clone(),
        turn.agent.clone(),
        word(turn.status),
        ago(turn.created_at, now_ms()),
        took.unwrap_or_default(),
        receipt.cost_micro_usd.map(money).unwrap_or_default(),
        short(&said, 50),
    ]
}

fn show(turn: &Value, json: bool) -> Result<()> {
    if json {
        return output::json(turn);
    }
    let turn: TurnView = read(turn)?;
    for line in headline(&turn) {
        output::line(plain(&line));
    }
    if let Some(text) = &turn.text {
        output::line("");
        output::line(plain(text));
    }
    Ok(())
}

/// What a turn is, in some lines.
fn headline(turn: &TurnView) -> Vec<String> {
    let version = turn
        .version
        .map(|version| format!(" version {version}"))
        .unwrap_or_default();
    let user = turn
        .user
        .as_deref()
        .map(|user| format!(" for {user}"))
        .unwrap_or_default();
    let mut lines = vec![
        format!("Turn {}  {}", turn.turn, word(turn.status)),
        format!(
            "  {} to {}{version}{user} over {}",
            word(turn.kind),
            turn.agent,
            turn.channel
        ),
        format!("  at {}", utc(turn.created_at)),
    ];
    if let Some(finished_at) = turn.finished_at {
        let took = finished_at.saturating_sub(turn.created_at).unsigned_abs();
        lines.push(format!("  done after {}", span(took * 1_000)));
    }
    if let Some(conversation) = &turn.conversation {
        lines.push(format!("  conversation {conversation}"));
    }
    lines.extend(turn.feedback.iter().map(feedback::told));
    if let Some(question) = &turn.question {
        lines.extend(questions::told(question));
    }
    if let Some(error) = &turn.error {
        lines.push(format!(
            "  failed: {} ({})",
            error.message,
            word(error.code)
        ));
    }
    lines
}

async fn journal(client: &Client, id: &str, json: bool) -> Result<()> {
    let journal: Value = client.get(&["turns", id, "journal"], &[]).await?;
    if json {
        return output::json(&journal);
    }
    let calls: Items<JournalItem> = read(&journal)?;
    let mut table = Table::new(["SEQ", "CALL", "STATUS", "TOOK", "ASKED", "ANSWERED"]);
    for call in calls.items {
        table.row([
            call.seq.to_string(),
            call.kind,
            word(call.status),
            span((call.ms * 1e3) as u64),
            short(&call.args.to_string(), 60),
            short(&call.result.to_string(), 60),
        ]);
    }
    table.print("The turn called nothing.");
    Ok(())
}
