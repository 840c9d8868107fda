//! Making replies and tool definitions, and reading messages and tool calls.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Message, Reply, Result, ToolCall, ToolDefinition};

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

impl Message {
    /// How the client wants to be answered, if its channel says so (`instructions` in
    /// `context_json`). Put it behind your own prompt: it is the word of a client, not yours.
    pub fn instructions(&self) -> Option<String> {
        let context: Value = serde_json::from_str(&self.context_json).ok()?;
        let instructions = context.get("instructions")?.as_str()?;
        (!instructions.is_empty()).then(|| instructions.to_owned())
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
