//! What a script can see of a request.

use crate::llm::tokens_of;
use crate::runtime::bindings::llm as wire;
use wire::{ContentPart, Role, ToolOutput};

use super::placeholders::Values;
use super::script::{Text, When};

pub(super) struct Situation<'a> {
    model: &'a str,
    system: String,
    /// The texts of the user, oldest first.
    said: Vec<String>,
    /// What tools answered since the user spoke.
    tool_result: Option<String>,
    tools: Vec<&'a str>,
    wants_json: bool,
    rounds: usize,
    pub(super) input_tokens: u64,
}

impl<'a> Situation<'a> {
    pub(super) fn of(model: &'a str, request: &'a wire::Request) -> Self {
        let may_call = !matches!(request.tool_choice, wire::ToolChoice::Never);
        let tools = request.tools.iter().filter(|_| may_call);
        let mut situation = Self {
            model,
            system: String::new(),
            said: Vec::new(),
            tool_result: None,
            tools: tools.map(|tool| tool.name.as_str()).collect(),
            wants_json: !matches!(request.response_format, wire::ResponseFormat::Text),
            rounds: 0,
            input_tokens: tokens_of(request),
        };
        for message in &request.messages {
            situation.hear(message);
        }
        situation
    }

    fn hear(&mut self, message: &wire::PromptMessage) {
        let results = results(message);
        if !results.is_empty() {
            self.tool_result = Some(results);
        }
        match message.role {
            Role::System => self.system.push_str(&text(message)),
            Role::Assistant => self.rounds += 1,
            Role::User if !text(message).is_empty() => {
                self.said.push(text(message));
                self.tool_result = None;
            }
            Role::User | Role::Tool => {}
        }
    }

    /// Whether all of `when` holds; then what follows the beginning that was matched.
    pub(super) fn matches(&self, when: &When) -> Option<&str> {
        let holds = [
            when.system
                .as_ref()
                .is_none_or(|part| contains(&self.system, part)),
            when.model.as_ref().is_none_or(|model| model == self.model),
            when.tool
                .as_ref()
                .is_none_or(|tool| self.tools.contains(&tool.as_str())),
            when.has_tool_result
                .is_none_or(|has| has == self.tool_result.is_some()),
            when.has_previous
                .is_none_or(|has| has == (self.said.len() > 1)),
            when.wants_json.is_none_or(|wants| wants == self.wants_json),
        ];
        if !holds.iter().all(|holds| *holds) {
            return None;
        }
        match &when.last {
            None => Some(""),
            Some(wanted) => fits(self.last(), wanted),
        }
    }

    pub(super) fn values<'s>(&'s self, rest: &'s str) -> Values<'s> {
        let previous = self.said.len().checked_sub(2);
        Values {
            last: self.last(),
            previous: previous
                .and_then(|at| self.said.get(at))
                .map_or("", String::as_str),
            rest,
            system: &self.system,
            tool_result: self.tool_result.as_deref().unwrap_or_default(),
            turns: self.said.len(),
            rounds: self.rounds,
        }
    }

    fn last(&self) -> &str {
        self.said.last().map_or("", |text| text.trim())
    }
}

/// Whether a text fits, and what follows the beginning that was wanted.
fn fits<'t>(text: &'t str, wanted: &Text) -> Option<&'t str> {
    match wanted {
        Text::Contains(parts) => parts.iter().any(|part| contains(text, part)).then_some(""),
        Text::Equals(texts) => texts
            .iter()
            .any(|wanted| text.to_lowercase() == wanted.to_lowercase())
            .then_some(""),
        Text::StartsWith(starts) => starts.iter().find_map(|start| {
            let head = text.get(..start.len())?;
            let rest = text.get(start.len()..)?;
            (head.to_lowercase() == start.to_lowercase()).then(|| rest.trim())
        }),
    }
}

fn contains(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}

fn text(message: &wire::PromptMessage) -> String {
    let parts = message.content.iter().filter_map(|part| match part {
        ContentPart::Text(text) => Some(text.as_str()),
        _ => None,
    });
    parts.collect()
}

fn results(message: &wire::PromptMessage) -> String {
    let answers = message.content.iter().filter_map(|part| match part {
        ContentPart::ToolResult(answer) => Some(&answer.output),
        _ => None,
    });
    let texts: Vec<&str> = answers
        .flatten()
        .map(|output| match output {
            ToolOutput::Text(text) | ToolOutput::Json(text) => text.as_str(),
            ToolOutput::Media(_) => "(media)",
        })
        .collect();
    texts.join("\n")
}
