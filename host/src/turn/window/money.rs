//! What calls of models may take and what they took.

use std::time::Duration;

use super::{Stop, Window, micros};
use crate::clock::now_ms;
use crate::gate::Gate;
use crate::killpoint;
use crate::runtime::bindings::llm;
use crate::store::{
    Account, Estimate, Exceeded, JournalPart, JournalStatus, Reservation, Resource, UsageRow,
};
use crate::turn::comparison::Comparison;
use crate::turn::journal::Asked;

/// The money of one turn.
#[derive(Debug, Default)]
pub(super) struct Money {
    /// Model calls on the bill.
    calls: i64,
    /// What is on the bill, as budgets count it, in millionths of a dollar.
    charged: i64,
    /// A call's price is not known.
    pub(super) unpriced: bool,
    /// What calls under way may take, by their places.
    open: Vec<(i64, Estimate)>,
}

impl Window {
    /// Whose calls these are.
    pub fn account(&self) -> Account {
        let comparison = self.journal.comparison.as_ref();
        let account = comparison.map(|comparison| comparison.account.clone());
        Account {
            tenant: self.identity.tenant.clone(),
            turn: account.unwrap_or_else(|| self.identity.turn.clone()),
            agent: self.agent.name.clone(),
            user: self.identity.user.clone(),
            channel: self.identity.channel.clone(),
            conversation: self.identity.conversation.clone(),
        }
    }

    /// Sets aside the most that a call can take, in the transaction that says
    /// that it is about to happen; or says what has not so much left.
    pub(super) async fn reserve(
        &mut self,
        asked: &Asked,
        estimate: &Estimate,
        gate: &Gate,
    ) -> Result<Option<Exceeded>, Stop> {
        if let Some(exceeded) = self.over_limits(estimate) {
            return Ok(Some(exceeded));
        }
        let reservation = Reservation {
            account: self.account(),
            call: asked.seq,
            estimate: estimate.clone(),
        };
        let begun = asked.entry(JournalStatus::Begun, None, self.now_ns(), 0);
        let (part, begun) = if self.journal.is_stored() {
            (self.journal.take(), Some(begun))
        } else {
            (JournalPart::default(), None)
        };
        killpoint::reached(killpoint::Place::IntentBefore);
        // It is the store's thread that opens the gate: on the way of every call
        // to a model that is one thread less to wake.
        let gate = gate.clone();
        let reserved = self
            .store
            .begin_charged(part, begun, reservation, move || gate.open());
        let reserved = reserved.await.map_err(Stop::Host)?;
        self.journal.beginning_is_stored();
        if let Err(exceeded) = reserved {
            return Ok(Some(exceeded));
        }
        killpoint::reached(killpoint::Place::IntentAfter);
        self.money.open.push((asked.seq, estimate.clone()));
        Ok(None)
    }

    /// Sets the same aside once more, for a call that is made again.
    ///
    /// # Errors
    ///
    /// If the store fails; the inner error is what has not so much left.
    pub async fn reserve_again(
        &mut self,
        call: i64,
        estimate: &Estimate,
    ) -> Result<Result<(), Exceeded>, Stop> {
        if let Some(exceeded) = self.over_limits(estimate) {
            return Ok(Err(exceeded));
        }
        let reservation = Reservation {
            account: self.account(),
            call,
            estimate: estimate.clone(),
        };
        let part = self.journal.take();
        let reserved = self
            .store
            .begin_charged(part, None, reservation, || ())
            .await;
        let reserved = reserved.map_err(Stop::Host)?;
        if reserved.is_ok() {
            self.money.open.push((call, estimate.clone()));
        }
        Ok(reserved)
    }

    /// Whether something is set aside for a call that is not on the bill.
    pub fn has_reserved(&self, call: i64) -> bool {
        self.money.open.iter().any(|(open, _)| *open == call)
    }

    /// A sum over what calls under way may take.
    fn open(&self, part: fn(&Estimate) -> i64) -> i64 {
        let open = self.money.open.iter();
        open.map(|(_, estimate)| part(estimate)).sum()
    }

    /// What the limits of one turn have not left for a call.
    fn over_limits(&self, estimate: &Estimate) -> Option<Exceeded> {
        let (limits, money) = (&self.agent.limits, &self.money);
        let open = |part| self.open(part);
        let tokens = self.receipt.input_tokens + self.receipt.output_tokens;
        let comparison = self.journal.comparison.as_ref();
        let left = comparison.map_or(u64::MAX, Comparison::left);
        let parts: [(&str, Resource, u64, i64, i64, i64); 4] = [
            (
                "turn",
                Resource::Requests,
                limits.model_calls,
                money.calls,
                open(|_| 1),
                1,
            ),
            (
                "turn",
                Resource::Tokens,
                limits.tokens,
                number(tokens),
                open(Estimate::tokens),
                estimate.tokens(),
            ),
            (
                "turn",
                Resource::Cost,
                limits.cost_micro_usd,
                money.charged,
                open(Estimate::cost),
                estimate.cost(),
            ),
            (
                "replay",
                Resource::Cost,
                left,
                0,
                open(Estimate::cost),
                estimate.cost(),
            ),
        ];
        let over = parts.into_iter().find(|(_, _, limit, used, open, needed)| {
            let sum = used.saturating_add(*open).saturating_add(*needed);
            *needed > 0 && sum > number(*limit)
        });
        let (scope, resource, limit, used, reserved, needed) = over?;
        Some(Exceeded {
            scope: scope.to_owned(),
            window: None,
            resource,
            limit: number(limit),
            used,
            reserved,
            needed,
            is_priced: estimate.is_priced,
            resets_at: None,
        })
    }

    /// What is left of the limits of this turn.
    pub fn left(&self) -> llm::Budget {
        let limits = &self.agent.limits;
        let open = |part| self.open(part);
        let left = |limit: u64, used: i64| Some(limit.saturating_sub(used.unsigned_abs()));
        let tokens = self.receipt.input_tokens + self.receipt.output_tokens;
        llm::Budget {
            scope: "turn".to_owned(),
            window: None,
            requests_left: left(limits.model_calls, self.money.calls + open(|_| 1)),
            tokens_left: left(limits.tokens, number(tokens) + open(Estimate::tokens)),
            cost_left_micro_usd: left(
                limits.cost_micro_usd,
                self.money.charged + open(Estimate::cost),
            ),
            resets_at_ms: None,
        }
    }

    /// Puts a model call on the bill.
    pub fn charge(&mut self, usage: UsageRow, took: Duration) {
        let usage = self.next_usage(usage);
        self.receipt.timing.model_us += micros(took);
        self.bill(&usage);
        if let Some(comparison) = &mut self.journal.comparison {
            comparison.settle(&usage);
        }
        self.journal.usage.push(usage);
    }

    /// The next item of the bill, with whose it is.
    pub fn next_usage(&self, usage: UsageRow) -> UsageRow {
        let account = self.account();
        UsageRow {
            agent: account.agent,
            user_id: account.user,
            channel: account.channel,
            conversation: account.conversation,
            seq: self.money.calls + 1,
            at: now_ms(),
            ..usage
        }
    }

    pub(super) fn bill(&mut self, usage: &UsageRow) {
        let money = &mut self.money;
        money.calls += 1;
        money.charged = money.charged.saturating_add(usage.charge_micro_usd);
        if let Some(place) = money.open.iter().position(|(call, _)| *call == usage.call) {
            money.open.swap_remove(place);
        }
        self.receipt.input_tokens += usage.input_tokens.unsigned_abs();
        self.receipt.output_tokens += usage.output_tokens.unsigned_abs();
        match usage.cost_micro_usd {
            Some(cost) => {
                let sum = self.receipt.cost_micro_usd.unwrap_or(0) + cost.unsigned_abs();
                self.receipt.cost_micro_usd = Some(sum);
            }
            None => money.unpriced = true,
        }
        count(usage);
    }
}

/// Counts for whoever watches.
fn count(usage: &UsageRow) {
    let labels = [
        ("provider", usage.provider.clone()),
        ("model", usage.model.clone()),
    ];
    let add = |name: &'static str, amount: i64| {
        metrics::counter!(name, &labels).increment(amount.unsigned_abs());
    };
    add("anchorhold_llm_input_tokens_total", usage.input_tokens);
    add("anchorhold_llm_output_tokens_total", usage.output_tokens);
    let cost = usage.cost_micro_usd.unwrap_or(0);
    add("anchorhold_llm_cost_micro_usd_total", cost);
    if usage.cost_micro_usd.is_none() {
        add("anchorhold_llm_unpriced_calls_total", 1);
    }
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
