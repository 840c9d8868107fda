//! Values between the contract and SQLite.

use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use super::errors::invalid;
use crate::runtime::bindings::{database, types};

/// The integers that every language can carry: plus or minus 2^53-1.
const EXACT: i64 = (1 << 53) - 1;

/// A value as SQLite binds it; text and bytes are borrowed.
///
/// # Errors
///
/// For a `big-integer` that is no integer of 64 bits, and for a real that is no
/// number, which SQLite would store as NULL.
pub(super) fn bound(value: &database::Value) -> Result<ToSqlOutput<'_>, types::Error> {
    Ok(match value {
        database::Value::Null => ToSqlOutput::Owned(Value::Null),
        database::Value::Integer(number) => ToSqlOutput::Owned(Value::Integer(*number)),
        database::Value::BigInteger(digits) => ToSqlOutput::Owned(Value::Integer(big(digits)?)),
        database::Value::Real(number) if number.is_nan() => {
            return Err(invalid("a real may not be NaN: use null"));
        }
        database::Value::Real(number) => ToSqlOutput::Owned(Value::Real(*number)),
        database::Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        database::Value::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
    })
}

fn big(digits: &str) -> Result<i64, types::Error> {
    let well_formed = !digits.starts_with('+') && digits.len() <= 20;
    digits
        .parse()
        .ok()
        .filter(|_| well_formed)
        .ok_or_else(|| invalid("a big-integer is a decimal number of 64 bits, for example `-42`"))
}

/// A value of a row. Text that is not UTF-8, which only a CAST can make, has
/// its bad bytes replaced.
pub(super) fn answered(value: ValueRef<'_>) -> database::Value {
    match value {
        ValueRef::Null => database::Value::Null,
        ValueRef::Integer(number) if (-EXACT..=EXACT).contains(&number) => {
            database::Value::Integer(number)
        }
        ValueRef::Integer(number) => database::Value::BigInteger(number.to_string()),
        ValueRef::Real(number) => database::Value::Real(number),
        ValueRef::Text(text) => database::Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => database::Value::Blob(bytes.to_vec()),
    }
}

/// About what a value weighs in an answer.
pub(super) fn weight(value: &database::Value) -> usize {
    let payload = match value {
        database::Value::Text(text) | database::Value::BigInteger(text) => text.len(),
        database::Value::Blob(bytes) => bytes.len(),
        _ => 0,
    };
    payload + size_of::<u64>()
}
