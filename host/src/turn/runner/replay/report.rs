//! What differs between a turn as it was and as it came out again.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::runtime::bindings::types::Reply;
use crate::runtime::{Failure, Finished, Output, ResolvedAgent};
use crate::store::{TurnRow, UsageRow};
use crate::turn::receipt::Receipt;

/// What a re-run gave.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Replayed {
    pub turn: String,
    pub version: i64,
    /// The component that was run.
    #[serde(default)]
    pub component: String,
    /// Whether outcome, output, calls and grants are the same, and the fuel,
    /// too, if it is what ran.
    pub same: bool,
    pub differences: Vec<Difference>,
    pub receipt: Receipt,
}

/// Something that was not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Difference {
    /// `outcome`, `text`, `output`, `host calls`, `calls`, `grants`, `fuel` or
    /// `cost`.
    pub what: String,
    pub before: String,
    pub after: String,
}

/// What is known of the first run besides its row.
pub(super) struct Before {
    pub(super) failure: Option<Failure>,
    /// The same is run again.
    pub(super) is_exact: bool,
    pub(super) usage: Vec<UsageRow>,
}

/// Compares. Cost is told and does not count, nor does the fuel of something
/// else than what ran.
pub(super) fn compare(
    row: &TurnRow,
    agent: &ResolvedAgent,
    before: Before,
    finished: Finished,
) -> Result<Replayed> {
    let first: Receipt = serde_json::from_str(row.receipt.as_deref().unwrap_or("{}"))
        .context("the receipt cannot be read")?;
    let Finished { outcome, closed } = finished;
    let mut found = Differences::default();
    found.add(
        "outcome",
        ended(before.failure.as_ref()),
        ended(outcome.as_ref().err()),
    );
    found.add_output(row.output.as_deref(), outcome.as_ref().ok())?;
    let asked = |usage: &&UsageRow| !closed.unasked.iter().any(|(seq, _)| *seq == usage.call);
    let answered = before.usage.iter().filter(asked);
    let after = answered.fold(closed.receipt.clone(), with_usage);
    found.add("host calls", first.host_calls, after.host_calls);
    for (_, call) in &closed.unasked {
        found.add("calls", call, "not asked for");
    }
    for call in &closed.comparison.unrecorded {
        found.add("calls", "not asked for", call);
    }
    for (call, refusal) in &closed.comparison.ungranted {
        found.add("grants", call, refusal);
    }
    let same = found.0.is_empty();
    found.add("fuel", first.fuel, after.fuel);
    let same = same && (!before.is_exact || found.0.is_empty());
    found.add("cost", cost(&first), cost(&after));
    Ok(Replayed {
        turn: row.id.clone(),
        version: agent.version,
        component: agent.digest.clone(),
        same,
        differences: found.0,
        receipt: after,
    })
}

#[derive(Default)]
struct Differences(Vec<Difference>);

impl Differences {
    fn add(&mut self, what: &str, before: impl ToString, after: impl ToString) {
        let (before, after) = (before.to_string(), after.to_string());
        if before != after {
            self.0.push(Difference {
                what: what.to_owned(),
                before,
                after,
            });
        }
    }

    /// The text of a reply is told by itself, and the rest of it only where
    /// that differs.
    fn add_output(&mut self, before: Option<&[u8]>, after: Option<&Output>) -> Result<()> {
        let encoded = after.map(codec::encode).transpose()?;
        if before == encoded.as_deref() {
            return Ok(());
        }
        let recorded = before.map(codec::decode::<Output>).transpose()?;
        if let (Some(Output::Reply(before)), Some(Output::Reply(after))) = (&recorded, after) {
            self.add("text", &before.text, &after.text);
            let rest = |reply: &Reply| {
                let output = Output::Reply(Reply {
                    text: String::new(),
                    ..reply.clone()
                });
                codec::encode(&output)
            };
            self.add(
                "output",
                shown(Some(&rest(before)?)),
                shown(Some(&rest(after)?)),
            );
            return Ok(());
        }
        self.add("output", shown(before), shown(encoded.as_deref()));
        Ok(())
    }
}

fn ended(failure: Option<&Failure>) -> String {
    failure.map_or_else(
        || "completed".to_owned(),
        |failure| format!("{:?}: {}", failure.code, failure.message),
    )
}

fn shown(output: Option<&[u8]>) -> String {
    output.map_or_else(String::new, |bytes| codec::to_json(bytes).to_string())
}

/// What a call that was answered from the record cost when it was made.
fn with_usage(receipt: Receipt, usage: &UsageRow) -> Receipt {
    let cost = usage.cost_micro_usd.map(i64::unsigned_abs);
    let sum = |sum: u64| Some(sum + cost?);
    Receipt {
        input_tokens: receipt.input_tokens + usage.input_tokens.unsigned_abs(),
        output_tokens: receipt.output_tokens + usage.output_tokens.unsigned_abs(),
        cost_micro_usd: receipt.cost_micro_usd.and_then(sum),
        ..receipt
    }
}

/// In dollars, as far as it is known.
fn cost(receipt: &Receipt) -> String {
    receipt.cost_micro_usd.map_or_else(
        || "not known".to_owned(),
        |micros| format!("${}.{:06}", micros / 1_000_000, micros % 1_000_000),
    )
}
