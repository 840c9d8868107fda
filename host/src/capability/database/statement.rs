//! Running one statement of a guest, within its limits.

use std::time::Duration;

use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::{Batch, Row, Statement};

use super::errors::{self, invalid, limit};
use super::open::Open;
use super::watch::Cancelled;
use super::{ffi, values};
use crate::config::DatabaseLimits;
use crate::runtime::bindings::{database, types};

/// The most that one query answers. As much as a host call may carry by
/// default; the window counts again.
const ANSWER_BYTES: usize = 8 << 20;

/// No row id of an ordinary table is ever this: says that nothing was inserted.
const NOTHING: i64 = i64::MIN;

/// One call's work on one database.
pub(super) struct Session<'a> {
    pub(super) open: &'a Open,
    pub(super) limits: &'a DatabaseLimits,
    pub(super) cancelled: &'a Cancelled,
}

impl Session<'_> {
    /// Runs a statement that reads.
    pub(super) fn query(
        &self,
        sql: &str,
        params: &[database::Value],
    ) -> Result<database::RowSet, types::Error> {
        self.as_guest(sql, params, |statement| {
            if !statement.readonly() {
                return Err(invalid(
                    "`query` takes a statement that reads; use `execute` to write",
                ));
            }
            self.rows(statement)
        })
    }

    /// Runs a statement that writes.
    pub(super) fn execute(
        &self,
        statement: &database::Statement,
    ) -> Result<database::Outcome, types::Error> {
        self.as_guest(&statement.sql, &statement.params, |prepared| {
            if prepared.readonly() {
                return Err(invalid("this statement only reads; use `query`"));
            }
            self.outcome(prepared)
        })
    }

    /// Prepares and binds a statement with the guest's rules in force, and
    /// keeps them in force while `act` steps through it.
    fn as_guest<T>(
        &self,
        sql: &str,
        params: &[database::Value],
        act: impl FnOnce(&mut Statement<'_>) -> Result<T, types::Error>,
    ) -> Result<T, types::Error> {
        if sql.contains('\0') {
            return Err(invalid("SQL may not contain NUL"));
        }
        let time = Duration::from_millis(self.limits.statement_ms);
        let _rules = self.open.watch.guest(time, self.cancelled);
        let mut statement = self.prepare(sql)?;
        self.bind(&mut statement, params)?;
        act(&mut statement)
    }

    /// Uses `Batch`, because `Connection::prepare` calls itself for every
    /// further statement of the text, and a text of thousands would end the
    /// stack of the thread.
    fn prepare(&self, sql: &str) -> Result<Statement<'_>, types::Error> {
        let mut batch = Batch::new(&self.open.connection, sql);
        let statement = batch
            .next()
            .map_err(|error| self.failed(error))?
            .ok_or_else(|| invalid("there is no statement"))?;
        match batch.next() {
            Ok(None) => Ok(statement),
            Ok(Some(_)) | Err(_) => Err(invalid("one statement for each call")),
        }
    }

    fn bind(
        &self,
        statement: &mut Statement<'_>,
        params: &[database::Value],
    ) -> Result<(), types::Error> {
        let wanted = statement.parameter_count();
        if wanted != params.len() {
            return Err(invalid(format!(
                "the statement has {wanted} parameters, {} values were given",
                params.len()
            )));
        }
        for (index, value) in params.iter().enumerate() {
            statement
                .raw_bind_parameter(index + 1, values::bound(value)?)
                .map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    fn rows(&self, statement: &mut Statement<'_>) -> Result<database::RowSet, types::Error> {
        let columns: Vec<String> = statement
            .column_names()
            .into_iter()
            .map(str::to_owned)
            .collect();
        let most = usize::try_from(self.limits.max_rows).unwrap_or(usize::MAX);
        let mut bytes: usize = columns.iter().map(String::len).sum();
        let mut answer = database::RowSet {
            rows: Vec::new(),
            truncated: false,
            columns,
        };
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(|error| self.failed(error))? {
            if answer.rows.len() >= most {
                answer.truncated = true;
                break;
            }
            answer
                .rows
                .push(read(row, answer.columns.len(), &mut bytes)?);
        }
        Ok(answer)
    }

    /// Steps to the end: rows of RETURNING have no place in an outcome.
    fn outcome(&self, statement: &mut Statement<'_>) -> Result<database::Outcome, types::Error> {
        let connection = &self.open.connection;
        ffi::set_last_insert_rowid(connection, NOTHING);
        let before = connection.total_changes();
        let mut rows = statement.raw_query();
        while rows.next().map_err(|error| self.failed(error))?.is_some() {}
        drop(rows);
        let changed = connection.total_changes() != before;
        let rowid = connection.last_insert_rowid();
        Ok(database::Outcome {
            // `changes` keeps the count of the statement before this one if
            // this one is not about rows.
            rows_affected: if changed { connection.changes() } else { 0 },
            last_insert_id: (rowid != NOTHING).then(|| rowid.to_string()),
        })
    }

    pub(super) fn failed(&self, error: rusqlite::Error) -> types::Error {
        errors::of(&self.open.watch, error)
    }
}

fn read(
    row: &Row<'_>,
    columns: usize,
    bytes: &mut usize,
) -> Result<Vec<database::Value>, types::Error> {
    let mut values = Vec::with_capacity(columns);
    for column in 0..columns {
        let value = values::answered(row.get_ref(column).map_err(errors::internal)?);
        *bytes = bytes.saturating_add(values::weight(&value));
        if *bytes > ANSWER_BYTES {
            return Err(limit(format!(
                "the rows are over {ANSWER_BYTES} bytes: ask for fewer, with LIMIT"
            )));
        }
        values.push(value);
    }
    Ok(values)
}
