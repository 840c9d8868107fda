//! Statements and rows: what every file of the store does with a connection.

use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use rusqlite::types::{ToSqlOutput, Value};
use rusqlite::{Connection, OpenFlags, Params, Row, ToSql, TransactionBehavior, params_from_iter};
use rusqlite_migration::{M, Migrations};
use tokio::sync::Semaphore;

/// In the order of their numbers; one that has been released never changes.
const MIGRATIONS: &[M] = &[
    M::up(include_str!("../../../migrations/0001_init.sql")),
    M::up(include_str!("../../../migrations/0002_recovery.sql")),
    M::up(include_str!("../../../migrations/0003_retention.sql")),
    M::up(include_str!("../../../migrations/0004_suspension.sql")),
    M::up(include_str!("../../../migrations/0005_bus.sql")),
    M::up(include_str!("../../../migrations/0007_outbox.sql")),
    M::up(include_str!("../../../migrations/0008_feedback.sql")),
    M::up(include_str!("../../../migrations/0009_budgets.sql")),
    M::up(include_str!("../../../migrations/0010_response_cache.sql")),
    M::up(include_str!("../../../migrations/0011_slack.sql")),
    M::up(include_str!("../../../migrations/0012_people.sql")),
    M::up(include_str!("../../../migrations/0013_spend_of_people.sql")),
    M::up(include_str!("../../../migrations/0014_slack_heard.sql")),
];

/// How long a statement waits for another process that holds the database.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Statements that stay prepared.
const PREPARED: usize = 200;

/// A row's type: tuples, and what `columns!` was said of.
pub(super) trait FromRow: for<'a> TryFrom<&'a Row<'a>, Error = rusqlite::Error> {}
impl<T> FromRow for T where T: for<'a> TryFrom<&'a Row<'a>, Error = rusqlite::Error> {}

/// Says that the fields of a type are the columns of its rows.
macro_rules! columns {
    ($row:ty: $($column:ident),+ $(,)?) => {
        impl<'a> TryFrom<&rusqlite::Row<'a>> for $row {
            type Error = rusqlite::Error;

            fn try_from(row: &rusqlite::Row<'a>) -> rusqlite::Result<Self> {
                Ok(Self { $($column: row.get(stringify!($column))?),+ })
            }
        }
    };
}

/// Says how the values of an enum are stored.
macro_rules! stored_as_text {
    ($kind:ty: $($value:ident = $text:literal),+ $(,)?) => {
        impl rusqlite::ToSql for $kind {
            fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
                Ok(match self { $(Self::$value => $text.into()),+ })
            }
        }

        impl rusqlite::types::FromSql for $kind {
            fn column_result(
                value: rusqlite::types::ValueRef<'_>,
            ) -> rusqlite::types::FromSqlResult<Self> {
                match value.as_str()? {
                    $($text => Ok(Self::$value),)+
                    _ => Err(rusqlite::types::FromSqlError::InvalidType),
                }
            }
        }
    };
}

/// Parameters that outlive their borrows.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        vec![$($crate::store::sql::owned(&$value)),*]
    };
}

pub(super) use {columns, stored_as_text, values};

/// A parameter of its own.
pub(super) fn owned(value: &dyn ToSql) -> rusqlite::Result<Value> {
    Ok(match value.to_sql()? {
        ToSqlOutput::Borrowed(value) => value.try_into()?,
        ToSqlOutput::Owned(value) => value,
        _ => return Err(rusqlite::Error::InvalidQuery),
    })
}

/// Parameters to bind.
pub(super) fn bound(
    values: Vec<rusqlite::Result<Value>>,
) -> rusqlite::Result<rusqlite::ParamsFromIter<Vec<Value>>> {
    let values = values.into_iter().collect::<rusqlite::Result<_>>()?;
    Ok(params_from_iter(values))
}

/// Runs a statement; answers how many rows it changed.
pub(super) fn execute(db: &Connection, sql: &str, params: impl Params) -> Result<usize> {
    Ok(db.prepare_cached(sql)?.execute(params)?)
}

/// The first row, if there is one.
pub(super) fn one<T: FromRow>(
    db: &Connection,
    sql: &str,
    params: impl Params,
) -> Result<Option<T>> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?
        .map(|row| T::try_from(row).map_err(Into::into))
        .transpose()
}

/// The first row of a statement that has one.
pub(super) fn only<T: FromRow>(db: &Connection, sql: &str, params: impl Params) -> Result<T> {
    one(db, sql, params)?.with_context(|| format!("no row: {sql}"))
}

/// All rows.
pub(super) fn all<T: FromRow>(db: &Connection, sql: &str, params: impl Params) -> Result<Vec<T>> {
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_and_then(params, |row| T::try_from(row))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Opens the database for writing, making it if it is not there.
pub(super) fn open(path: &Path) -> Result<Connection> {
    let db = Connection::open(path)
        .context("cannot open the database; the data folder must be writable")?;
    prepare(&db)?;
    db.pragma_update(None, "journal_mode", "wal")?;
    // The writer itself syncs what must be synced.
    db.pragma_update(None, "synchronous", "normal")?;
    db.pragma_update(None, "foreign_keys", true)?;
    Ok(db)
}

/// Brings the tables to the form that this version knows.
pub(super) fn migrate(db: &mut Connection) -> Result<()> {
    db.set_transaction_behavior(TransactionBehavior::Immediate);
    Migrations::from_slice(MIGRATIONS)
        .to_latest(db)
        .context("cannot migrate the database; was it written by a newer anchorhold?")
}

fn prepare(db: &Connection) -> Result<()> {
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.pragma_update(None, "temp_store", "memory")?;
    db.pragma_update(None, "cache_size", -32_000)?;
    db.set_prepared_statement_cache_capacity(PREPARED);
    Ok(())
}

/// Connections that read, used on threads that may block.
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    /// So many connections to the database at `path`.
    pub(super) fn open(path: &Path, size: u32) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connect = || {
            let db = Connection::open_with_flags(path, flags)
                .context("cannot open the database for reading")?;
            prepare(&db)?;
            Ok(db)
        };
        let size = size.max(1);
        let connections = (0..size).map(|_| connect()).collect::<Result<_>>()?;
        Ok(Self {
            idle: Arc::new(Mutex::new(connections)),
            permits: Arc::new(Semaphore::new(size as usize)),
        })
    }

    /// Reads on a thread that may block.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .context("the store is closed")?;
        let idle = Arc::clone(&self.idle);
        tokio::task::spawn_blocking(move || {
            let lock = || idle.lock().unwrap_or_else(PoisonError::into_inner);
            let db = lock().pop().context("the store is closed")?;
            let outcome = read(&db);
            lock().push(db);
            drop(permit);
            outcome
        })
        .await?
    }

    /// Closes the connections that nobody uses; no other will be opened.
    pub(super) fn close(&self) {
        self.permits.close();
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// The SQL of a statement, made or fixed.
pub(super) type Sql = Cow<'static, str>;
