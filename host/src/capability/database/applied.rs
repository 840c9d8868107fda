//! `anchorhold_applied`: which calls of which turns this database has done
//! already, written in the transaction that does them. A turn that runs again
//! after a crash gets the recorded answer, and nothing is done twice.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, params};

use super::errors;
use super::statement::Session;
use crate::codec;
use crate::runtime::bindings::database::{Outcome, Statement};
use crate::runtime::bindings::types::{Error, ErrorKind};

/// Which call of which turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub turn: String,
    pub seq: i64,
    pub args_hash: String,
}

/// Without row ids there is no index beside it that ANALYZE could sample.
const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS main.anchorhold_applied (
        turn TEXT NOT NULL,
        seq INTEGER NOT NULL,
        args_hash TEXT NOT NULL,
        result BLOB NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (turn, seq)
    ) STRICT, WITHOUT ROWID";

const FIND: &str =
    "SELECT args_hash, result FROM main.anchorhold_applied WHERE turn = ?1 AND seq = ?2";

const RECORD: &str = "
    INSERT INTO main.anchorhold_applied (turn, seq, args_hash, result, at)
    VALUES (?1, ?2, ?3, ?4, ?5)";

const FORGET: &str = "DELETE FROM main.anchorhold_applied WHERE at < ?1";

/// A record is needed from the commit until the turn's journal has the entry,
/// which is the next moment, or the next start of the host after a crash.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Makes the table, and forgets what no turn can ask for any more.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(CREATE)?;
    // Not being able to clean up is no reason to refuse service.
    let _ = connection.execute(FORGET, [now_ms() - KEPT.as_millis() as i64]);
    Ok(())
}

/// Does the statements, all or none, unless this call did them before.
pub(super) fn apply(
    session: &Session<'_>,
    call: &Call,
    statements: &[Statement],
) -> Result<Vec<Outcome>, Error> {
    let connection = &session.open.connection;
    let run = |sql| {
        connection
            .execute_batch(sql)
            .map_err(|error| session.failed(error))
    };
    run("BEGIN IMMEDIATE")?;
    let done = once(session, call, statements).and_then(|outcomes| {
        run("COMMIT")?;
        Ok(outcomes)
    });
    if done.is_err() {
        // Fails where SQLite has rolled back by itself, which is as good.
        let _ = run("ROLLBACK");
    }
    done
}

fn once(
    session: &Session<'_>,
    call: &Call,
    statements: &[Statement],
) -> Result<Vec<Outcome>, Error> {
    if let Some(outcomes) = recorded(session, call)? {
        return Ok(outcomes);
    }
    let mut outcomes = Vec::with_capacity(statements.len());
    for statement in statements {
        outcomes.push(session.execute(statement)?);
        if session.open.connection.is_autocommit() {
            return Err(errors::internal("a statement ended the transaction"));
        }
    }
    record(session, call, &outcomes)?;
    Ok(outcomes)
}

fn recorded(session: &Session<'_>, call: &Call) -> Result<Option<Vec<Outcome>>, Error> {
    let found: Option<(String, Vec<u8>)> = session
        .open
        .connection
        .prepare(FIND)
        .and_then(|mut statement| {
            statement
                .query_row(params![call.turn, call.seq], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()
        })
        .map_err(|error| session.failed(error))?;
    let Some((args_hash, result)) = found else {
        return Ok(None);
    };
    if args_hash != call.args_hash {
        return Err(errors::new(
            ErrorKind::Internal,
            format!(
                "diverged: call {} of the turn was made before with other arguments",
                call.seq
            ),
        ));
    }
    codec::decode(&result).map(Some).map_err(errors::internal)
}

fn record(session: &Session<'_>, call: &Call, outcomes: &[Outcome]) -> Result<(), Error> {
    let result = codec::encode(outcomes).map_err(errors::internal)?;
    let limit = session.limits.max_bytes;
    let write = || {
        session.open.cap_with_slack(limit)?;
        let written = session.open.connection.execute(
            RECORD,
            params![call.turn, call.seq, call.args_hash, result, now_ms()],
        );
        session.open.cap(limit)?;
        written
    };
    write().map(|_| ()).map_err(|error| session.failed(error))
}

fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}
