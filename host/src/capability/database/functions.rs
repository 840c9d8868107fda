//! Functions of SQLite that are replaced, because their time or memory grows
//! with the product of two inputs inside a single instruction, where no limit
//! could stop them. The replacements answer the same in linear time.

use std::borrow::Cow;
use std::collections::HashSet;

use memchr::memmem;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, Result, ffi};

use super::open::VALUE_BYTES;
use super::real_text;

/// As the functions that they replace: usable in indexes, triggers and views.
const FLAGS: FunctionFlags = FunctionFlags::SQLITE_UTF8
    .union(FunctionFlags::SQLITE_DETERMINISTIC)
    .union(FunctionFlags::SQLITE_INNOCUOUS);

pub(super) fn install(connection: &Connection) -> Result<()> {
    connection.create_scalar_function("instr", 2, FLAGS, instr)?;
    connection.create_scalar_function("replace", 3, FLAGS, replace)?;
    connection.create_scalar_function("trim", 2, FLAGS, |context| trim(context, true, true))?;
    connection.create_scalar_function("ltrim", 2, FLAGS, |context| trim(context, true, false))?;
    connection.create_scalar_function("rtrim", 2, FLAGS, |context| trim(context, false, true))?;
    for name in ["unhex", "json_pretty"] {
        connection.create_scalar_function(name, 2, FLAGS, move |_| {
            Err::<i64, _>(failed(format!("{name} takes one argument here")))
        })?;
    }
    Ok(())
}

fn instr(context: &Context<'_>) -> Result<Option<i64>> {
    let (haystack, needle) = (context.get_raw(0), context.get_raw(1));
    if let (ValueRef::Blob(haystack), ValueRef::Blob(needle)) = (haystack, needle) {
        let found = memmem::find(haystack, needle);
        return Ok(Some(found.map_or(0, |at| at as i64 + 1)));
    }
    let (Some(haystack), Some(needle)) = (text(haystack), text(needle)) else {
        return Ok(None);
    };
    let found = memmem::find(haystack.as_bytes(), needle.as_bytes());
    let before = found.and_then(|at| haystack.get(..at));
    Ok(Some(
        before.map_or(0, |before| before.chars().count() as i64 + 1),
    ))
}

fn replace(context: &Context<'_>) -> Result<Option<String>> {
    let texts = [0, 1, 2].map(|index| text(context.get_raw(index)));
    let [Some(whole), Some(from), Some(to)] = texts else {
        return Ok(None);
    };
    if from.is_empty() {
        return Ok(Some(whole.into_owned()));
    }
    let count = memmem::find_iter(whole.as_bytes(), from.as_bytes()).count();
    let length = (whole.len() - count * from.len()).saturating_add(count.saturating_mul(to.len()));
    if length > VALUE_BYTES as usize {
        return Err(Error::SqliteFailure(
            ffi::Error::new(ffi::SQLITE_TOOBIG),
            Some("string or blob too big".to_owned()),
        ));
    }
    Ok(Some(whole.replace(&*from, &to)))
}

fn trim(context: &Context<'_>, start: bool, end: bool) -> Result<Option<String>> {
    let (Some(whole), Some(set)) = (text(context.get_raw(0)), text(context.get_raw(1))) else {
        return Ok(None);
    };
    let set: HashSet<char> = set.chars().collect();
    let mut rest = &*whole;
    if start {
        rest = rest.trim_start_matches(|character| set.contains(&character));
    }
    if end {
        rest = rest.trim_end_matches(|character| set.contains(&character));
    }
    Ok(Some(rest.to_owned()))
}

/// A value as text, as SQLite converts it; none for NULL.
fn text(value: ValueRef<'_>) -> Option<Cow<'_, str>> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string().into()),
        ValueRef::Real(number) => Some(real_text::of(number).into()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes)),
    }
}

fn failed(message: String) -> Error {
    Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_ERROR), Some(message))
}
