//! Journals: what crossed the window of a turn, entry by entry.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteConnection;
use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::{Durability, Store};

/// What is known of a recorded call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(rename_all = "lowercase")]
pub enum JournalStatus {
    /// An effect was about to happen; whether it did is not known.
    Begun,
    /// It succeeded; the result is recorded.
    Done,
    /// It answered an error; the error is recorded.
    Failed,
}

/// One host call.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct JournalEntry {
    /// Counts the calls of a turn from 1.
    pub seq: i64,
    /// `interface.function`.
    pub kind: String,
    /// SHA-256 over kind and arguments, hex.
    pub args_hash: String,
    pub status: JournalStatus,
    pub args: Vec<u8>,
    pub result: Option<Vec<u8>>,
    /// When it was complete, nanoseconds since 1970: the guest's time from then
    /// on.
    pub at: i64,
    pub took_us: i64,
}

/// A line that an agent logged.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct LogLine {
    pub seq: i64,
    pub level: String,
    pub message: String,
    /// JSON object.
    pub fields: String,
}

impl Store {
    /// The journal of a turn, in order.
    pub async fn journal(&self, tenant: &str, turn: &str) -> Result<Vec<JournalEntry>> {
        let rows = sqlx::query_as(
            "SELECT seq, kind, args_hash, status, args, result, at, took_us FROM journal
             WHERE tenant_id = $1 AND turn = $2 ORDER BY seq",
        )
        .bind(tenant)
        .bind(turn)
        .fetch_all(&self.reader)
        .await?;
        Ok(rows)
    }

    /// Stores entries of a running turn.
    pub async fn append_journal(
        &self,
        tenant: &str,
        turn: &str,
        entries: Vec<JournalEntry>,
        durability: Durability,
    ) -> Result<()> {
        let (tenant, turn) = (tenant.to_owned(), turn.to_owned());
        self.write(durability, async move |db| {
            append(db, &tenant, &turn, &entries).await
        })
        .await
    }

    /// What a turn logged, in order.
    pub async fn log_lines(&self, tenant: &str, turn: &str) -> Result<Vec<LogLine>> {
        let rows = sqlx::query_as(
            "SELECT seq, level, message, fields FROM log_lines
             WHERE tenant_id = $1 AND turn = $2 ORDER BY seq",
        )
        .bind(tenant)
        .bind(turn)
        .fetch_all(&self.reader)
        .await?;
        Ok(rows)
    }
}

/// Rows of one statement; SQLite takes 32,766 parameters.
const CHUNK: usize = 1_000;

/// Adds entries; an entry that was begun before is completed.
pub(super) async fn append(
    db: &mut SqliteConnection,
    tenant: &str,
    turn: &str,
    entries: &[JournalEntry],
) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::new("");
    push(&mut query, tenant, turn, entries);
    query.build().execute(&mut *db).await?;
    Ok(())
}

/// The statements that add entries.
pub(super) fn push(
    query: &mut QueryBuilder<Sqlite>,
    tenant: &str,
    turn: &str,
    entries: &[JournalEntry],
) {
    for chunk in entries.chunks(CHUNK) {
        query.push(
            "INSERT INTO journal (tenant_id, turn, seq, kind, args_hash, status, args, result, at, took_us) ",
        );
        query.push_values(chunk, |mut row, entry| {
            row.push_bind(tenant)
                .push_bind(turn)
                .push_bind(entry.seq)
                .push_bind(&entry.kind)
                .push_bind(&entry.args_hash)
                .push_bind(entry.status)
                .push_bind(&entry.args)
                .push_bind(&entry.result)
                .push_bind(entry.at)
                .push_bind(entry.took_us);
        });
        query.push(
            " ON CONFLICT (tenant_id, turn, seq) DO UPDATE SET
              status = excluded.status, result = excluded.result, at = excluded.at, took_us = excluded.took_us;\n",
        );
    }
}

pub(super) async fn append_log(
    db: &mut SqliteConnection,
    tenant: &str,
    turn: &str,
    lines: &[LogLine],
) -> Result<()> {
    for chunk in lines.chunks(CHUNK) {
        let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(
            "INSERT INTO log_lines (tenant_id, turn, seq, level, message, fields) ",
        );
        query.push_values(chunk, |mut row, line| {
            row.push_bind(tenant)
                .push_bind(turn)
                .push_bind(line.seq)
                .push_bind(&line.level)
                .push_bind(&line.message)
                .push_bind(&line.fields);
        });
        query.push(" ON CONFLICT DO NOTHING");
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}
