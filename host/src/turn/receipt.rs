//! What a turn used.

use serde::{Deserialize, Serialize};

use crate::store::UsageRow;

/// The bill of a turn.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Receipt {
    /// Units of fuel of the last run, which is the whole turn.
    pub fuel: u64,
    /// Units of fuel of the runs before it, each of which gave up its instance
    /// to wait.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rerun_fuel: u64,
    /// The most linear memory it had, in bytes.
    pub memory_peak_bytes: u64,
    /// From the start of the last run to its end, in milliseconds.
    pub wall_ms: u64,
    pub host_calls: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Millionths of a US dollar; none if the price of a call is unknown.
    pub cost_micro_usd: Option<u64>,
    /// Bytes that were logged over the limit and cut off.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub log_bytes_dropped: u64,
    pub timing: Timing,
}

/// Where the time went, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Timing {
    /// Waiting for its conversation and for a place.
    pub queue_us: u64,
    /// Mapping the component, if it was not in memory.
    pub load_us: u64,
    /// Compiling the component, if that had not been done.
    pub compile_us: u64,
    pub instantiate_us: u64,
    /// In the guest itself.
    pub guest_us: u64,
    /// In host calls, models included.
    pub host_us: u64,
    /// In model calls.
    pub model_us: u64,
}

impl Receipt {
    /// The same with the tokens and the cost of another one.
    pub fn billed(self, bill: &Self) -> Self {
        Self {
            input_tokens: bill.input_tokens,
            output_tokens: bill.output_tokens,
            cost_micro_usd: bill.cost_micro_usd,
            ..self
        }
    }

    /// The receipt of a turn that used this and is not run any more.
    pub fn of_usage<'a>(rows: impl Iterator<Item = &'a UsageRow> + Clone) -> Self {
        let sum = |number: fn(&UsageRow) -> i64| {
            let numbers = rows.clone().map(|row| number(row).unsigned_abs());
            numbers.sum()
        };
        let costs = rows.clone().map(|row| row.cost_micro_usd);
        Self {
            input_tokens: sum(|row| row.input_tokens),
            output_tokens: sum(|row| row.output_tokens),
            cost_micro_usd: costs.map(|cost| cost.map(i64::unsigned_abs)).sum(),
            ..Self::default()
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
