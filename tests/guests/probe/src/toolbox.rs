//! The commands that use tools.

use anchorhold_agent::llm::Request;
use anchorhold_agent::serde_json::{self, Map, Value, json};
use anchorhold_agent::{Result, tools};

use crate::show;

/// How often the model is asked.
const STEPS: u32 = 4;

pub(crate) fn list() -> Result<String> {
    let known: Map<String, Value> = tools::list()?
        .into_iter()
        .map(|tool| {
            let view = json!({
                "source": tool.source,
                "read_only": tool.read_only,
                "destructive": tool.destructive,
                "needs_approval": tool.needs_approval,
            });
            (tool.definition.name, view)
        })
        .collect();
    Ok(Value::Object(known).to_string())
}

pub(crate) fn call(text: &str) -> Result<String> {
    let (name, arguments) = show::split(text);
    let arguments: Value = serde_json::from_str(arguments)?;
    let outcome = tools::call(name, &arguments)?;
    Ok(match (outcome.is_error, outcome.truncated) {
        (true, _) => format!("failed {}", outcome.text()),
        (_, true) => format!("cut {}", outcome.text()),
        _ => outcome.text(),
    })
}

pub(crate) fn run(alias: &str, text: &str) -> Result<String> {
    Ok(tools::run_tools(Request::new(alias).user(text), STEPS)?.text)
}
