//! What a re-run by another version, component or configuration comes across,
//! and what it may spend on models.
//!
//! Calls are answered from the record where it has the same ones. What it does
//! not have is refused, but for model calls where money was set aside for them.

use crate::store::UsageRow;

/// The calls that really ask a model, where that is allowed.
const MODEL_CALLS: [&str; 4] = ["llm.generate", "llm.start", "llm.embed", "llm.list-models"];

/// What a token costs at most, in millionths of a dollar, where its price is
/// not known: more than any model that is widely sold.
const WORST_INPUT: u64 = 15;
const WORST_OUTPUT: u64 = 75;

/// What a comparison came across.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Calls that nothing was recorded for.
    pub(crate) unrecorded: Vec<String>,
    /// Calls that were answered from the record and would be refused now, each
    /// with the refusal.
    pub(crate) ungranted: Vec<(String, String)>,
    /// What is left for model calls, in millionths of a dollar; none if no
    /// model is asked.
    budget: Option<u64>,
}

/// What becomes of a call that nothing was recorded for.
pub(super) enum Unrecorded {
    Refused,
    /// It would be made, but the money is spent.
    Spent,
    Made,
}

impl Comparison {
    /// A comparison that may spend so much on models.
    pub fn new(budget: Option<u64>) -> Self {
        Self {
            budget,
            ..Self::default()
        }
    }

    /// Notes a call that nothing was recorded for.
    pub(super) fn unrecorded(&mut self, kind: &str, shown: String) -> Unrecorded {
        self.unrecorded.push(shown);
        match self.budget {
            Some(0) if MODEL_CALLS.contains(&kind) => Unrecorded::Spent,
            Some(_) if MODEL_CALLS.contains(&kind) => Unrecorded::Made,
            _ => Unrecorded::Refused,
        }
    }

    /// Takes what a call cost from what is left.
    pub(super) fn settle(&mut self, usage: &UsageRow) {
        let cost = usage
            .cost_micro_usd
            .map_or_else(|| worst_case(usage), i64::unsigned_abs);
        self.budget = self.budget.map(|left| left.saturating_sub(cost));
    }
}

fn worst_case(usage: &UsageRow) -> u64 {
    let input = usage
        .input_tokens
        .unsigned_abs()
        .saturating_mul(WORST_INPUT);
    let output = usage
        .output_tokens
        .unsigned_abs()
        .saturating_mul(WORST_OUTPUT);
    // A call is never free of charge because nothing was counted.
    input.saturating_add(output).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(cost: Option<i64>) -> UsageRow {
        UsageRow {
            input_tokens: 100,
            output_tokens: 10,
            cost_micro_usd: cost,
            ..UsageRow::default()
        }
    }

    fn made(comparison: &mut Comparison) -> bool {
        let found = comparison.unrecorded("llm.generate", String::new());
        matches!(found, Unrecorded::Made)
    }

    #[test]
    fn known_costs_are_taken_as_they_are() {
        let mut comparison = Comparison::new(Some(10));
        comparison.settle(&call(Some(9)));
        assert!(made(&mut comparison));
        comparison.settle(&call(Some(0)));
        assert!(made(&mut comparison));
        comparison.settle(&call(Some(1)));
        assert!(!made(&mut comparison));
    }

    #[test]
    fn unknown_costs_are_the_worst_case() {
        let mut comparison = Comparison::new(Some(2_251));
        comparison.settle(&call(None));
        assert!(made(&mut comparison));
        comparison.settle(&UsageRow::default());
        assert!(!made(&mut comparison));
    }

    #[test]
    fn nothing_but_models_is_asked() {
        let mut comparison = Comparison::new(Some(1));
        for kind in ["http.send", "state.set", "llm.next", "clock.sleep"] {
            let found = comparison.unrecorded(kind, String::new());
            assert!(matches!(found, Unrecorded::Refused), "{kind}");
        }
        assert!(!made(&mut Comparison::new(None)));
    }
}
