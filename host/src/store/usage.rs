//! What model calls used, one row a call, and sums over them.

use anyhow::Result;
use rusqlite::{Connection, params};

use super::Store;
use super::sql::{self, columns, values};

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
    pub provider: String,
    pub model: String,
    pub input_tokens: i64,
    pub output_tokens: i64,
    /// The provider reported nothing and the host counted.
    pub estimated: bool,
    /// Millionths of a US dollar; unknown is none.
    pub cost_micro_usd: Option<i64>,
    pub at: i64,
}

/// A sum over calls.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct UsageGroup {
    pub agent: String,
    pub provider: String,
    pub model: String,
    pub calls: i64,
    pub input_tokens: i64,
    pub output_tokens: i64,
    /// The sum of the known costs.
    pub cost_micro_usd: i64,
    /// Calls whose cost is not known.
    pub unpriced_calls: i64,
}

columns!(UsageGroup: agent, provider, model, calls, input_tokens, output_tokens, cost_micro_usd, unpriced_calls);

columns!(UsageRow: seq, call, agent, user_id, channel, provider, model, input_tokens, output_tokens, estimated,
    cost_micro_usd, at);

impl Store {
    /// What a turn has used so far, call by call.
    pub async fn usage_of_turn(&self, tenant: &str, turn: &str) -> Result<Vec<UsageRow>> {
        let sql = "SELECT * FROM usage WHERE tenant_id = ?1 AND turn = ?2 ORDER BY seq";
        self.all(sql, values![tenant, turn]).await
    }

    /// Usage since `since` (milliseconds), by agent, provider and model.
    pub async fn usage(&self, tenant: &str, since: i64) -> Result<Vec<UsageGroup>> {
        let rows = self
            .all(
                "SELECT agent, provider, model, count(*) AS calls,
                    coalesce(sum(input_tokens), 0) AS input_tokens,
                    coalesce(sum(output_tokens), 0) AS output_tokens,
                    coalesce(sum(cost_micro_usd), 0) AS cost_micro_usd,
                    count(*) - count(cost_micro_usd) AS unpriced_calls
             FROM usage WHERE tenant_id = ?1 AND at >= ?2
             GROUP BY agent, provider, model ORDER BY agent, provider, model",
                values![tenant, since],
            )
            .await?;
        Ok(rows)
    }
}

/// Adds what a turn used.
pub(super) fn add(db: &Connection, tenant: &str, turn: &str, rows: &[UsageRow]) -> Result<()> {
    for row in rows {
        sql::execute(
            db,
            "INSERT INTO usage (tenant_id, turn, seq, call, agent, user_id, channel, provider, model,
             input_tokens, output_tokens, estimated, cost_micro_usd, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            params![
                tenant,
                turn,
                row.seq,
                row.call,
                row.agent,
                row.user_id,
                row.channel,
                row.provider,
                row.model,
                row.input_tokens,
                row.output_tokens,
                row.estimated,
                row.cost_micro_usd,
                row.at,
            ],
        )?;
    }
    Ok(())
}
