//! Questions that turns ask, and answers to them.

use anyhow::Result;
use clap::Args;
use reqwest::Method;
use serde_json::Value;

use crate::channel::http::views::{Items, NewAnswer, QuestionView};
use crate::cli::client::Client;
use crate::cli::output::{self, Table};
use crate::cli::wire::{read, word};
use crate::clock::now_ms;
use crate::format::{ago, short, utc};
use crate::turn::Expects;

#[derive(Debug, Args)]
pub(super) struct Answer {
    /// The turn that asks
    id: String,
    /// The text or the choice; a reason, with --approve or --refuse
    text: Option<String>,
    /// Say yes to a question for approval
    #[arg(long, conflicts_with = "refuse")]
    approve: bool,
    /// Say no
    #[arg(long)]
    refuse: bool,
    /// For whom to speak, for example slack:U0123ABCD; without it the token's name
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

impl Answer {
    pub(super) async fn run(self, client: &Client, json: bool) -> Result<()> {
        let answer = NewAnswer {
            text: self.text,
            approve: (self.approve || self.refuse).then_some(self.approve),
            user: self.user,
            call: None,
        };
        let body = serde_json::to_value(&answer)?;
        let path = ["turns", &self.id, "answer"];
        let turn: Value = client.call(Method::POST, &path, Some(&body)).await?;
        if json {
            return output::json(&turn);
        }
        eprintln!("The answer is taken; the turn goes on.");
        Ok(())
    }
}

pub(super) async fn list(client: &Client, json: bool) -> Result<()> {
    let questions = client.all(&["questions"]).await?;
    if json {
        return output::json(&questions);
    }
    let questions: Items<QuestionView> = read(&questions)?;
    let mut table = Table::new(["TURN", "ASKED", "EXPIRES", "WHO", "ANSWER WITH", "QUESTION"]);
    for asked in questions.items {
        table.row([
            asked.turn,
            ago(asked.asked_at, now_ms()),
            utc(asked.question.expires_at),
            asked.question.who.join(", "),
            expected(asked.question.expects, &asked.question.choices),
            short(&asked.question.text, 60),
        ]);
    }
    table.print("Nobody is asked anything.");
    Ok(())
}

/// A question in some lines.
pub(super) fn told(asked: &QuestionView) -> Vec<String> {
    let question = &asked.question;
    vec![
        format!(
            "  asks {} until {}: {}",
            question.who.join(", "),
            utc(question.expires_at),
            short(&question.text, 200)
        ),
        format!(
            "  answer with: anchorhold turns answer {} {}",
            asked.turn,
            expected(question.expects, &question.choices)
        ),
    ]
}

fn expected(expects: Expects, choices: &[String]) -> String {
    match expects {
        Expects::Text => word(expects).to_uppercase(),
        Expects::Choice => choices.join(" | "),
        Expects::Approval => "--approve | --refuse".to_owned(),
    }
}
