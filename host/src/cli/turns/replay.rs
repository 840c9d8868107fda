//! `anchorhold turns replay`: turns run again, by what ran or by something else
//! to compare with, and what differs.

mod set;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::cli::agents::upload::digest_of;
use crate::cli::client::Client;
use crate::cli::fault::{Exit, Fault, exit_of, in_a_line};
use crate::cli::output::{self, plain};
use crate::cli::wire::read;
use crate::format::{parse_dollars, short};
use crate::turn::Replayed;
use set::Set;

/// How long a replay may take in which models are asked.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The turn; without it turns of --agent
    #[arg(required_unless_present = "agent", conflicts_with = "agent")]
    id: Option<String>,
    /// Run this version instead of the one that ran
    #[arg(long)]
    version: Option<i64>,
    /// Run this component instead: a file, which is uploaded, or a digest
    #[arg(long, value_name = "FILE", conflicts_with = "version")]
    component: Option<PathBuf>,
    /// Run with the configuration in this TOML file instead
    #[arg(long, value_name = "FILE")]
    agent_config: Option<PathBuf>,
    /// Really ask models what was not recorded; needs --max-cost-usd
    #[arg(long, requires = "max_cost_usd")]
    live_models: bool,
    /// How much model calls of each replay may cost, such as 0.50
    #[arg(long, value_name = "DOLLARS", requires = "live_models", value_parser = some_dollars)]
    max_cost_usd: Option<u64>,
    #[command(flatten)]
    set: Set,
}

/// How turns came out.
#[derive(Default)]
struct Tally {
    answers: Vec<Value>,
    differing: usize,
    /// What could not be run again, and why.
    not_run: Vec<(String, String)>,
}

impl Replay {
    pub(super) async fn run(&self, client: &Client, json: bool) -> Result<()> {
        let how = self.how(client).await?;
        match &self.id {
            Some(id) => self.one(client, id, &how, json).await,
            None => self.many(client, &how, json).await,
        }
    }

    /// What the host is asked for.
    async fn how(&self, client: &Client) -> Result<Value> {
        let component = match &self.component {
            Some(file) => Some(digest_of(client, &file.to_string_lossy()).await?),
            None => None,
        };
        let settings = self
            .agent_config
            .as_deref()
            .map(read_settings)
            .transpose()?;
        let live = self
            .max_cost_usd
            .map(|micros| json!({"max_cost_micro_usd": micros}));
        let mut how = Map::new();
        for (name, value) in [
            ("version", self.version.map(Value::from)),
            ("component", component.map(Value::from)),
            ("config", settings.map(Value::from)),
            ("live", live),
        ] {
            how.extend(value.map(|value| (name.to_owned(), value)));
        }
        Ok(Value::Object(how))
    }

    async fn one(&self, client: &Client, id: &str, how: &Value, json: bool) -> Result<()> {
        let mut tally = Tally::default();
        tally.add(replay(client, id, how).await?)?;
        if json {
            tally.answers.iter().try_for_each(output::json)?;
        } else {
            tally.print()?;
        }
        tally.verdict(1)
    }

    async fn many(&self, client: &Client, how: &Value, json: bool) -> Result<()> {
        let turns = self.set.turns(client).await?;
        let bar = bar(turns.len())?;
        let mut tally = Tally::default();
        for turn in &turns {
            match replay(client, turn, how).await {
                Ok(answer) => tally.add(answer)?,
                // What was cancelled, for example, has nothing to compare with.
                Err(error) if exit_of(&error) == Exit::Failure => {
                    tally.not_run.push((turn.clone(), in_a_line(&error)));
                }
                Err(error) => return Err(error),
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        if json {
            output::json(&tally.as_json())?;
        } else {
            tally.print()?;
            eprintln!("{}", tally.summary(turns.len()));
        }
        tally.verdict(turns.len())
    }
}

async fn replay(client: &Client, turn: &str, how: &Value) -> Result<Value> {
    let path = ["turns", turn, "replay"];
    client
        .call_within(PATIENCE, Method::POST, &path, Some(how))
        .await
}

impl Tally {
    fn add(&mut self, answer: Value) -> Result<()> {
        let replayed: Replayed = read(&answer)?;
        self.differing += usize::from(!replayed.same);
        self.answers.push(answer);
        Ok(())
    }

    fn print(&self) -> Result<()> {
        for answer in &self.answers {
            print(&read(answer)?);
        }
        for (turn, why) in &self.not_run {
            output::line(plain(&format!("{turn}  not run: {why}")));
        }
        Ok(())
    }

    fn as_json(&self) -> Value {
        let not_run = self.not_run.iter();
        let not_run: Vec<Value> = not_run
            .map(|(turn, why)| json!({"turn": turn, "why": why}))
            .collect();
        json!({"items": self.answers, "differing": self.differing, "not_run": not_run})
    }

    fn summary(&self, of: usize) -> String {
        let same = self.answers.len() - self.differing;
        let (differing, not_run) = (self.differing, self.not_run.len());
        format!("{of} turns: {same} the same, {differing} differ, {not_run} could not be run again")
    }

    fn verdict(&self, of: usize) -> Result<()> {
        if self.differing == 0 {
            return Ok(());
        }
        let said = format!("{} of {of} differ", self.differing);
        Err(Fault::new(Exit::Failure, said).into())
    }
}

/// A bar on standard error; where that is no terminal, it is not drawn.
fn bar(turns: usize) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {eta}")?;
    Ok(ProgressBar::new(turns as u64).with_style(style))
}

fn read_settings(path: &Path) -> Result<Map<String, Value>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Fault::new(Exit::Failure, format!("cannot read {shown}")).caused_by(error)
    })?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| {
        Fault::new(Exit::Usage, format!("{shown} is not TOML"))
            .hint("it has the keys of the agent's configuration, as they stand below [config] in a manifest")
            .caused_by(error)
    })?;
    match serde_json::to_value(table)? {
        Value::Object(settings) => Ok(settings),
        _ => Ok(Map::new()),
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

fn some_dollars(text: &str) -> Result<u64, String> {
    match parse_dollars(text)? {
        0 => Err("more than nothing; without --live-models no model is asked".to_owned()),
        micros => Ok(micros),
    }
}
