//! What people think of answers.

use anyhow::Result;
use clap::Args;
use reqwest::Method;
use serde_json::Value;

use crate::channel::http::views::{FeedbackView, NewFeedback};
use crate::cli::client::Client;
use crate::cli::output;
use crate::cli::wire::word;
use crate::format::short;
use crate::store::Rating;

#[derive(Debug, Args)]
pub(super) struct Feedback {
    /// The turn
    id: String,
    /// up or down
    #[arg(value_parser = parse_rating)]
    rating: Rating,
    /// Why
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// For whom to speak; without it the token's name
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

impl Feedback {
    pub(super) async fn run(self, client: &Client, json: bool) -> Result<()> {
        let new = NewFeedback {
            turn: self.id,
            rating: self.rating,
            comment: self.comment,
            user: self.user,
        };
        let body = serde_json::to_value(&new)?;
        let given: Value = client
            .call(Method::POST, &["feedback"], Some(&body))
            .await?;
        if json {
            return output::json(&given);
        }
        eprintln!("The feedback is stored.");
        Ok(())
    }
}

pub(super) fn parse_rating(text: &str) -> Result<Rating, String> {
    match text {
        "up" => Ok(Rating::Up),
        "down" => Ok(Rating::Down),
        _ => Err("up or down".to_owned()),
    }
}

/// Feedback in a line.
pub(super) fn told(feedback: &FeedbackView) -> String {
    let comment = feedback.comment.as_deref().unwrap_or_default();
    let line = format!(
        "  {} says {}  {}",
        feedback.user,
        word(feedback.rating),
        short(comment, 200)
    );
    line.trim_end().to_owned()
}
