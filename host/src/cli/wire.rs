//! Reading what the API answers: whole, by the types that it answers with, or field by field.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads a part of an answer that is shown as JSON or as people like it.
pub(super) fn read<T: DeserializeOwned>(value: &Value) -> anyhow::Result<T> {
    use anyhow::Context;
    T::deserialize(value)
        .context("the host's answer is not what this version expects; are both the same version?")
}

/// A word of the API, such as `completed`, as it has it.
pub(super) fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

/// A field of an object as text: strings as they are, `null` as nothing.
pub(super) fn text(value: &Value, field: &str) -> String {
    match value.get(field) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A field of an object as a list of texts.
pub(super) fn texts(value: &Value, field: &str) -> Vec<String> {
    let items = value.get(field).and_then(Value::as_array);
    let items = items.into_iter().flatten().filter_map(Value::as_str);
    items.map(str::to_owned).collect()
}

/// A field of an object as a number.
pub(super) fn number(value: &Value, field: &str) -> i64 {
    value.get(field).and_then(Value::as_i64).unwrap_or_default()
}

/// The items of a list.
pub(super) fn items(list: &Value) -> &[Value] {
    list.get("items")
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}
