//! What commands tell, in Slack's own marks.

use super::super::lanes::Trouble;
use super::super::message::{Visit, author_id};
use super::super::{CHANNEL, mrkdwn};
use crate::clock::now_ms;
use crate::format::{ago, count, money, span, things};
use crate::runtime::Failure;
use crate::store::{
    Account, AnsweringAgent, BudgetRow, Span, TurnStatus, TurnSummary, UsageBy, UsageFilter,
    UsageGroup, UsageRow,
};
use crate::turn::Receipt;

pub(in crate::channel::slack) fn agents(agents: &[AnsweringAgent]) -> String {
    let lines = agents.iter().map(|agent| {
        let about = match agent.description.as_str() {
            "" => String::new(),
            about => format!(": {}", mrkdwn::escape(about)),
        };
        format!("• *{}*{about}", agent.name)
    });
    lines.collect::<Vec<_>>().join("\n")
}

pub(super) fn status(unfinished: &[TurnSummary], now: i64) -> String {
    if unfinished.is_empty() {
        return "The host is there. Nothing runs for you.".to_owned();
    }
    let lines = unfinished.iter().map(|turn| {
        let does = match turn.status {
            TurnStatus::Queued => "waits for its turn",
            TurnStatus::Waiting => "waits for an answer or a time",
            _ => "is at work",
        };
        format!(
            "• *{}* {does}, asked {}",
            turn.agent,
            ago(turn.created_at, now)
        )
    });
    let lines: Vec<String> = lines.collect();
    format!("The host is there. For you:\n{}", lines.join("\n"))
}

pub(super) fn stopped(agents: &[String]) -> String {
    if agents.is_empty() {
        return "Nothing of yours runs here.".to_owned();
    }
    format!("Stopped: {}.", agents.join(", "))
}

/// What a person used today and this month.
pub(in crate::channel::slack) async fn usage(
    visit: &Visit<'_>,
    user: &str,
) -> Result<String, Trouble> {
    let now = now_ms();
    let mut lines = Vec::new();
    for (name, window) in [("Today", Span::Day), ("This month", Span::Month)] {
        let filter = UsageFilter {
            since: window.around(now).0,
            until: None,
            user: Some(author_id(user)),
        };
        let store = &visit.slack.host.store;
        let sums = store.usage(&visit.item.tenant_id, &[UsageBy::User], &filter);
        let sum = sums.await?.pop().unwrap_or_default();
        lines.push(format!("{name} (UTC): {}", used(&sum)));
    }
    Ok(lines.join("\n"))
}

fn used(sum: &UsageGroup) -> String {
    let number = |number: i64| number.unsigned_abs();
    let unpriced = match sum.unpriced_calls {
        0 => String::new(),
        calls => format!(", and {} of unknown price", things(number(calls), "call")),
    };
    format!(
        "{} of models, {} tokens in, {} out, {}{unpriced}",
        things(number(sum.calls), "call"),
        count(number(sum.input_tokens)),
        count(number(sum.output_tokens)),
        money(number(sum.cost_micro_usd)),
    )
}

/// What is left for a person who may ask these agents.
pub(in crate::channel::slack) async fn budget(
    visit: &Visit<'_>,
    user: &str,
    agents: &[AnsweringAgent],
) -> Result<String, Trouble> {
    let mut lines: Vec<String> = Vec::new();
    for agent in agents {
        let account = Account {
            tenant: visit.item.tenant_id.clone(),
            turn: String::new(),
            agent: agent.name.clone(),
            user: Some(author_id(user)),
            channel: CHANNEL.to_owned(),
            conversation: None,
        };
        let rows = visit.slack.host.store.budgets_of(&account).await?;
        for line in rows.iter().flat_map(left) {
            // Most budgets are of all agents.
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    if lines.is_empty() {
        return Ok("Nothing limits you.".to_owned());
    }
    Ok(lines.join("\n"))
}

fn left(row: &BudgetRow) -> Vec<String> {
    let whose = match row.scope.as_str() {
        "all" => "Everyone".to_owned(),
        scope if scope.starts_with("user:") => "You".to_owned(),
        scope => mrkdwn::escape(scope),
    };
    let window = match row.span {
        Span::Total => "in all".to_owned(),
        span => format!("this {}", span.name()),
    };
    let cost = row.max_cost_micro_usd.map(|most| {
        let left = (most - row.cost_micro_usd - row.reserved_cost_micro_usd).max(0);
        let (left, most) = (money(left.unsigned_abs()), money(most.unsigned_abs()));
        format!("{left} of {most}")
    });
    let rest = |most: Option<i64>, used: i64, unit: &str| {
        let most = most?;
        let left = (most - used).max(0).unsigned_abs();
        Some(format!(
            "{} of {} {unit}",
            count(left),
            count(most.unsigned_abs())
        ))
    };
    let tokens = rest(row.max_tokens, row.tokens + row.reserved_tokens, "tokens");
    let calls = rest(row.max_requests, row.requests, "calls");
    let parts = [cost, tokens, calls].into_iter().flatten();
    parts
        .map(|left| format!("• {whose}, {window}: {left} left"))
        .collect()
}

/// How an answer came about.
pub(super) async fn why(visit: &Visit<'_>, turn: Option<TurnSummary>) -> Result<String, Trouble> {
    let Some(turn) = turn else {
        return Ok("There is no answer of yours to explain yet.".to_owned());
    };
    let store = &visit.slack.host.store;
    let calls = store.usage_of_turn(&visit.item.tenant_id, &turn.id).await?;
    Ok(explained(&turn, &calls, now_ms()))
}

fn explained(turn: &TurnSummary, calls: &[UsageRow], now: i64) -> String {
    let version = turn.version.map(|version| format!(" version {version}"));
    let ended = match turn.status {
        TurnStatus::Completed => "answered",
        TurnStatus::Failed => "failed",
        TurnStatus::Cancelled => "was stopped",
        TurnStatus::Queued | TurnStatus::Running | TurnStatus::Waiting => "has not ended",
    };
    let mut lines = vec![format!(
        "*{}*{} {ended}, asked {}.",
        turn.agent,
        version.unwrap_or_default(),
        ago(turn.created_at, now)
    )];
    let receipt = turn.receipt.as_deref();
    let receipt = receipt.and_then(|receipt| serde_json::from_str::<Receipt>(receipt).ok());
    if let Some(receipt) = receipt {
        lines.push(format!(
            "It took {}, of which models took {}, and made {}.",
            span(receipt.wall_ms * 1_000),
            span(receipt.timing.model_us),
            things(receipt.host_calls, "host call"),
        ));
    }
    for call in calls {
        let cost = call.cost_micro_usd.map(i64::unsigned_abs);
        lines.push(format!(
            "• {} of {}: {} tokens in, {} out, {}",
            mrkdwn::escape(&call.model),
            mrkdwn::escape(&call.provider),
            count(call.input_tokens.unsigned_abs()),
            count(call.output_tokens.unsigned_abs()),
            cost.map_or_else(|| "of unknown price".to_owned(), money),
        ));
    }
    let failure = turn.error.as_deref();
    let failure = failure.and_then(|error| serde_json::from_str::<Failure>(error).ok());
    if let Some(failure) = failure {
        lines.push(format!("Why: {}", mrkdwn::escape(&failure.message)));
    }
    lines.push(format!("Its number for the administrator: `{}`", turn.id));
    lines.join("\n")
}
