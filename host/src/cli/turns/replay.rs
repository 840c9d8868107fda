//! `anchorhold turns replay`: turns run again, by the version that ran or by
//! another one, and what differs.

use anyhow::Result;
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use crate::channel::http::views::{Items, TurnView};
use crate::cli::client::Client;
use crate::cli::fault::{Exit, Fault};
use crate::cli::format::short;
use crate::cli::output::{self, plain};
use crate::cli::wire::read;
use crate::turn::Replayed;

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The turn; without it the latest turns of --agent
    #[arg(required_unless_present = "agent", conflicts_with = "agent")]
    id: Option<String>,
    /// Run this version instead of the one that ran
    #[arg(long)]
    version: Option<i64>,
    /// Run the latest completed turns of this agent
    #[arg(long)]
    agent: Option<String>,
    /// How many of them
    #[arg(long, default_value_t = 20, requires = "agent")]
    limit: u32,
}

impl Replay {
    pub(super) async fn run(&self, client: &Client, json: bool) -> Result<()> {
        let turns = match &self.id {
            Some(id) => vec![id.clone()],
            None => self.latest(client).await?,
        };
        let mut differing = 0;
        for turn in &turns {
            let answer: Value = client
                .call(
                    Method::POST,
                    &["turns", turn, "replay"],
                    Some(&json!({"version": self.version})),
                )
                .await?;
            let replayed: Replayed = read(&answer)?;
            if json {
                output::json(&answer)?;
            } else {
                print(&replayed);
            }
            differing += usize::from(!replayed.same);
        }
        if differing == 0 {
            return Ok(());
        }
        let said = format!("{differing} of {} differ", turns.len());
        Err(Fault::new(Exit::Failure, said).into())
    }

    async fn latest(&self, client: &Client) -> Result<Vec<String>> {
        let limit = self.limit.to_string();
        let query = [
            ("agent", self.agent.as_deref().unwrap_or_default()),
            ("status", "completed"),
            ("limit", limit.as_str()),
        ];
        let turns: Items<TurnView> = client.get(&["turns"], &query).await?;
        Ok(turns.items.into_iter().map(|turn| turn.turn).collect())
    }
}

fn print(replayed: &Replayed) {
    let verdict = if replayed.same { "same" } else { "differs" };
    output::line(format!(
        "{}  version {}  {verdict}",
        replayed.turn, replayed.version
    ));
    for difference in &replayed.differences {
        let said = format!(
            "  {}\n    before  {}\n    after   {}",
            difference.what,
            short(&difference.before, 200),
            short(&difference.after, 200)
        );
        output::line(plain(&said));
    }
}
