//! `anchorhold usage`: what model calls took and cost.

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::globals::Setting;
use super::output::{self, Table};
use super::wire::read;
use crate::channel::http::views::Items;
use crate::clock::now_ms;
use crate::format::{count, money, parse_span};
use crate::store::UsageGroup;

/// What model calls took and cost
#[derive(Debug, Args)]
pub(super) struct Usage {
    /// Only calls of this last time: 30m, 24h, 7d
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    since: Option<i64>,
    /// What to sum up by: agent, user, model, channel, day
    #[arg(
        long,
        value_name = "WHAT",
        value_delimiter = ',',
        default_value = "agent,model"
    )]
    by: Vec<String>,
    /// As a table for spreadsheets
    #[arg(long)]
    csv: bool,
}

impl Usage {
    pub(super) async fn run(self, setting: &Setting) -> Result<()> {
        let client = setting.client()?;
        let since = self.since.map(|ms| now_ms().saturating_sub(ms).to_string());
        let by = self.by.join(",");
        let mut query = vec![("by", by.as_str())];
        query.extend(since.as_deref().map(|since| ("since_ms", since)));
        if self.csv {
            output::write(&client.text(&["usage"], &query, "text/csv").await?);
            return Ok(());
        }
        let usage: Value = client.get(&["usage"], &query).await?;
        if setting.globals.json {
            return output::json(&usage);
        }
        let groups: Items<UsageGroup> = read(&usage)?;
        let mut table = Table::new([
            "FOR",
            "MODEL",
            "CALLS",
            "FAILED",
            "TOKENS IN",
            "TOKENS OUT",
            "COST",
        ]);
        for group in &groups.items {
            table.row(row(group));
        }
        if groups.items.len() > 1 {
            table.row(row(&sum(&groups.items)));
        }
        table.print("No model calls.");
        Ok(())
    }
}

fn row(group: &UsageGroup) -> [String; 7] {
    let number = |number: i64| count(number.unsigned_abs());
    let names = [&group.day, &group.agent, &group.user, &group.channel];
    let names: Vec<&str> = names.into_iter().flatten().map(String::as_str).collect();
    let model = match (&group.provider, &group.model) {
        (Some(provider), Some(model)) => format!("{provider}/{model}"),
        _ => String::new(),
    };
    let unpriced = match group.unpriced_calls {
        0 => String::new(),
        calls => format!(" and {calls} calls of unknown price"),
    };
    [
        names.join(" "),
        model,
        number(group.calls),
        number(group.failed_calls),
        number(group.input_tokens),
        number(group.output_tokens),
        money(group.cost_micro_usd.unsigned_abs()) + &unpriced,
    ]
}

fn sum(groups: &[UsageGroup]) -> UsageGroup {
    let total = |field: fn(&UsageGroup) -> i64| groups.iter().map(field).sum();
    UsageGroup {
        agent: Some("all".to_owned()),
        calls: total(|group| group.calls),
        failed_calls: total(|group| group.failed_calls),
        input_tokens: total(|group| group.input_tokens),
        output_tokens: total(|group| group.output_tokens),
        cost_micro_usd: total(|group| group.cost_micro_usd),
        unpriced_calls: total(|group| group.unpriced_calls),
        ..UsageGroup::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_units() {
        assert_eq!(parse_span("24h"), Ok(86_400_000));
        assert_eq!(parse_span("30m"), Ok(1_800_000));
        assert!(parse_span("h").is_err() && parse_span("3").is_err() && parse_span("1y").is_err());
        assert!(parse_span("9223372036854775807d").is_err());
    }

    #[test]
    fn calls_of_unknown_price_are_not_free() {
        let group = UsageGroup {
            agent: Some("a".into()),
            calls: 2,
            failed_calls: 1,
            input_tokens: 1_000,
            output_tokens: 1,
            cost_micro_usd: 5,
            unpriced_calls: 1,
            ..UsageGroup::default()
        };
        let row = row(&sum(&[group.clone(), group]));
        assert_eq!(
            row,
            [
                "all",
                "",
                "4",
                "2",
                "2,000",
                "2",
                "$0.00001 and 2 calls of unknown price"
            ]
        );
    }
}
