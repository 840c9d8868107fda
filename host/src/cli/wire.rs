//! What the API answers, as far as it is shown. Lenient, because the host may
//! be of another version.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::turn::Receipt;

/// A list.
#[derive(Debug, Deserialize)]
pub(super) struct Items<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<String>,
}

/// A turn.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Turn {
    pub(super) turn: String,
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) agent: String,
    pub(super) version: Option<i64>,
    pub(super) conversation: Option<String>,
    pub(super) user: Option<String>,
    pub(super) channel: String,
    pub(super) text: Option<String>,
    pub(super) error: Option<TurnError>,
    pub(super) receipt: Option<Receipt>,
    pub(super) created_at: i64,
    pub(super) finished_at: Option<i64>,
}

/// Why a turn failed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct TurnError {
    pub(super) code: String,
    pub(super) message: String,
}

/// A recorded host call.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Call {
    pub(super) seq: i64,
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) args: Value,
    pub(super) result: Value,
    pub(super) ms: f64,
}

/// A line that an agent logged.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct LogLine {
    pub(super) level: String,
    pub(super) message: String,
    pub(super) fields: Value,
}

/// Reads a part of an answer that is shown as JSON or as people like it.
pub(super) fn read<T: DeserializeOwned>(value: &Value) -> anyhow::Result<T> {
    use anyhow::Context;
    T::deserialize(value)
        .context("the host's answer is not what this version expects; are both the same version?")
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
