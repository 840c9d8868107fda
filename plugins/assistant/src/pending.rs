//! Calls of tools that the client brought along end a turn; their results come with the next
//! message. Models want to see the call before its result, so it is kept until then.

use anchorhold_agent::llm::{ContentPart, PromptMessage, Response, Role, ToolAnswer, ToolOutput};
use anchorhold_agent::state::{self, Scope};
use anchorhold_agent::{Message, Result, ToolCall, ToolResult, log};
use serde::{Deserialize, Serialize};

/// The key of what waits, in the state of a conversation.
const PENDING: &str = "pending-calls";

/// One call, and its answer if it was the agent's own tool.
#[derive(Deserialize, Serialize)]
struct Pending {
    id: String,
    name: String,
    arguments: String,
    answer: Option<String>,
}

/// Keeps the calls of a response, and the `answers` that are there already.
pub(crate) fn suspend(response: &Response, answers: &[ToolAnswer]) {
    let pending: Vec<_> = response
        .tool_calls()
        .into_iter()
        .map(|call| Pending {
            answer: answers
                .iter()
                .find(|answer| answer.call_id == call.id)
                .map(text),
            id: call.id,
            name: call.name,
            arguments: call.arguments_json,
        })
        .collect();
    if let Err(error) = state::set(Scope::Conversation, PENDING, &pending) {
        log::warn(format!("tool calls are not kept: {}", error.message));
    }
}

/// The calls that waited and their results, as the model wants to see them; nothing if the
/// message brings no results.
pub(crate) fn resume(message: &Message) -> Vec<PromptMessage> {
    let brought = &message.client_tool_results;
    if brought.is_empty() {
        return Vec::new();
    }
    let waited = take().unwrap_or_else(|error| {
        log::warn(format!(
            "earlier tool calls are not known: {}",
            error.message
        ));
        Vec::new()
    });
    if !waited
        .iter()
        .any(|call| brought.iter().any(|result| result.call_id == call.id))
    {
        return vec![unasked(brought)];
    }
    let results = waited.iter().map(|call| result(call, brought)).collect();
    let calls = waited
        .iter()
        .map(|call| ContentPart::ToolCall(call.to_call()))
        .collect();
    vec![
        PromptMessage {
            role: Role::Assistant,
            content: calls,
            cache: None,
        },
        PromptMessage {
            role: Role::Tool,
            content: results,
            cache: None,
        },
    ]
}

fn take() -> Result<Vec<Pending>> {
    let waited = state::get(Scope::Conversation, PENDING)?.unwrap_or_default();
    state::remove(Scope::Conversation, PENDING)?;
    Ok(waited)
}

impl Pending {
    fn to_call(&self) -> ToolCall {
        ToolCall {
            id: self.id.clone(),
            name: self.name.clone(),
            arguments_json: self.arguments.clone(),
        }
    }
}

/// Results of calls that nobody knows of: the model reads them as what the person says.
fn unasked(results: &[ToolResult]) -> PromptMessage {
    let texts: Vec<_> = results.iter().map(|result| result.text.as_str()).collect();
    PromptMessage::text(Role::User, texts.join("\n"))
}

/// Every call needs a result: a client that leaves one out is told on to the model.
fn result(call: &Pending, of_client: &[ToolResult]) -> ContentPart {
    let brought = of_client.iter().find(|result| result.call_id == call.id);
    ContentPart::ToolResult(match (&call.answer, brought) {
        (Some(answer), _) => ToolAnswer::text(&call.id, answer),
        (None, Some(result)) if result.is_error => ToolAnswer::error(&call.id, &result.text),
        (None, Some(result)) => ToolAnswer::text(&call.id, &result.text),
        (None, None) => ToolAnswer::error(&call.id, "the client gave no result"),
    })
}

fn text(answer: &ToolAnswer) -> String {
    let text = |output: &ToolOutput| match output {
        ToolOutput::Text(text) | ToolOutput::Json(text) => text.clone(),
        ToolOutput::Media(_) => String::new(),
    };
    answer.output.iter().map(text).collect()
}
