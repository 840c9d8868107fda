//! Whose calls are, what they may take, and what they reserved.

use anyhow::Result;
use rusqlite::types::Value;
use rusqlite::{Connection, params};

use super::{id_of, sql, whose};
use crate::clock::now_ms;
use crate::store::sql::{columns, values};
use crate::store::usage::{self, UsageStatus};
use crate::store::{Store, UsageRow};

/// Whose call it is: every budget that it counts for follows from this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    pub tenant: String,
    pub turn: String,
    pub agent: String,
    pub user: Option<String>,
    pub channel: String,
    pub conversation: Option<String>,
}

/// The most that a call can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    pub provider: String,
    pub model: String,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Millionths of a dollar.
    pub cost_micro_usd: u64,
    /// Whether the price of the model is known; else it is the worst case.
    pub is_priced: bool,
}

impl Estimate {
    pub(crate) fn tokens(&self) -> i64 {
        number(self.input_tokens.saturating_add(self.output_tokens))
    }

    pub(crate) fn cost(&self) -> i64 {
        number(self.cost_micro_usd)
    }
}

/// What is set aside for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    pub account: Account,
    /// The place of the call in the journal of its turn.
    pub call: i64,
    pub estimate: Estimate,
}

/// How much is set aside.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reserved {
    pub(super) tokens: i64,
    pub(super) cost_micro_usd: i64,
}

columns!(Reserved: tokens, cost_micro_usd);

/// A reservation as stored.
#[derive(Debug, Clone)]
struct Row {
    call: i64,
    agent: String,
    user_id: Option<String>,
    channel: String,
    conversation: Option<String>,
    provider: String,
    model: String,
    input_tokens: i64,
    output_tokens: i64,
    cost_micro_usd: i64,
    is_priced: bool,
}

columns!(Row: call, agent, user_id, channel, conversation, provider, model, input_tokens, output_tokens,
    cost_micro_usd, is_priced);

impl Account {
    /// Tenant and scopes, for statements over budgets.
    pub(super) fn values(&self) -> Vec<rusqlite::Result<Value>> {
        let scope = |kind: &str, id: &Option<String>| id.as_ref().map(|id| format!("{kind}:{id}"));
        values![
            self.tenant,
            format!("tenant:{}", self.tenant),
            format!("channel:{}", self.channel),
            scope("user", &self.user),
            format!("agent:{}", self.agent),
            scope("conversation", &self.conversation)
        ]
    }

    pub(super) fn of_usage(tenant: &str, turn: &str, row: &UsageRow) -> Self {
        Self {
            tenant: tenant.to_owned(),
            turn: turn.to_owned(),
            agent: row.agent.clone(),
            user: row.user_id.clone(),
            channel: row.channel.clone(),
            conversation: row.conversation.clone(),
        }
    }
}

impl Row {
    /// A call whose answer was lost costs what was reserved.
    fn into_lost(self, seq: i64) -> UsageRow {
        UsageRow {
            seq,
            call: self.call,
            agent: self.agent,
            user_id: self.user_id,
            channel: self.channel,
            conversation: self.conversation,
            provider: self.provider,
            model: self.model,
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            estimated: true,
            status: UsageStatus::Lost,
            cost_micro_usd: self.is_priced.then_some(self.cost_micro_usd),
            charge_micro_usd: self.cost_micro_usd,
            at: now_ms(),
        }
    }
}

impl Store {
    /// What a turn has reserved and not used, as what it costs if its answers
    /// are lost.
    pub async fn lost_calls_of(&self, tenant: &str, turn: &str) -> Result<Vec<UsageRow>> {
        let sql = "SELECT * FROM reservations WHERE tenant_id = ?1 AND turn = ?2 ORDER BY call";
        let rows: Vec<Row> = self.all(sql, values![tenant, turn]).await?;
        Ok(rows.into_iter().map(|row| row.into_lost(0)).collect())
    }
}

pub(super) fn insert(db: &Connection, reservation: &Reservation) -> Result<()> {
    let Reservation {
        account,
        call,
        estimate,
    } = reservation;
    sql::execute(
        db,
        "INSERT INTO reservations (tenant_id, turn, call, agent, user_id, channel, conversation, provider, model,
             input_tokens, output_tokens, cost_micro_usd, is_priced, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        params![
            account.tenant,
            account.turn,
            call,
            account.agent,
            account.user,
            account.channel,
            account.conversation,
            estimate.provider,
            estimate.model,
            number(estimate.input_tokens),
            number(estimate.output_tokens),
            estimate.cost(),
            estimate.is_priced,
            now_ms(),
        ],
    )?;
    Ok(())
}

/// Takes a reservation out; nothing, if there is none.
pub(super) fn take(db: &Connection, tenant: &str, turn: &str, call: i64) -> Result<Reserved> {
    let taken = sql::one(
        db,
        "DELETE FROM reservations WHERE tenant_id = ?1 AND turn = ?2 AND call = ?3
         RETURNING input_tokens + output_tokens AS tokens, cost_micro_usd",
        params![tenant, turn, call],
    )?;
    Ok(taken.unwrap_or_default())
}

/// What is set aside for calls that count for a scope.
pub(super) fn reserved_of(db: &Connection, tenant: &str, scope: &str) -> Result<Reserved> {
    let whose = whose(scope);
    let sql = format!(
        "SELECT coalesce(sum(input_tokens + output_tokens), 0) AS tokens,
             coalesce(sum(cost_micro_usd), 0) AS cost_micro_usd FROM reservations WHERE {whose}"
    );
    sql::only(db, &sql, params![tenant, id_of(scope)])
}

/// Puts on the bill what a turn that has ended still holds: nobody knows what
/// came of these calls.
pub(in crate::store) fn settle_leftovers(db: &Connection, tenant: &str, turn: &str) -> Result<()> {
    let sql = "SELECT * FROM reservations WHERE tenant_id = ?1 AND turn = ?2 ORDER BY call";
    let rows: Vec<Row> = sql::all(db, sql, params![tenant, turn])?;
    if rows.is_empty() {
        return Ok(());
    }
    let sql = "SELECT coalesce(max(seq), 0) FROM usage WHERE tenant_id = ?1 AND turn = ?2";
    let (last,): (i64,) = sql::only(db, sql, params![tenant, turn])?;
    let lost: Vec<UsageRow> = rows
        .into_iter()
        .zip(last + 1..)
        .map(|(row, seq)| row.into_lost(seq))
        .collect();
    usage::add(db, tenant, turn, &lost)
}

/// The same for what was reserved before a time by turns that are not there or
/// have ended.
pub(in crate::store) fn settle_abandoned(db: &Connection, before: i64) -> Result<()> {
    let turns: Vec<(String, String)> = sql::all(
        db,
        "SELECT DISTINCT r.tenant_id, r.turn FROM reservations r
         WHERE r.at < ?1 AND NOT EXISTS (SELECT 1 FROM turns t WHERE t.tenant_id = r.tenant_id AND t.id = r.turn
                           AND t.status IN ('queued', 'running', 'waiting'))",
        params![before],
    )?;
    for (tenant, turn) in turns {
        settle_leftovers(db, &tenant, &turn)?;
    }
    Ok(())
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
