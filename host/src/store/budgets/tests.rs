//! Budgets against a real database, with a clock that is set.

use futures_util::FutureExt;
use proptest::prelude::*;
use tempfile::TempDir;

use super::super::sql;
use super::*;
use crate::gate::Gate;
use crate::store::usage::{self, UsageStatus};
use crate::store::{JournalPart, testing};

/// 2026-11-23T02:30:00Z.
const NOW: i64 = 1_795_401_000_000;
const HOUR: i64 = 3_600_000;

struct Ledger {
    db: Connection,
    _folder: TempDir,
}

impl Ledger {
    /// Without the budgets that come with the program.
    fn empty() -> Self {
        let ledger = Self::shipped();
        ledger.db.execute("DELETE FROM budgets", []).unwrap();
        ledger
    }

    fn shipped() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut db = sql::open(&folder.path().join("t.db")).unwrap();
        sql::migrate(&mut db).unwrap();
        Self {
            db,
            _folder: folder,
        }
    }

    fn limit(self, scope: &str, span: Span, cost: i64) -> Self {
        let limits = BudgetLimits {
            cost_micro_usd: Some(cost),
            ..BudgetLimits::default()
        };
        set(&self.db, "default", scope, span, limits, NOW).unwrap();
        self
    }

    fn reserve(&self, call: i64, cost: u64, now: i64) -> Result<(), Exceeded> {
        reserve(&self.db, &reservation(call, cost), now).unwrap()
    }

    fn settle(&self, call: i64, cost: i64, at: i64) {
        let account = account();
        let row = UsageRow {
            seq: call,
            call,
            agent: account.agent,
            user_id: account.user,
            channel: account.channel,
            conversation: account.conversation,
            cost_micro_usd: Some(cost),
            charge_micro_usd: cost,
            at,
            ..UsageRow::default()
        };
        usage::add(&self.db, "default", "t", &[row]).unwrap();
    }

    fn row(&self, scope: &str, span: Span) -> BudgetRow {
        let sql = "SELECT * FROM budgets WHERE scope = ?1 AND span = ?2";
        sql::only(&self.db, sql, params![scope, span]).unwrap()
    }

    fn count(&self, sql: &str) -> i64 {
        self.db.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

fn account() -> Account {
    Account {
        tenant: "default".to_owned(),
        turn: "t".to_owned(),
        agent: "notes".to_owned(),
        user: Some("u".to_owned()),
        channel: "http".to_owned(),
        conversation: Some("c".to_owned()),
    }
}

fn reservation(call: i64, cost: u64) -> Reservation {
    Reservation {
        account: account(),
        call,
        estimate: Estimate {
            provider: "p".to_owned(),
            model: "m".to_owned(),
            input_tokens: 10,
            output_tokens: 20,
            cost_micro_usd: cost,
            is_priced: true,
        },
    }
}

#[tokio::test]
async fn what_follows_a_reservation_happens_where_there_is_one_and_before_it_is_told() {
    let (_folder, store) = testing::open();
    let announce = |call, cost| {
        let gate = Gate::default();
        let then = gate.clone();
        let part = JournalPart::default();
        let begun = store.begin_charged(part, None, reservation(call, cost), move || then.open());
        async move { (begun.await.unwrap(), gate) }
    };
    let (reserved, gate) = announce(1, 10).await;
    assert!(reserved.is_ok() && gate.passed().now_or_never().is_some());
    // Two dollars an hour are shipped.
    let (refused, gate) = announce(2, 2_000_001).await;
    assert!(refused.is_err() && gate.passed().now_or_never().is_none());
}

#[test]
fn what_a_window_used_is_looked_up_by_the_index() {
    let ledger = Ledger::empty();
    for scope in [
        "all",
        "tenant:t",
        "channel:c",
        "user:u",
        "agent:a",
        "conversation:c",
    ] {
        let plan = format!("EXPLAIN QUERY PLAN {}", sums_sql(scope));
        let mut plan = ledger.db.prepare(&plan).unwrap();
        let steps = plan
            .query_map(params!["default", "t", 0, NOW], |row| {
                row.get::<_, String>(3)
            })
            .unwrap();
        let steps: Vec<_> = steps.map(Result::unwrap).collect();
        let of_usage = steps.iter().find(|step| step.contains(" usage")).unwrap();
        assert!(
            of_usage.starts_with("SEARCH") && of_usage.contains("at>"),
            "{scope}: {steps:?}"
        );
    }
}

#[test]
fn what_is_reserved_cannot_be_reserved_again() {
    let ledger = Ledger::empty().limit("all", Span::Day, 100);
    ledger.reserve(1, 60, NOW).unwrap();
    let exceeded = ledger.reserve(2, 60, NOW).unwrap_err();
    assert_eq!(
        (exceeded.used, exceeded.reserved, exceeded.needed),
        (0, 60, 60)
    );
    ledger.settle(1, 10, NOW);
    ledger.reserve(2, 60, NOW).unwrap();
    let row = ledger.row("all", Span::Day);
    assert_eq!((row.cost_micro_usd, row.reserved_cost_micro_usd), (10, 60));
    assert_eq!(row.requests, 2);
}

#[test]
fn a_refusal_changes_nothing() {
    let ledger =
        Ledger::empty()
            .limit("agent:notes", Span::Hour, 100)
            .limit("user:u", Span::Total, 50);
    let before = ledger.row("agent:notes", Span::Hour);
    let exceeded = ledger.reserve(1, 60, NOW).unwrap_err();
    assert_eq!(exceeded.scope, "user:u");
    assert_eq!(exceeded.resets_at, None);
    assert_eq!(ledger.row("agent:notes", Span::Hour), before);
    assert_eq!(ledger.count("SELECT count(*) FROM reservations"), 0);
}

#[test]
fn every_scope_of_a_call_counts_and_no_other() {
    let mine = [
        "all",
        "tenant:default",
        "channel:http",
        "user:u",
        "agent:notes",
        "conversation:c",
    ];
    for scope in mine {
        let ledger = Ledger::empty().limit(scope, Span::Day, 5);
        assert_eq!(ledger.reserve(1, 6, NOW).unwrap_err().scope, scope);
    }
    let ledger = Ledger::empty()
        .limit("user:v", Span::Day, 5)
        .limit("agent:other", Span::Day, 5);
    ledger.reserve(1, 6, NOW).unwrap();
    ledger.settle(1, 6, NOW);
    assert_eq!(ledger.row("user:v", Span::Day).cost_micro_usd, 0);
}

#[test]
fn each_kind_of_limit_bites() {
    for (limits, resource) in [
        ((Some(1), None), Resource::Requests),
        ((None, Some(59)), Resource::Tokens),
    ] {
        let ledger = Ledger::empty();
        let limits = BudgetLimits {
            requests: limits.0,
            tokens: limits.1,
            cost_micro_usd: None,
        };
        set(&ledger.db, "default", "all", Span::Minute, limits, NOW).unwrap();
        ledger.reserve(1, 0, NOW).unwrap();
        assert_eq!(ledger.reserve(2, 0, NOW).unwrap_err().resource, resource);
    }
}

#[test]
fn a_window_begins_again_and_a_clock_that_jumps_forgets_nothing() {
    let ledger = Ledger::empty().limit("all", Span::Hour, 100);
    ledger.reserve(1, 90, NOW).unwrap();
    ledger.settle(1, 90, NOW);
    assert!(ledger.reserve(2, 20, NOW).is_err());
    // The next hour.
    ledger.reserve(2, 20, NOW + HOUR).unwrap();
    ledger.settle(2, 20, NOW + HOUR);
    // The clock is set back: what was used then is still used.
    let exceeded = ledger.reserve(3, 20, NOW + 1).unwrap_err();
    assert_eq!(exceeded.used, 90);
    // And forth again.
    assert_eq!(ledger.reserve(3, 90, NOW + HOUR).unwrap_err().used, 20);
    // What is under way counts in whichever window.
    ledger.reserve(4, 50, NOW + 5 * HOUR).unwrap();
    assert!(ledger.reserve(5, 60, NOW + 9 * HOUR).is_err());
}

#[test]
fn what_was_used_before_counts_for_a_new_budget() {
    let ledger = Ledger::empty();
    ledger.reserve(1, 50, NOW).unwrap();
    ledger.settle(1, 30, NOW);
    ledger.reserve(2, 50, NOW).unwrap();
    let ledger = ledger.limit("user:u", Span::Day, 100);
    let exceeded = ledger.reserve(3, 50, NOW).unwrap_err();
    assert_eq!((exceeded.used, exceeded.reserved), (30, 50));
}

#[test]
fn what_a_turn_leaves_behind_costs_what_it_reserved() {
    let ledger = Ledger::empty().limit("all", Span::Total, 100);
    ledger.reserve(1, 30, NOW).unwrap();
    ledger.reserve(2, 40, NOW).unwrap();
    ledger.settle(1, 5, NOW);
    settle_leftovers(&ledger.db, "default", "t").unwrap();
    let row = ledger.row("all", Span::Total);
    assert_eq!((row.cost_micro_usd, row.reserved_cost_micro_usd), (45, 0));
    let (status,): (UsageStatus,) =
        sql::only(&ledger.db, "SELECT status FROM usage WHERE call = 2", []).unwrap();
    assert_eq!(status, UsageStatus::Lost);
    ledger.reserve(3, 10, NOW).unwrap();
    settle_abandoned(&ledger.db, i64::MAX).unwrap();
    assert_eq!(ledger.row("all", Span::Total).cost_micro_usd, 55);
}

#[test]
fn each_share_is_told_of_once() {
    let ledger = Ledger::empty().limit("all", Span::Hour, 100);
    let told = || ledger.count("SELECT count(*) FROM events WHERE topic = 'system.budget-used'");
    for (call, (cost, events)) in [(40, 0), (10, 1), (5, 1), (40, 2), (5, 3)]
        .into_iter()
        .enumerate()
    {
        ledger.reserve(call as i64 + 1, 5, NOW).ok();
        ledger.settle(call as i64 + 1, cost, NOW);
        assert_eq!(told(), events, "after call {call}");
    }
}

#[test]
fn the_program_comes_with_two_dollars_an_hour_and_ten_a_day() {
    let ledger = Ledger::shipped();
    let exceeded = ledger.reserve(1, 2_000_001, NOW).unwrap_err();
    assert_eq!(
        (exceeded.limit, exceeded.window),
        (2_000_000, Some(Span::Hour))
    );
    for hour in 0..5 {
        ledger.reserve(hour, 2_000_000, NOW + hour * HOUR).unwrap();
        ledger.settle(hour, 2_000_000, NOW + hour * HOUR);
    }
    let exceeded = ledger.reserve(9, 1, NOW + 6 * HOUR).unwrap_err();
    assert_eq!(
        (exceeded.limit, exceeded.window),
        (10_000_000, Some(Span::Day))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Calls that take at most what they reserve never exceed a budget, however
    /// they overlap and wherever the clock stands.
    #[test]
    fn a_budget_is_never_exceeded(
        steps in proptest::collection::vec((1_u64..40, 0_u64..=100, any::<bool>(), -3_i64..6), 1..60),
    ) {
        let ledger = Ledger::empty().limit("all", Span::Hour, 100).limit("user:u", Span::Total, 200);
        let mut open: Vec<(i64, u64)> = Vec::new();
        for (call, (cost, share, ends, hours)) in steps.into_iter().enumerate() {
            let (call, now) = (call as i64 + 1, NOW + hours * HOUR);
            if ends && let Some((ended, reserved)) = open.pop() {
                ledger.settle(ended, (reserved * share / 100) as i64, now);
            }
            if ledger.reserve(call, cost, now).is_ok() {
                open.push((call, cost));
            }
            let total = ledger.row("user:u", Span::Total);
            prop_assert!(total.cost_micro_usd + total.reserved_cost_micro_usd <= 200);
            let reserved: u64 = open.iter().map(|(_, cost)| cost).sum();
            prop_assert_eq!(total.reserved_cost_micro_usd, reserved as i64);
        }
        for (call, cost) in open {
            ledger.settle(call, cost as i64, NOW);
        }
        let used = ledger.count("SELECT coalesce(sum(charge_micro_usd), 0) FROM usage");
        prop_assert_eq!(ledger.row("user:u", Span::Total).cost_micro_usd, used);
        prop_assert_eq!(ledger.row("all", Span::Hour).reserved_cost_micro_usd, 0);
    }
}
