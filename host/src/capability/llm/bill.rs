//! What calls of models cost, as items of the bill.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, select};

use super::cached::Slot;
use crate::clock::now_ms;
use crate::llm::{Beginning, Generation, free};
use crate::runtime::bindings::llm;
use crate::store::{BudgetRow, Estimate, JournalPart, Store, UsageRow, UsageStatus};
use crate::turn::{Parked, ParkedCall, Refusable};

/// What a generation costs as far as is known.
pub(super) fn usage_of(generation: &Generation, call: i64, status: UsageStatus) -> UsageRow {
    UsageRow {
        status,
        provider: generation.provider(),
        model: generation.model(),
        ..usage(&generation.usage(), call, generation.charge())
    }
}

/// What vectors cost.
pub(super) fn usage_of_texts(
    estimate: Estimate,
    response: &llm::EmbedResponse,
    call: i64,
    charge: u64,
) -> UsageRow {
    UsageRow {
        provider: estimate.provider,
        model: estimate.model,
        ..usage(&response.usage, call, charge)
    }
}

/// A call that came to nothing costs nothing.
pub(super) fn refused(estimate: &Estimate, call: i64) -> UsageRow {
    UsageRow {
        call,
        provider: estimate.provider.clone(),
        model: estimate.model.clone(),
        status: UsageStatus::Failed,
        cost_micro_usd: Some(0),
        at: now_ms(),
        ..UsageRow::default()
    }
}

fn usage(usage: &llm::Usage, call: i64, charge: u64) -> UsageRow {
    UsageRow {
        call,
        input_tokens: number(usage.input_tokens),
        output_tokens: number(usage.output_tokens),
        estimated: usage.estimated,
        cost_micro_usd: usage.cost_micro_usd.map(number),
        charge_micro_usd: number(charge),
        at: now_ms(),
        ..UsageRow::default()
    }
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What is left of a budget.
pub(super) fn left_of(row: &BudgetRow) -> llm::Budget {
    let left = |limit: Option<i64>, used: i64| {
        let left = limit?.saturating_sub(used).max(0);
        Some(left.unsigned_abs())
    };
    llm::Budget {
        scope: row.scope.clone(),
        window: Some(row.span.name().to_owned()),
        requests_left: left(row.max_requests, row.requests),
        tokens_left: left(row.max_tokens, row.tokens + row.reserved_tokens),
        cost_left_micro_usd: left(
            row.max_cost_micro_usd,
            row.cost_micro_usd + row.reserved_cost_micro_usd,
        ),
        resets_at_ms: row.resets_at().map(i64::unsigned_abs),
    }
}

/// Why there is no list of budgets.
pub(super) fn unknown_budgets(error: &anyhow::Error) -> llm::Error {
    tracing::warn!(error = %format!("{error:#}"), "budgets cannot be read");
    llm::Error {
        kind: llm::ErrorKind::Internal,
        ..llm::Error::denied("the host cannot read its budgets now".to_owned())
    }
}

/// How a whole answer came out, and what it costs.
pub(super) fn usage_of_answer(
    made: &Beginning,
    answer: &Result<llm::Response, llm::Error>,
    call: i64,
) -> UsageRow {
    match answer {
        Ok(_) => usage_of(made.generation(), call, made.generation().status()),
        Err(_) if made.is_accepted() => usage_of(made.generation(), call, UsageStatus::Failed),
        // Nothing came, and nothing is charged.
        Err(_) => UsageRow {
            status: UsageStatus::Failed,
            provider: made.generation().provider(),
            model: made.generation().model(),
            ..usage(&free(), call, 0)
        },
    }
}

/// A call that goes on without an instance: at its end, or when it is cut off,
/// there is its entry if it was answered, and what it cost. `bill` says whose it
/// is, `keep` where the answer is kept.
pub(super) fn parked(
    call: ParkedCall,
    mut making: Beginning,
    bill: UsageRow,
    keep: Option<(Slot, Arc<Store>)>,
) -> Parked {
    Box::new(move |cut_off: BoxFuture<'static, ()>| {
        async move {
            let mut part = JournalPart::default();
            let answer = match select(making.answer().boxed(), cut_off).await {
                Either::Left((answer, _)) => Some(answer),
                Either::Right(_) => None,
            };
            let row = match &answer {
                Some(answer) => {
                    part.entries.push(call.entry(answer)?);
                    usage_of_answer(&making, answer, call.seq())
                }
                None => usage_of(making.generation(), call.seq(), UsageStatus::Cancelled),
            };
            part.usage.push(UsageRow {
                seq: bill.seq,
                agent: bill.agent,
                user_id: bill.user_id,
                channel: bill.channel,
                conversation: bill.conversation,
                ..row
            });
            if let (Some(answer), Some((slot, store))) = (&answer, keep) {
                slot.keep(&store, answer).await;
            }
            Ok(part)
        }
        .boxed()
    })
}
