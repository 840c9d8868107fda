//! What a re-run by another version, component or configuration comes across,
//! and what it may spend on models.
//!
//! Calls are answered from the record where it has the same ones. What it does
//! not have is refused, but for model calls where money was set aside for them.

use uuid::Uuid;

use crate::store::UsageRow;

/// The calls that really ask a model, where that is allowed.
const MODEL_CALLS: [&str; 4] = ["llm.generate", "llm.start", "llm.embed", "llm.list-models"];

/// What a comparison came across.
#[derive(Debug, Default)]
pub struct Comparison {
    /// What its model calls are on the bill as, in the place of a turn.
    pub(crate) account: String,
    /// Calls that nothing was recorded for.
    pub(crate) unrecorded: Vec<String>,
    /// Calls that were answered from the record and would be refused now, each
    /// with the refusal.
    pub(crate) ungranted: Vec<(String, String)>,
    /// What is left for model calls, in millionths of a dollar; none if no
    /// model is asked.
    budget: Option<u64>,
    /// No turn: nothing that needs one is lent.
    is_no_turn: bool,
}

/// What becomes of a call that nothing was recorded for.
pub(super) enum Unrecorded {
    Refused,
    Denied,
    /// It would be made, but the money is spent.
    Spent,
    Made,
}

impl Comparison {
    /// A comparison that may spend so much on models.
    pub fn new(budget: Option<u64>) -> Self {
        Self {
            account: format!("replay-{}", Uuid::now_v7()),
            budget,
            ..Self::default()
        }
    }

    /// What runs outside of a turn is lent nothing that the window records.
    pub fn of_no_turn() -> Self {
        Self {
            is_no_turn: true,
            ..Self::default()
        }
    }

    /// Notes a call that nothing was recorded for.
    pub(super) fn unrecorded(&mut self, kind: &str, shown: String) -> Unrecorded {
        if self.is_no_turn {
            return Unrecorded::Denied;
        }
        self.unrecorded.push(shown);
        match self.budget {
            Some(0) if MODEL_CALLS.contains(&kind) => Unrecorded::Spent,
            Some(_) if MODEL_CALLS.contains(&kind) => Unrecorded::Made,
            _ => Unrecorded::Refused,
        }
    }

    /// Takes what a call cost from what is left.
    pub(super) fn settle(&mut self, usage: &UsageRow) {
        let charge = usage.charge_micro_usd.unsigned_abs();
        self.budget = self.budget.map(|left| left.saturating_sub(charge));
    }

    /// What is left for model calls, in millionths of a dollar.
    pub(super) fn left(&self) -> u64 {
        self.budget.unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(charge: i64) -> UsageRow {
        UsageRow {
            charge_micro_usd: charge,
            ..UsageRow::default()
        }
    }

    fn made(comparison: &mut Comparison) -> bool {
        let found = comparison.unrecorded("llm.generate", String::new());
        matches!(found, Unrecorded::Made)
    }

    #[test]
    fn no_call_begins_when_the_money_is_spent() {
        let mut comparison = Comparison::new(Some(10));
        comparison.settle(&call(9));
        assert!(made(&mut comparison));
        comparison.settle(&call(0));
        assert!(made(&mut comparison));
        comparison.settle(&call(1));
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
