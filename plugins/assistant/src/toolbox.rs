//! The assistant's own tools: `remember` keeps a fact about a person, `recall` lists the facts.
//! Facts belong to the person, so another person's assistant does not know them.

use anchorhold_agent::serde_json::json;
use anchorhold_agent::state::{self, Scope};
use anchorhold_agent::tools::ToolRun;
use anchorhold_agent::{Result, ToolCall, ToolDefinition, log};
use serde::Deserialize;

/// The key of the facts in the state of a person.
const FACTS: &str = "facts";

/// The oldest fact is forgotten when there are more.
const MOST_FACTS: usize = 100;

#[derive(Deserialize)]
struct Remember {
    fact: String,
}

pub(crate) struct Toolbox {
    names: Vec<String>,
    facts: Vec<String>,
}

impl Toolbox {
    /// The tools of these names, and what is remembered. Without a grant for the state there are
    /// none: the assistant answers all the same.
    pub(crate) fn open(names: &[String]) -> Self {
        if names.is_empty() {
            return Self {
                names: Vec::new(),
                facts: Vec::new(),
            };
        }
        match facts() {
            Ok(facts) => Self {
                names: names.to_vec(),
                facts,
            },
            Err(error) => {
                log::warn(format!("answering without tools: {}", error.message));
                Self {
                    names: Vec::new(),
                    facts: Vec::new(),
                }
            }
        }
    }

    /// What is remembered, to be put behind the prompt.
    pub(crate) fn facts_as_prompt(&self) -> String {
        if self.facts.is_empty() {
            return String::new();
        }
        format!(
            "\n\nWhat you remember about this person:\n- {}",
            self.facts.join("\n- ")
        )
    }

    /// Gives these tools to the model.
    pub(crate) fn equip<'a>(&self, mut model: ToolRun<'a>) -> ToolRun<'a> {
        for definition in [remember_definition(), recall_definition()] {
            if self.names.contains(&definition.name) {
                model = model.own(definition, run);
            }
        }
        model
    }
}

fn run(call: &ToolCall) -> Result<String> {
    match call.name.as_str() {
        "remember" => remember(call.arguments()?),
        "recall" => recall(),
        other => Err(format!("there is no tool `{other}`"))?,
    }
}

fn remember(Remember { fact }: Remember) -> Result<String> {
    state::update(Scope::User, FACTS, |facts: &mut Vec<String>| {
        facts.retain(|known| *known != fact);
        facts.push(fact.clone());
        facts.drain(..facts.len().saturating_sub(MOST_FACTS));
    })?;
    Ok("remembered".into())
}

fn recall() -> Result<String> {
    let facts = facts()?;
    Ok(if facts.is_empty() {
        "nothing is remembered yet".into()
    } else {
        facts.join("\n")
    })
}

fn facts() -> Result<Vec<String>> {
    Ok(state::get(Scope::User, FACTS)?.unwrap_or_default())
}

fn remember_definition() -> ToolDefinition {
    let schema = json!({
        "type": "object",
        "properties": {
            "fact": {"type": "string", "description": "One sentence, true for longer than today"}
        },
        "required": ["fact"],
        "additionalProperties": false
    });
    ToolDefinition::new(
        "remember",
        "Keeps a fact about this person for later conversations",
        &schema,
    )
}

fn recall_definition() -> ToolDefinition {
    let schema = json!({"type": "object", "properties": {}, "additionalProperties": false});
    ToolDefinition::new(
        "recall",
        "Lists every fact that is kept about this person",
        &schema,
    )
}
