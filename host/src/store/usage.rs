//! What model calls used, one row a call, and sums over them.

use anyhow::Result;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::sql::{self, columns, stored_as_text, values};
use super::{Durability, Store, budgets};

/// How a call of a model came out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum UsageStatus {
    #[default]
    Ok,
    /// The provider refused, or broke off.
    Failed,
    /// Nobody wanted the rest.
    Cancelled,
    /// The host stopped before there was an answer: it costs what was reserved.
    Lost,
    /// The answer was given before; nobody was asked.
    Cached,
}

stored_as_text!(UsageStatus: Ok = "ok", Failed = "failed", Cancelled = "cancelled", Lost = "lost",
    Cached = "cached");

/// One model call.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UsageRow {
    /// Counts the model calls of a turn from 1.
    pub seq: i64,
    /// The place in the turn's journal of the call that it pays for.
    pub call: i64,
    pub agent: String,
    pub user_id: Option<String>,
    pub channel: String,
    pub conversation: Option<String>,
    pub provider: String,
    pub model: String,
    pub input_tokens: i64,
    pub output_tokens: i64,
    /// The provider reported nothing and the host counted.
    pub estimated: bool,
    pub status: UsageStatus,
    /// Millionths of a US dollar; unknown is none.
    pub cost_micro_usd: Option<i64>,
    /// What budgets count: the cost, or the worst case where it is not known.
    pub charge_micro_usd: i64,
    pub at: i64,
}

/// What usage is summed up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageBy {
    Agent,
    User,
    Model,
    Channel,
    /// The day in UTC.
    Day,
}

impl UsageBy {
    /// The columns that it is: of the group, and where they come from.
    fn columns(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Agent => &[("agent", "agent")],
            Self::User => &[("user", "user_id")],
            Self::Model => &[("provider", "provider"), ("model", "model")],
            Self::Channel => &[("channel", "channel")],
            Self::Day => &[("day", "date(at / 1000, 'unixepoch')")],
        }
    }
}

/// Which calls to sum up.
#[derive(Debug, Clone, Default)]
pub struct UsageFilter {
    /// Milliseconds since 1970.
    pub since: i64,
    /// Up to and without this; none is no end.
    pub until: Option<i64>,
    /// Only calls for this person.
    pub user: Option<String>,
}

/// A sum over calls. Of the first five there is what was asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UsageGroup {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    pub calls: i64,
    /// Calls that failed or whose answer was lost.
    pub failed_calls: i64,
    pub input_tokens: i64,
    pub output_tokens: i64,
    /// The sum of the known costs.
    pub cost_micro_usd: i64,
    /// Calls whose cost is not known.
    pub unpriced_calls: i64,
}

columns!(UsageGroup: day, agent, user, channel, provider, model, calls, failed_calls, input_tokens, output_tokens,
    cost_micro_usd, unpriced_calls);

columns!(UsageRow: seq, call, agent, user_id, channel, conversation, provider, model, input_tokens, output_tokens,
    estimated, status, cost_micro_usd, charge_micro_usd, at);

impl Store {
    /// What a turn has used so far, call by call.
    pub async fn usage_of_turn(&self, tenant: &str, turn: &str) -> Result<Vec<UsageRow>> {
        let sql = "SELECT * FROM usage WHERE tenant_id = ?1 AND turn = ?2 ORDER BY seq";
        self.all(sql, values![tenant, turn]).await
    }

    /// Puts on the bill what belongs to no turn that is run, and what it held
    /// besides.
    pub async fn append_usage(
        &self,
        tenant: String,
        account: String,
        rows: Vec<UsageRow>,
    ) -> Result<()> {
        self.write(Durability::Written, move |db: &Connection| {
            add(db, &tenant, &account, &rows)
        })
        .await
    }

    /// Sums of usage.
    pub async fn usage(
        &self,
        tenant: &str,
        by: &[UsageBy],
        filter: &UsageFilter,
    ) -> Result<Vec<UsageGroup>> {
        let wanted: Vec<_> = by.iter().flat_map(|by| by.columns()).copied().collect();
        let names = ["day", "agent", "user", "channel", "provider", "model"];
        let shown = names.map(|name| {
            let from = wanted.iter().find(|(wanted, _)| *wanted == name);
            format!("{} AS {name}", from.map_or("NULL", |(_, from)| from))
        });
        // Said only where it is meant, so that the index of people serves it.
        let of_user = filter.user.as_ref().map_or("", |_| "AND user_id = ?4");
        let sql = format!(
            "SELECT {}, count(*) AS calls,
                count(*) FILTER (WHERE status IN ('failed', 'lost')) AS failed_calls,
                coalesce(sum(input_tokens), 0) AS input_tokens,
                coalesce(sum(output_tokens), 0) AS output_tokens,
                coalesce(sum(cost_micro_usd), 0) AS cost_micro_usd,
                count(*) - count(cost_micro_usd) AS unpriced_calls
             FROM usage WHERE tenant_id = ?1 AND at >= ?2 AND (?3 IS NULL OR at < ?3) {of_user}
             GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6",
            shown.join(", ")
        );
        let mut values = values![tenant, filter.since, filter.until];
        values.extend(filter.user.as_ref().map(|user| sql::owned(user)));
        self.all(sql, values).await
    }
}

/// Adds what a turn used, and takes it from the budgets.
pub(super) fn add(db: &Connection, tenant: &str, turn: &str, rows: &[UsageRow]) -> Result<()> {
    for row in rows {
        budgets::settle(db, tenant, turn, row)?;
        sql::execute(
            db,
            "INSERT INTO usage (tenant_id, turn, seq, call, agent, user_id, channel, conversation, provider, model,
             input_tokens, output_tokens, estimated, status, cost_micro_usd, charge_micro_usd, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
            params![
                tenant,
                turn,
                row.seq,
                row.call,
                row.agent,
                row.user_id,
                row.channel,
                row.conversation,
                row.provider,
                row.model,
                row.input_tokens,
                row.output_tokens,
                row.estimated,
                row.status,
                row.cost_micro_usd,
                row.charge_micro_usd,
                row.at,
            ],
        )?;
    }
    Ok(())
}
