//! `anchorhold budgets`: how much may be used, and how much is.

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::Client;
use super::globals::Setting;
use super::output::{self, Table};
use super::wire::{read, word};
use crate::channel::http::views::{BudgetView, Items};
use crate::format::{count, money, parse_dollars, percent, utc};

/// What may be spent on models: list, set, remove
#[derive(Debug, Args)]
pub(super) struct Budgets {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List budgets and what is used of them
    List,
    /// Set a budget of a scope in one window
    Set(Set),
    /// Remove the budgets of a scope, or the one of a window
    Remove {
        scope: String,
        #[arg(long)]
        window: Option<Window>,
    },
}

#[derive(Debug, Args)]
struct Set {
    /// all, tenant:ID, channel:ID, user:ID, agent:NAME or conversation:ID
    scope: String,
    #[arg(long)]
    window: Window,
    /// Dollars
    #[arg(long, value_name = "DOLLARS", value_parser = parse_dollars)]
    cost_usd: Option<u64>,
    /// Tokens in and out
    #[arg(long)]
    tokens: Option<u64>,
    /// Calls of models
    #[arg(long)]
    requests: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Window {
    Minute,
    Hour,
    Day,
    Month,
    Total,
}

impl Window {
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

impl Budgets {
    pub(super) async fn run(self, setting: &Setting) -> Result<()> {
        let (client, json) = (setting.client()?, setting.globals.json);
        match self.command {
            Command::List => list(&client.get(&["budgets"], &[]).await?, json),
            Command::Set(set) => set.run(&client, json).await,
            Command::Remove { scope, window } => {
                let window = window.map(Window::name);
                let query: Vec<_> = window
                    .iter()
                    .map(|name| ("window", name.as_str()))
                    .collect();
                let path = ["budgets", scope.as_str()];
                client
                    .call_with::<Value>(Method::DELETE, &path, &query)
                    .await?;
                eprintln!("The budget of {scope} is removed.");
                Ok(())
            }
        }
    }
}

impl Set {
    async fn run(self, client: &Client, json: bool) -> Result<()> {
        if self.cost_usd.is_none() && self.tokens.is_none() && self.requests.is_none() {
            bail!("say how much: --cost-usd, --tokens or --requests");
        }
        let body = json!({
            "window": self.window.name(), "cost_micro_usd": self.cost_usd,
            "tokens": self.tokens, "requests": self.requests,
        });
        let path = ["budgets", &self.scope];
        let set: Value = client.call(Method::PUT, &path, Some(&body)).await?;
        list(&json!({"items": [set], "next": null}), json)
    }
}

fn list(budgets: &Value, json: bool) -> Result<()> {
    if json {
        return output::json(budgets);
    }
    let budgets: Items<BudgetView> = read(budgets)?;
    let mut table = Table::new([
        "SCOPE", "WINDOW", "WHAT", "LIMIT", "USED", "", "RESERVED", "RESETS",
    ]);
    for budget in &budgets.items {
        let of = |limit: Option<i64>, what: &'static str, used: i64, reserved: i64| {
            limit.map(|limit| {
                (
                    what,
                    limit.unsigned_abs(),
                    used.unsigned_abs(),
                    reserved.unsigned_abs(),
                )
            })
        };
        let limits = [
            of(
                budget.cost_micro_usd,
                "cost",
                budget.used.cost_micro_usd,
                budget.reserved.cost_micro_usd,
            ),
            of(
                budget.tokens,
                "tokens",
                budget.used.tokens,
                budget.reserved.tokens,
            ),
            of(budget.requests, "requests", budget.used.requests, 0),
        ];
        for (what, limit, used, reserved) in limits.into_iter().flatten() {
            let show = if what == "cost" { money } else { count };
            table.row([
                budget.scope.clone(),
                word(budget.window),
                what.to_owned(),
                show(limit),
                show(used),
                percent(used, limit),
                show(reserved),
                budget.resets_at.map_or_else(|| "never".to_owned(), utc),
            ]);
        }
    }
    table.print("No budgets: models may cost what they will.");
    Ok(())
}
