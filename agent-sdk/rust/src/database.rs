//! The agent's own SQL database.
//!
//! ```
//! # let _host = anchorhold_agent::testing::Host::new();
//! use anchorhold_agent::{database, params};
//!
//! # #[cfg(feature = "testing")] {
//! database::execute("CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT)", params![])?;
//! database::execute("INSERT INTO note (body) VALUES (?1)", params!["tea"])?;
//! for row in database::query("SELECT id, body FROM note", params![])?.iter() {
//!     let (id, body): (i64, String) = (row.get("id")?, row.get("body")?);
//!     assert_eq!((id, body.as_str()), (1, "tea"));
//! }
//! # }
//! # Ok::<(), anchorhold_agent::Error>(())
//! ```

pub use crate::bindings::imports::anchorhold::agent::database::{
    Outcome, RowSet, Statement, Value,
};
use crate::window::database as host;
use crate::{Error, Result};

/// The largest integer that crosses as a number; see the contract's rules.
const LARGEST_INTEGER: i64 = (1 << 53) - 1;

/// Parameters of a statement, bound to `?1`, `?2`, … in order.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        [$($crate::database::Value::from($value)),*]
    };
}

/// One statement that reads.
pub fn query(sql: &str, params: impl AsRef<[Value]>) -> Result<RowSet> {
    host::query(sql, params.as_ref())
}

/// One statement that writes, in a transaction of its own.
pub fn execute(sql: &str, params: impl AsRef<[Value]>) -> Result<Outcome> {
    host::execute(sql, params.as_ref())
}

/// Statements that write, all or none.
pub fn batch(statements: &[Statement]) -> Result<Vec<Outcome>> {
    host::batch(statements)
}

impl Statement {
    /// A statement of a [`batch`].
    pub fn new(sql: impl Into<String>, params: impl Into<Vec<Value>>) -> Self {
        Self {
            sql: sql.into(),
            params: params.into(),
        }
    }
}

impl RowSet {
    /// The rows, each able to read its columns by name.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|values| Row {
            columns: &self.columns,
            values,
        })
    }

    /// The first row, if there is one.
    pub fn first(&self) -> Option<Row<'_>> {
        self.iter().next()
    }
}

/// One row of an answer.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    columns: &'a [String],
    values: &'a [Value],
}

impl Row<'_> {
    /// The value of a column.
    pub fn get<T: FromValue>(&self, column: &str) -> Result<T> {
        let place = self.columns.iter().position(|name| name == column);
        let value = place.and_then(|place| self.values.get(place));
        let value = value.ok_or_else(|| Error::not_found(format!("no column `{column}`")))?;
        T::from_value(value).ok_or_else(|| {
            Error::invalid_input(format!(
                "column `{column}` is {value:?}, not what was asked for"
            ))
        })
    }
}

/// What a column can be read as.
pub trait FromValue: Sized {
    /// The value, if it is of this type.
    fn from_value(value: &Value) -> Option<Self>;
}

impl FromValue for i64 {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Integer(number) => Some(*number),
            Value::BigInteger(digits) => digits.parse().ok(),
            _ => None,
        }
    }
}

impl FromValue for u64 {
    fn from_value(value: &Value) -> Option<Self> {
        i64::from_value(value)?.try_into().ok()
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Option<Self> {
        i64::from_value(value).map(|number| number != 0)
    }
}

impl FromValue for f64 {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Real(number) => Some(*number),
            Value::Integer(number) => Some(*number as f64),
            _ => None,
        }
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Blob(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        if (-LARGEST_INTEGER..=LARGEST_INTEGER).contains(&number) {
            Self::Integer(number)
        } else {
            Self::BigInteger(number.to_string())
        }
    }
}

/// Conversions that are one expression.
macro_rules! values {
    ($($from:ty => |$value:ident| $to:expr),* $(,)?) => {
        $(impl From<$from> for Value {
            fn from($value: $from) -> Self {
                $to
            }
        })*
    };
}

values! {
    i32 => |value| Self::Integer(value.into()),
    u32 => |value| Self::Integer(value.into()),
    bool => |value| Self::Integer(value.into()),
    f64 => |value| Self::Real(value),
    &str => |value| Self::Text(value.into()),
    &String => |value| Self::Text(value.clone()),
    String => |value| Self::Text(value),
    Vec<u8> => |value| Self::Blob(value),
    &[u8] => |value| Self::Blob(value.into()),
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_that_not_every_language_can_carry_travel_as_text() {
        assert_eq!(
            Value::from(LARGEST_INTEGER),
            Value::Integer(LARGEST_INTEGER)
        );
        assert_eq!(
            Value::from(i64::MIN),
            Value::BigInteger("-9223372036854775808".into())
        );
        assert_eq!(i64::from_value(&Value::from(i64::MIN)), Some(i64::MIN));
    }

    #[test]
    fn a_row_reads_columns_by_name_and_type() {
        let columns = ["id", "body"].map(String::from).to_vec();
        let rows = vec![vec![Value::from(7), Value::Null]];
        let set = RowSet {
            columns,
            rows,
            truncated: false,
        };
        let row = set.first().unwrap();
        assert_eq!(row.get::<u64>("id").unwrap(), 7);
        assert_eq!(row.get::<Option<String>>("body").unwrap(), None);
        assert!(
            row.get::<String>("body")
                .unwrap_err()
                .message
                .contains("`body`")
        );
        assert!(row.get::<i64>("absent").is_err());
    }
}
