//! Tools that a model may call.

use genai::chat::Tool;
use serde_json::Value;

use crate::runtime::bindings::llm as wire;
use crate::runtime::bindings::types::ToolDefinition;

use super::Wire;
use super::options::{invalid, is_without_choice, unsupported};

/// Names that genai takes for tools which the provider runs itself. An agent must not reach the
/// web by naming a tool like that.
const BUILT_IN: &[(Wire, &str)] = &[
    (Wire::OpenaiResponses, "web_search"),
    (Wire::Anthropic, "web_search"),
    (Wire::Gemini, "googleSearch"),
    (Wire::Gemini, "googleSearchRetrieval"),
    (Wire::Gemini, "codeExecution"),
    (Wire::Gemini, "urlContext"),
];

pub(super) fn offered(
    wire: Wire,
    request: &wire::Request,
) -> Result<Option<Vec<Tool>>, wire::Error> {
    let never = matches!(request.tool_choice, wire::ToolChoice::Never);
    if request.tools.is_empty() || (never && is_without_choice(wire)) {
        return Ok(None);
    }
    let tools = request
        .tools
        .iter()
        .map(|definition| tool(wire, definition));
    tools.collect::<Result<_, _>>().map(Some)
}

fn tool(wire: Wire, definition: &ToolDefinition) -> Result<Tool, wire::Error> {
    let name = &definition.name;
    if BUILT_IN.contains(&(wire, name.as_str())) {
        return Err(unsupported(&format!("a tool of the agent called {name:?}")));
    }
    let schema: Value = serde_json::from_str(&definition.input_schema_json)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| {
            invalid(&format!(
                "the schema of the tool {name:?} is not a JSON object"
            ))
        })?;
    let mut tool = Tool::new(name.as_str()).with_schema(schema);
    if let Some(description) = &definition.description {
        tool = tool.with_description(description);
    }
    // Where nothing is said, OpenAI's responses make a schema strict that allows it.
    if definition.strict || wire == Wire::OpenaiResponses {
        tool = tool.with_strict(definition.strict);
    }
    Ok(tool)
}
