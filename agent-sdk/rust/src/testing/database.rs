//! A real SQLite database in memory, for agents that use SQL.

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Statement as Prepared, params_from_iter};

use crate::database::{FromValue, Outcome, RowSet, Statement, Value};
use crate::{Error, Result};

/// Opened with the first statement.
#[derive(Default)]
pub(super) struct Database(Option<Connection>);

impl Database {
    fn connection(&mut self) -> Result<&mut Connection> {
        if self.0.is_none() {
            self.0 = Some(Connection::open_in_memory()?);
        }
        self.0
            .as_mut()
            .ok_or_else(|| Error::unavailable("no database"))
    }

    pub(super) fn query(&mut self, sql: &str, params: &[Value]) -> Result<RowSet> {
        let mut statement = self.connection()?.prepare(sql)?;
        if !statement.readonly() {
            return Err(Error::invalid_input("a query must only read"));
        }
        rows(&mut statement, params)
    }

    pub(super) fn execute(&mut self, sql: &str, params: &[Value]) -> Result<Outcome> {
        execute(self.connection()?, sql, params)
    }

    pub(super) fn batch(&mut self, statements: &[Statement]) -> Result<Vec<Outcome>> {
        let transaction = self.connection()?.transaction()?;
        let outcomes = statements
            .iter()
            .map(|statement| execute(&transaction, &statement.sql, &statement.params))
            .collect::<Result<Vec<_>>>()?;
        transaction.commit()?;
        Ok(outcomes)
    }
}

fn execute(connection: &Connection, sql: &str, params: &[Value]) -> Result<Outcome> {
    let mut statement = connection.prepare(sql)?;
    if statement.readonly() {
        return Err(Error::invalid_input("reading is what `query` is for"));
    }
    // Rows of a RETURNING clause are read to their end and left out, as the host does.
    rows(&mut statement, params)?;
    Ok(Outcome {
        rows_affected: connection.changes(),
        last_insert_id: Some(connection.last_insert_rowid().to_string()),
    })
}

fn rows(statement: &mut Prepared<'_>, params: &[Value]) -> Result<RowSet> {
    let columns: Vec<_> = statement
        .column_names()
        .into_iter()
        .map(String::from)
        .collect();
    let width = columns.len();
    let mut found = statement.query(params_from_iter(params))?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let values = (0..width).map(|place| Ok(value(row.get_ref(place)?)));
        rows.push(values.collect::<Result<Vec<_>>>()?);
    }
    Ok(RowSet {
        columns,
        rows,
        truncated: false,
    })
}

fn value(found: ValueRef<'_>) -> Value {
    match found {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::from(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.into()),
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Self::Integer(number) => ToSqlOutput::from(*number),
            Self::BigInteger(digits) => match i64::from_value(self) {
                Some(number) => ToSqlOutput::from(number),
                None => Err(rusqlite::Error::InvalidParameterName(digits.clone()))?,
            },
            Self::Real(number) => ToSqlOutput::from(*number),
            Self::Text(text) => ToSqlOutput::from(text.as_str()),
            Self::Blob(bytes) => ToSqlOutput::from(bytes.as_slice()),
        })
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::invalid_input(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use crate::database::{Statement, batch, execute, query};
    use crate::params;
    use crate::testing::Host;

    #[test]
    fn a_batch_is_all_or_none() {
        let _host = Host::new();
        execute("CREATE TABLE t (n INTEGER UNIQUE)", params![]).unwrap();
        let insert = |n: i64| Statement::new("INSERT INTO t VALUES (?1)", params![n]);
        assert_eq!(batch(&[insert(1), insert(2)]).unwrap().len(), 2);
        batch(&[insert(3), insert(1)]).unwrap_err();
        let rows = query("SELECT count(*) AS n FROM t", params![]).unwrap();
        assert_eq!(rows.first().unwrap().get::<i64>("n").unwrap(), 2);
    }

    #[test]
    fn a_query_that_writes_is_refused() {
        let _host = Host::new();
        let error = query("CREATE TABLE t (n)", params![]).unwrap_err();
        assert!(error.message.contains("only read"));
    }
}
