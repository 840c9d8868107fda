//! Making replies and tool definitions, and reading tool calls.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Reply, Result, ToolCall, ToolDefinition};

impl Reply {
    /// A reply of text (Markdown) and nothing else.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            attachments: Vec::new(),
            tool_calls: Vec::new(),
            metadata_json: None,
        }
    }
}

impl From<String> for Reply {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Reply {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl ToolDefinition {
    /// A function that a model may call with an object that fits `schema` (JSON Schema).
    pub fn new(name: impl Into<String>, description: impl Into<String>, schema: &Value) -> Self {
        Self {
            name: name.into(),
            description: Some(description.into()),
            input_schema_json: schema.to_string(),
            strict: false,
        }
    }
}

impl ToolCall {
    /// What the model gave as arguments. Models err: answer a failure to the model.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(serde_json::from_str(&self.arguments_json)?)
    }
}
