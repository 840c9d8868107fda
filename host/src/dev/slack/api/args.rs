//! Arguments of a call: of a query, a form or JSON. In forms, what is more than a text is JSON
//! within a text.

use serde_json::{Map, Value, json};

use super::super::world::{Refusal, Result};

#[derive(Debug, Clone, Default)]
pub(in crate::dev::slack) struct Args(Map<String, Value>);

impl Args {
    /// All that was given; what comes later wins.
    pub(in crate::dev::slack) fn of(pairs: impl IntoIterator<Item = (String, Value)>) -> Self {
        Self(pairs.into_iter().collect())
    }

    /// Takes the token out, which some clients put here.
    pub(in crate::dev::slack) fn take_token(&mut self) -> Option<String> {
        let token = self.0.remove("token")?;
        token.as_str().map(str::to_owned)
    }

    /// As they are written down: what is JSON, read.
    pub(super) fn shown(&self) -> Value {
        let shown = |value: &Value| match value.as_str() {
            Some(text) if text.starts_with(['{', '[']) => {
                serde_json::from_str(text).unwrap_or_else(|_| json!(text))
            }
            _ => value.clone(),
        };
        let fields = self
            .0
            .iter()
            .map(|(key, value)| (key.clone(), shown(value)));
        Value::Object(fields.collect())
    }

    /// A text that is not empty.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        match self.0.get(key)? {
            Value::String(text) if text.is_empty() => None,
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        }
    }

    /// A text that must be there.
    pub(super) fn need(&self, key: &str) -> Result<String> {
        self.text(key).ok_or_else(|| {
            let message = format!("[ERROR] missing required field: {key}");
            let extra = json!({"response_metadata": {"messages": [message]}});
            Refusal::with("invalid_arguments", extra)
        })
    }

    pub(super) fn channel(&self) -> Result<String> {
        Ok(self.text("channel").ok_or("channel_not_found")?)
    }

    /// A list or an object.
    pub(super) fn json(&self, key: &str) -> Result<Option<Value>> {
        let read = match self.0.get(key) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) if text.is_empty() => return Ok(None),
            Some(Value::String(text)) => serde_json::from_str(text).ok(),
            Some(other) => Some(other.clone()),
        };
        let read = read.filter(|value: &Value| value.is_array() || value.is_object());
        let error = format!("invalid_{key}_format");
        Ok(Some(read.ok_or_else(|| Refusal::from(error.as_str()))?))
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        matches!(self.text(key).as_deref(), Some("true" | "1" | "True"))
    }

    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.text(key)?.parse().ok()
    }
}
