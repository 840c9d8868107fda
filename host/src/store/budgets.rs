//! Budgets: how much may be used in a window of time, and by whom.
//!
//! A call reserves the most that it can take, over all budgets that it counts
//! for, in the transaction that announces it; when it is on the bill, what was
//! reserved is given back and what it took is added. The sums of a budget are a
//! cache of a query over usage: whenever the clock stands in another window,
//! before or behind, they are counted again.

mod account;
mod exceeded;
mod span;

use anyhow::Result;
use rusqlite::{Connection, params};

use super::sql::{self, columns, stored_as_text, values};
use super::{DEFAULT_TENANT, Durability, Store, UsageRow};
use crate::clock::now_ms;
use crate::events::budget_used;

pub use account::{Account, Estimate, Reservation};
pub(super) use account::{settle_abandoned, settle_leftovers};
pub use exceeded::{Exceeded, Resource};
pub use span::Span;

/// Shares of a budget that are told of when they are used, in percent.
const TOLD_OF: [i64; 3] = [50, 80, 100];

/// How much may be used; none is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BudgetLimits {
    pub requests: Option<i64>,
    pub tokens: Option<i64>,
    /// Millionths of a dollar.
    pub cost_micro_usd: Option<i64>,
}

/// A budget and what was used of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetRow {
    pub scope: String,
    pub span: Span,
    pub max_requests: Option<i64>,
    pub max_tokens: Option<i64>,
    pub max_cost_micro_usd: Option<i64>,
    /// The window, milliseconds since 1970; up to and without `until`.
    pub since: i64,
    pub until: i64,
    pub requests: i64,
    pub tokens: i64,
    pub cost_micro_usd: i64,
    pub reserved_tokens: i64,
    pub reserved_cost_micro_usd: i64,
    pub warned: i64,
}

columns!(BudgetRow: scope, span, max_requests, max_tokens, max_cost_micro_usd, since, until, requests, tokens,
    cost_micro_usd, reserved_tokens, reserved_cost_micro_usd, warned);
stored_as_text!(Span: Minute = "minute", Hour = "hour", Day = "day", Month = "month", Total = "total");

/// Sums of usage.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    requests: i64,
    tokens: i64,
    cost_micro_usd: i64,
}

columns!(Sums: requests, tokens, cost_micro_usd);

impl Store {
    /// Sets a budget, or changes it. What was used in its window counts.
    pub async fn set_budget(
        &self,
        tenant: &str,
        scope: &str,
        span: Span,
        limits: BudgetLimits,
    ) -> Result<()> {
        let (tenant, scope) = (home(tenant, scope), scope.to_owned());
        self.write(Durability::Synced, move |db: &Connection| {
            set(db, &tenant, &scope, span, limits, now_ms())
        })
        .await
    }

    /// Removes the budgets of a scope, or the one with this window; answers
    /// how many there were.
    pub async fn remove_budget(
        &self,
        tenant: &str,
        scope: &str,
        span: Option<Span>,
    ) -> Result<usize> {
        let (tenant, scope) = (home(tenant, scope), scope.to_owned());
        self.write(Durability::Synced, move |db: &Connection| {
            let sql = "DELETE FROM budgets WHERE tenant_id = ?1 AND scope = ?2 AND (?3 IS NULL OR span = ?3)";
            sql::execute(db, sql, params![tenant, scope, span])
        })
        .await
    }

    /// Puts on the bill what was reserved before a time by what does not run any
    /// more: a replay that nobody waited for.
    pub async fn settle_abandoned(&self, before: i64) -> Result<()> {
        let settle = move |db: &Connection| settle_abandoned(db, before);
        self.write(Durability::Written, settle).await
    }

    /// All budgets of a tenant, as they stand now.
    pub async fn budgets(&self, tenant: &str) -> Result<Vec<BudgetRow>> {
        let sql =
            "SELECT * FROM budgets WHERE tenant_id = ?1 OR scope = 'all' ORDER BY scope, span";
        let rows = self.all(sql, values![tenant]).await?;
        self.as_now(tenant, rows).await
    }

    /// The same without those of people and conversations, of which there may be
    /// very many.
    pub async fn shared_budgets(&self, tenant: &str) -> Result<Vec<BudgetRow>> {
        let sql = "SELECT * FROM budgets WHERE (tenant_id = ?1 OR scope = 'all')
                     AND scope NOT LIKE 'user:%' AND scope NOT LIKE 'conversation:%' ORDER BY scope, span";
        let rows = self.all(sql, values![tenant]).await?;
        self.as_now(tenant, rows).await
    }

    /// The budgets that calls of this account count for, as they stand now.
    pub async fn budgets_of(&self, account: &Account) -> Result<Vec<BudgetRow>> {
        let sql = format!("SELECT * FROM budgets WHERE {MATCHES} ORDER BY scope, span");
        let rows = self.all(sql, account.values()).await?;
        self.as_now(&account.tenant, rows).await
    }

    /// Counts again what is not of the window that the clock stands in.
    async fn as_now(&self, tenant: &str, mut rows: Vec<BudgetRow>) -> Result<Vec<BudgetRow>> {
        let now = now_ms();
        for row in &mut rows {
            if row.is_current(now) {
                continue;
            }
            let (since, until) = row.span.around(now);
            let sql = sums_sql(&row.scope);
            let values = values![tenant, id_of(&row.scope), since, until];
            let sums = self.one(sql, values).await?;
            row.enter(since, until, sums.unwrap_or_default());
        }
        Ok(rows)
    }
}

/// The budgets that an account counts for; `Account::values` has the values.
const MATCHES: &str = "((tenant_id = ?1 AND scope IN (?2, ?3, ?4, ?5, ?6)) OR (tenant_id = 'default' AND scope = 'all'))";

/// Reserves the most that a call can take, or says which budget has not so much
/// left. Nothing is changed then.
pub(super) fn reserve(
    db: &Connection,
    reservation: &Reservation,
    now: i64,
) -> Result<Result<(), Exceeded>> {
    let account = &reservation.account;
    let sql = format!("SELECT * FROM budgets WHERE {MATCHES} ORDER BY scope, span");
    let rows: Vec<BudgetRow> = sql::all(db, &sql, sql::bound(account.values())?)?;
    for mut row in rows {
        if !row.is_current(now) {
            roll(db, &account.tenant, &mut row, now)?;
        }
        if let Some(exceeded) = row.refuses(&reservation.estimate) {
            return Ok(Err(exceeded));
        }
    }
    account::insert(db, reservation)?;
    let estimate = &reservation.estimate;
    let sql = format!(
        "UPDATE budgets SET requests = requests + 1, reserved_tokens = reserved_tokens + ?7,
             reserved_cost_micro_usd = reserved_cost_micro_usd + ?8 WHERE {MATCHES}"
    );
    let mut values = account.values();
    values.extend(values![estimate.tokens(), estimate.cost()]);
    sql::execute(db, &sql, sql::bound(values)?)?;
    Ok(Ok(()))
}

/// Gives back what a call reserved and adds what it took, before that is among
/// the usage.
pub(super) fn settle(db: &Connection, tenant: &str, turn: &str, row: &UsageRow) -> Result<()> {
    let reserved = account::take(db, tenant, turn, row.call)?;
    let account = Account::of_usage(tenant, turn, row);
    let sql = format!(
        "UPDATE budgets SET reserved_tokens = max(0, reserved_tokens - ?7),
             reserved_cost_micro_usd = max(0, reserved_cost_micro_usd - ?8),
             tokens = tokens + CASE WHEN since <= ?9 AND ?9 < until THEN ?10 ELSE 0 END,
             cost_micro_usd = cost_micro_usd + CASE WHEN since <= ?9 AND ?9 < until THEN ?11 ELSE 0 END
         WHERE {MATCHES} RETURNING *"
    );
    let mut values = account.values();
    values.extend(values![
        reserved.tokens,
        reserved.cost_micro_usd,
        row.at,
        row.input_tokens + row.output_tokens,
        row.charge_micro_usd
    ]);
    let budgets: Vec<BudgetRow> = sql::all(db, &sql, sql::bound(values)?)?;
    for budget in budgets {
        tell_of(db, tenant, &budget)?;
    }
    Ok(())
}

/// Tells once in a window of each share that is used.
fn tell_of(db: &Connection, tenant: &str, row: &BudgetRow) -> Result<()> {
    let used = row.used_percent();
    let reached = TOLD_OF.into_iter().rev().find(|percent| used >= *percent);
    let Some(percent) = reached.filter(|percent| *percent > row.warned) else {
        return Ok(());
    };
    let sql = "UPDATE budgets SET warned = ?4 WHERE tenant_id = ?1 AND scope = ?2 AND span = ?3";
    let home = home(tenant, &row.scope);
    sql::execute(db, sql, params![home, row.scope, row.span, percent])?;
    tracing::warn!(
        scope = row.scope,
        window = row.span.name(),
        percent,
        "a budget is used"
    );
    let event = budget_used(tenant, &row.scope, row.span.name(), percent);
    super::events::publish(db, &event)?;
    Ok(())
}

fn set(
    db: &Connection,
    tenant: &str,
    scope: &str,
    span: Span,
    limits: BudgetLimits,
    now: i64,
) -> Result<()> {
    let (since, until) = span.around(now);
    let sums: Sums = sql::only(
        db,
        &sums_sql(scope),
        params![tenant, id_of(scope), since, until],
    )?;
    let reserved = account::reserved_of(db, tenant, scope)?;
    sql::execute(
        db,
        "INSERT INTO budgets (tenant_id, scope, span, max_requests, max_tokens, max_cost_micro_usd, since, until,
             requests, tokens, cost_micro_usd, reserved_tokens, reserved_cost_micro_usd)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (tenant_id, scope, span) DO UPDATE SET max_requests = excluded.max_requests,
             max_tokens = excluded.max_tokens, max_cost_micro_usd = excluded.max_cost_micro_usd, warned = 0",
        params![
            tenant,
            scope,
            span,
            limits.requests,
            limits.tokens,
            limits.cost_micro_usd,
            since,
            until,
            sums.requests,
            sums.tokens,
            sums.cost_micro_usd,
            reserved.tokens,
            reserved.cost_micro_usd,
        ],
    )?;
    Ok(())
}

/// Moves a budget into the window that the clock stands in.
fn roll(db: &Connection, tenant: &str, row: &mut BudgetRow, now: i64) -> Result<()> {
    let (since, until) = row.span.around(now);
    let sums: Sums = sql::only(
        db,
        &sums_sql(&row.scope),
        params![tenant, id_of(&row.scope), since, until],
    )?;
    row.enter(since, until, sums);
    sql::execute(
        db,
        "UPDATE budgets SET since = ?4, until = ?5, requests = ?6, tokens = ?7, cost_micro_usd = ?8, warned = 0
         WHERE tenant_id = ?1 AND scope = ?2 AND span = ?3",
        params![
            home(tenant, &row.scope),
            row.scope,
            row.span,
            since,
            until,
            row.requests,
            row.tokens,
            row.cost_micro_usd
        ],
    )?;
    Ok(())
}

/// What a scope used in a window: ?1 is the tenant, ?2 the scope's id, ?3 and ?4
/// the window.
fn sums_sql(scope: &str) -> String {
    let whose = whose(scope);
    format!(
        "SELECT count(*) FILTER (WHERE status <> 'cached') AS requests,
             coalesce(sum(input_tokens + output_tokens), 0) AS tokens,
             coalesce(sum(charge_micro_usd), 0) AS cost_micro_usd
         FROM usage WHERE {whose} AND at >= ?3 AND at < ?4"
    )
}

/// The calls that count for a scope: ?1 is the tenant, ?2 the scope's id.
fn whose(scope: &str) -> &'static str {
    match scope.split_once(':').map_or(scope, |(kind, _)| kind) {
        "channel" => "tenant_id = ?1 AND channel = ?2",
        "user" => "tenant_id = ?1 AND user_id = ?2",
        "agent" => "tenant_id = ?1 AND agent = ?2",
        "conversation" => "tenant_id = ?1 AND conversation = ?2",
        "tenant" => "tenant_id = ?1 AND ?2 = tenant_id",
        // Tenant by tenant, as the index has them.
        _ => "tenant_id IN (SELECT id FROM tenants) AND ?1 IS NOT NULL AND ?2 IS NOT NULL",
    }
}

/// What stands behind the kind of a scope.
fn id_of(scope: &str) -> &str {
    scope.split_once(':').map_or(scope, |(_, id)| id)
}

/// The tenant that a budget is kept with: that of everyone with the first.
fn home(tenant: &str, scope: &str) -> String {
    let home = if scope == "all" {
        DEFAULT_TENANT
    } else {
        tenant
    };
    home.to_owned()
}

impl BudgetRow {
    fn is_current(&self, now: i64) -> bool {
        (self.since..self.until).contains(&now)
    }

    fn enter(&mut self, since: i64, until: i64, sums: Sums) {
        (self.since, self.until) = (since, until);
        self.requests = sums.requests;
        self.tokens = sums.tokens;
        self.cost_micro_usd = sums.cost_micro_usd;
    }

    /// When the sums are nothing again, milliseconds since 1970; none for ever.
    pub fn resets_at(&self) -> Option<i64> {
        (self.span != Span::Total).then_some(self.until)
    }

    fn refuses(&self, needed: &Estimate) -> Option<Exceeded> {
        let parts = [
            (Resource::Requests, self.max_requests, self.requests, 0, 1),
            (
                Resource::Tokens,
                self.max_tokens,
                self.tokens,
                self.reserved_tokens,
                needed.tokens(),
            ),
            (
                Resource::Cost,
                self.max_cost_micro_usd,
                self.cost_micro_usd,
                self.reserved_cost_micro_usd,
                needed.cost(),
            ),
        ];
        let over = parts
            .into_iter()
            .find(|(_, limit, used, reserved, needed)| {
                let sum = used.saturating_add(*reserved).saturating_add(*needed);
                // What costs nothing is not kept from running by money that is spent.
                limit.is_some_and(|limit| *needed > 0 && sum > limit)
            });
        let (resource, limit, used, reserved, needs) = over?;
        Some(Exceeded {
            scope: self.scope.clone(),
            window: Some(self.span),
            resource,
            limit: limit.unwrap_or_default(),
            used,
            reserved,
            needed: needs,
            is_priced: needed.is_priced,
            resets_at: self.resets_at(),
        })
    }

    /// How much is used of what is used most, in percent.
    fn used_percent(&self) -> i64 {
        let parts = [
            (self.max_requests, self.requests),
            (self.max_tokens, self.tokens),
            (self.max_cost_micro_usd, self.cost_micro_usd),
        ];
        let percent = |(limit, used): (Option<i64>, i64)| {
            let limit = limit?.max(1);
            Some(used.saturating_mul(100) / limit)
        };
        parts.into_iter().filter_map(percent).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
