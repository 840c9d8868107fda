//! What model calls used, one row a call, and sums over them.

use anyhow::Result;
use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::Store;

/// One model call.
#[derive(Debug, Clone, PartialEq)]
pub struct UsageRow {
    /// Counts the model calls of a turn from 1.
    pub seq: i64,
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
#[derive(
    Debug, Clone, PartialEq, FromRow, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
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

impl Store {
    /// Usage since `since` (milliseconds), by agent, provider and model.
    pub async fn usage(&self, tenant: &str, since: i64) -> Result<Vec<UsageGroup>> {
        let rows = sqlx::query_as(
            "SELECT agent, provider, model, count(*) AS calls,
                    coalesce(sum(input_tokens), 0) AS input_tokens,
                    coalesce(sum(output_tokens), 0) AS output_tokens,
                    coalesce(sum(cost_micro_usd), 0) AS cost_micro_usd,
                    count(*) - count(cost_micro_usd) AS unpriced_calls
             FROM usage WHERE tenant_id = $1 AND at >= $2
             GROUP BY agent, provider, model ORDER BY agent, provider, model",
        )
        .bind(tenant)
        .bind(since)
        .fetch_all(&self.reader)
        .await?;
        Ok(rows)
    }
}

/// The statements that add what a turn used.
pub(super) fn push(query: &mut QueryBuilder<Sqlite>, tenant: &str, turn: &str, rows: &[UsageRow]) {
    for chunk in rows.chunks(1_000) {
        query.push(
            "INSERT INTO usage (tenant_id, turn, seq, agent, user_id, channel, provider, model,
             input_tokens, output_tokens, estimated, cost_micro_usd, at) ",
        );
        query.push_values(chunk, |mut values, row| {
            values
                .push_bind(tenant)
                .push_bind(turn)
                .push_bind(row.seq)
                .push_bind(&row.agent)
                .push_bind(&row.user_id)
                .push_bind(&row.channel)
                .push_bind(&row.provider)
                .push_bind(&row.model)
                .push_bind(row.input_tokens)
                .push_bind(row.output_tokens)
                .push_bind(row.estimated)
                .push_bind(row.cost_micro_usd)
                .push_bind(row.at);
        });
        query.push(";\n");
    }
}
