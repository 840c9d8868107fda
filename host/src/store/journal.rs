//! Journals: what crossed the window of a turn, entry by entry.

use std::sync::Arc;

use anyhow::Result;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::sql::{self, columns, stored_as_text, values};
use super::{Account, Durability, Exceeded, Reservation, Store, UsageRow, budgets, usage};
use crate::clock::now_ms;

/// What is known of a recorded call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JournalStatus {
    /// An effect was about to happen; whether it did is not known.
    Begun,
    /// It succeeded; the result is recorded.
    Done,
    /// It answered an error; the error is recorded.
    Failed,
}

/// One host call.
#[derive(Debug, Clone, PartialEq)]
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

stored_as_text!(JournalStatus: Begun = "begun", Done = "done", Failed = "failed");
columns!(JournalEntry: seq, kind, args_hash, status, args, result, at, took_us);
columns!(LogLine: seq, level, message, fields);

/// What a turn runs with, pinned when it begins.
#[derive(Debug, Clone)]
pub struct Begin {
    pub version: i64,
    pub digest: String,
    /// JSON.
    pub limits: String,
    /// Milliseconds since 1970.
    pub started_at: i64,
}

/// What a turn stores of itself at one time.
#[derive(Debug, Clone, Default)]
pub struct JournalPart {
    /// How it began, unless that is stored already.
    pub begin: Option<Arc<Begin>>,
    pub entries: Vec<JournalEntry>,
    /// What the calls of these entries cost.
    pub usage: Vec<UsageRow>,
    /// What the agent logged in a run, all of it: the next run of the turn logs
    /// the same again, which is kept once.
    pub log: Vec<LogLine>,
}

/// A line that an agent logged.
#[derive(Debug, Clone, PartialEq)]
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
        let rows = self
            .all(
                "SELECT seq, kind, args_hash, status, args, result, at, took_us FROM journal
             WHERE tenant_id = ?1 AND turn = ?2 ORDER BY seq",
                values![tenant, turn],
            )
            .await?;
        Ok(rows)
    }

    /// Stores what a running turn has to store.
    pub async fn append_journal(
        &self,
        tenant: &str,
        turn: &str,
        part: JournalPart,
        durability: Durability,
    ) -> Result<()> {
        let (tenant, turn) = (tenant.to_owned(), turn.to_owned());
        self.write(durability, move |db: &Connection| {
            append(db, &tenant, &turn, &part)
        })
        .await
    }

    /// The same, and then that a call is about to happen which is charged for,
    /// with what it reserves; if a budget has not so much left, only the same.
    /// `then` runs on the writer's thread once the call is announced.
    pub async fn begin_charged(
        &self,
        part: JournalPart,
        begun: Option<JournalEntry>,
        reservation: Reservation,
        then: impl FnOnce() + Send + 'static,
    ) -> Result<Result<(), Exceeded>> {
        let reserve = move |db: &Connection| {
            let Account { tenant, turn, .. } = &reservation.account;
            append(db, tenant, turn, &part)?;
            let reserved = budgets::reserve(db, &reservation, now_ms())?;
            if let (Ok(()), Some(begun)) = (&reserved, &begun) {
                add_entry(db, tenant, turn, begun)?;
            }
            Ok(reserved)
        };
        let committed = |reserved: &Result<(), Exceeded>| {
            if reserved.is_ok() {
                then();
            }
        };
        self.write_then(Durability::Written, reserve, committed)
            .await
    }

    /// What a turn logged, in order.
    pub async fn log_lines(&self, tenant: &str, turn: &str) -> Result<Vec<LogLine>> {
        let rows = self
            .all(
                "SELECT seq, level, message, fields FROM log_lines
             WHERE tenant_id = ?1 AND turn = ?2 ORDER BY seq",
                values![tenant, turn],
            )
            .await?;
        Ok(rows)
    }
}

/// Adds a part of a journal; an entry that was begun before is completed.
pub(super) fn append(db: &Connection, tenant: &str, turn: &str, part: &JournalPart) -> Result<()> {
    if let Some(begin) = &part.begin {
        mark_running(db, tenant, turn, begin)?;
    }
    for entry in &part.entries {
        add_entry(db, tenant, turn, entry)?;
    }
    usage::add(db, tenant, turn, &part.usage)?;
    append_log(db, tenant, turn, &part.log)
}

fn add_entry(db: &Connection, tenant: &str, turn: &str, entry: &JournalEntry) -> Result<()> {
    sql::execute(
        db,
        "INSERT INTO journal (tenant_id, turn, seq, kind, args_hash, status, args, result, at, took_us)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (tenant_id, turn, seq) DO UPDATE SET
             status = excluded.status, result = excluded.result, at = excluded.at, took_us = excluded.took_us",
        params![
            tenant,
            turn,
            entry.seq,
            entry.kind,
            entry.args_hash,
            entry.status,
            entry.args,
            entry.result,
            entry.at,
            entry.took_us,
        ],
    )?;
    Ok(())
}

/// Marks a turn as running and pins what it runs with.
fn mark_running(db: &Connection, tenant: &str, turn: &str, begin: &Begin) -> Result<()> {
    sql::execute(
        db,
        "UPDATE turns SET status = 'running', version = ?3, digest = ?4, limits = ?5, started_at = ?6,
             attempts = max(attempts, 1)
         WHERE tenant_id = ?1 AND id = ?2 AND version IS NULL AND status IN ('queued', 'running')",
        params![
            tenant,
            turn,
            begin.version,
            begin.digest,
            begin.limits,
            begin.started_at
        ],
    )?;
    Ok(())
}

fn append_log(db: &Connection, tenant: &str, turn: &str, lines: &[LogLine]) -> Result<()> {
    for line in lines {
        sql::execute(
            db,
            "INSERT INTO log_lines (tenant_id, turn, seq, level, message, fields)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
            params![
                tenant,
                turn,
                line.seq,
                line.level,
                line.message,
                line.fields
            ],
        )?;
    }
    Ok(())
}
