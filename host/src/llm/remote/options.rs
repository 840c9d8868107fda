//! What a request asks besides its messages, in genai's words. What a wire cannot express is
//! refused, except `seed`, which is a wish everywhere.

use genai::chat::{ChatOptions, ChatResponseFormat, JsonSpec, ReasoningEffort, ToolChoice};
use serde_json::{Map, Value, json};

use crate::llm::{Defaults, failure};
use crate::runtime::bindings::llm as wire;

use super::Wire;

pub(super) fn of(
    wire: Wire,
    model: &str,
    request: &wire::Request,
    defaults: Defaults,
) -> Result<ChatOptions, wire::Error> {
    let most = request
        .max_output_tokens
        .unwrap_or(defaults.max_output_tokens);
    let mut extra = Map::new();
    if matches!(wire, Wire::Openai | Wire::OpenaiResponses) {
        // genai reads a name's end (`-high`) as an effort and its beginning (`x::`) as a wire.
        extra.insert("model".to_owned(), model.into());
    }
    if wire == Wire::OpenaiResponses && !request.stop.is_empty() {
        return Err(unsupported("stop sequences"));
    }
    let response_format = response_format(wire, &request.response_format, &mut extra)?;
    let tool_choice = tool_choice(wire, request)?;
    parallel_tool_calls(wire, request, &mut extra)?;
    Ok(ChatOptions {
        temperature: request.temperature,
        max_tokens: Some(most),
        top_p: request.top_p,
        stop_sequences: request.stop.clone(),
        // This wire knows no such key and refuses what it does not know.
        seed: request.seed.filter(|_| wire != Wire::OpenaiResponses),
        stream_header_timeout: Some(defaults.header_timeout),
        stream_read_timeout: Some(defaults.read_timeout),
        capture_usage: Some(true),
        capture_content: Some(true),
        capture_tool_calls: Some(true),
        capture_reasoning_content: Some(shows_thoughts(wire, request.reasoning)),
        response_format,
        tool_choice,
        reasoning_effort: request
            .reasoning
            .map(|effort| reasoning(wire, model, effort, most))
            .transpose()?,
        extra_body: (!extra.is_empty()).then(|| Value::Object(extra)),
        ..ChatOptions::default()
    })
}

/// Older models of Gemini and OpenAI refuse a request that asks for thoughts; the others ignore
/// the wish.
fn shows_thoughts(wire: Wire, effort: Option<wire::ReasoningEffort>) -> bool {
    let wanted = effort.is_some_and(|effort| effort != wire::ReasoningEffort::Off);
    !matches!(wire, Wire::Gemini | Wire::OpenaiResponses) || wanted
}

fn reasoning(
    wire: Wire,
    model: &str,
    effort: wire::ReasoningEffort,
    most: u32,
) -> Result<ReasoningEffort, wire::Error> {
    if wire == Wire::Bedrock {
        return reasoning_of_bedrock(model, effort, most);
    }
    Ok(match effort {
        // For genai no effort is no wish here, and these models would go on thinking.
        wire::ReasoningEffort::Off if wire == Wire::Gemini && !model.contains("gemini-3") => {
            ReasoningEffort::Budget(0)
        }
        _ => named(effort),
    })
}

fn named(effort: wire::ReasoningEffort) -> ReasoningEffort {
    match effort {
        wire::ReasoningEffort::Off => ReasoningEffort::Zero,
        wire::ReasoningEffort::Minimal => ReasoningEffort::Minimal,
        wire::ReasoningEffort::Low => ReasoningEffort::Low,
        wire::ReasoningEffort::Medium => ReasoningEffort::Medium,
        wire::ReasoningEffort::High => ReasoningEffort::High,
    }
}

/// Thoughts of Claude have to leave room for an answer, and Nova thinks hard only without a
/// bound, which genai would leave out without a word.
fn reasoning_of_bedrock(
    model: &str,
    effort: wire::ReasoningEffort,
    most: u32,
) -> Result<ReasoningEffort, wire::Error> {
    let budget = match effort {
        wire::ReasoningEffort::Off => return Ok(ReasoningEffort::Zero),
        wire::ReasoningEffort::High if model.contains("amazon.") => {
            return Err(unsupported("high effort in thinking with a bounded answer"));
        }
        _ if !model.contains("anthropic.") => return Ok(named(effort)),
        wire::ReasoningEffort::Minimal | wire::ReasoningEffort::Low => 1024,
        wire::ReasoningEffort::Medium => 8000,
        wire::ReasoningEffort::High => 24_000,
    };
    // Less than the least is refused there, with a sentence that says so.
    Ok(ReasoningEffort::Budget(budget.min(most / 2).max(1024)))
}

fn response_format(
    wire: Wire,
    format: &wire::ResponseFormat,
    extra: &mut Map<String, Value>,
) -> Result<Option<ChatResponseFormat>, wire::Error> {
    let schema = match format {
        wire::ResponseFormat::Text => return Ok(None),
        wire::ResponseFormat::Json => return Ok(any_json(wire)),
        wire::ResponseFormat::JsonSchema(schema) => schema,
    };
    let json = parsed(schema)?;
    match wire {
        Wire::Openai if !schema.strict => {
            // genai knows strict schemas only and would change this one.
            let format = json!({
                "type": "json_schema",
                "json_schema": {"name": schema.name, "schema": json, "strict": false},
            });
            extra.insert("response_format".to_owned(), format);
            Ok(None)
        }
        Wire::OpenaiResponses if !schema.strict => {
            let format = json!({
                "type": "json_schema", "name": schema.name, "schema": json, "strict": false,
            });
            extra.insert("text".to_owned(), json!({"format": format}));
            Ok(None)
        }
        Wire::Ollama | Wire::Bedrock if schema.strict => {
            Err(unsupported("a strict schema for its answer"))
        }
        // The schema itself is in the prompt.
        Wire::Bedrock => Ok(None),
        Wire::Ollama => Ok(Some(ChatResponseFormat::JsonMode)),
        _ => {
            let spec = JsonSpec::new(schema.name.as_str(), json);
            Ok(Some(ChatResponseFormat::JsonSpec(spec)))
        }
    }
}

fn any_json(wire: Wire) -> Option<ChatResponseFormat> {
    match wire {
        Wire::Openai | Wire::OpenaiResponses | Wire::Ollama => Some(ChatResponseFormat::JsonMode),
        Wire::Gemini => Some(JsonSpec::new("json", json!({"type": "object"})).into()),
        // There is no such mode; the prompt says it.
        Wire::Anthropic | Wire::Bedrock => None,
    }
}

fn parsed(schema: &wire::JsonSchema) -> Result<Value, wire::Error> {
    serde_json::from_str(&schema.schema_json).map_err(|error| {
        failure(
            wire::ErrorKind::InvalidRequest,
            format!("the schema of the answer is not JSON: {error}"),
        )
    })
}

fn tool_choice(wire: Wire, request: &wire::Request) -> Result<Option<ToolChoice>, wire::Error> {
    let choice = &request.tool_choice;
    let offers_none = request.tools.is_empty() || matches!(choice, wire::ToolChoice::Never);
    if wire == Wire::Bedrock && offers_none && has_calls(request) {
        return Err(unsupported(
            "calls of tools in a request that offers none: offer them again",
        ));
    }
    if request.tools.is_empty() {
        return match choice {
            wire::ToolChoice::Auto | wire::ToolChoice::Never => Ok(None),
            _ => Err(invalid("a tool call is required, but no tool is offered")),
        };
    }
    Ok(match choice {
        wire::ToolChoice::Auto => None,
        // genai has no choice for these wires. Tools that must not be called are not offered.
        wire::ToolChoice::Never if is_without_choice(wire) => None,
        wire::ToolChoice::Never => Some(ToolChoice::None),
        _ if is_without_choice(wire) => return Err(unsupported("required tool calls")),
        wire::ToolChoice::Required => Some(ToolChoice::Required),
        wire::ToolChoice::Named(name) => {
            if !request.tools.iter().any(|tool| tool.name == *name) {
                return Err(invalid("the tool that must be called is not offered"));
            }
            Some(ToolChoice::tool(name))
        }
    })
}

pub(super) fn is_without_choice(wire: Wire) -> bool {
    matches!(wire, Wire::Ollama | Wire::Bedrock)
}

/// Bedrock wants to see the tools again that calls and results are of.
fn has_calls(request: &wire::Request) -> bool {
    let mut parts = request.messages.iter().flat_map(|message| &message.content);
    parts.any(|part| {
        matches!(
            part,
            wire::ContentPart::ToolCall(_) | wire::ContentPart::ToolResult(_)
        )
    })
}

fn parallel_tool_calls(
    wire: Wire,
    request: &wire::Request,
    extra: &mut Map<String, Value>,
) -> Result<(), wire::Error> {
    let never = matches!(request.tool_choice, wire::ToolChoice::Never);
    let Some(parallel) = request.parallel_tool_calls else {
        return Ok(());
    };
    if request.tools.is_empty() || never {
        return Ok(());
    }
    match wire {
        Wire::Openai | Wire::OpenaiResponses => {
            extra.insert("parallel_tool_calls".to_owned(), parallel.into());
        }
        // The same key holds the choice, so both are said here.
        Wire::Anthropic => {
            let single = !parallel;
            let choice = match &request.tool_choice {
                wire::ToolChoice::Required => {
                    json!({"type": "any", "disable_parallel_tool_use": single})
                }
                wire::ToolChoice::Named(name) => {
                    json!({"type": "tool", "name": name, "disable_parallel_tool_use": single})
                }
                _ => json!({"type": "auto", "disable_parallel_tool_use": single}),
            };
            extra.insert("tool_choice".to_owned(), choice);
        }
        _ if parallel => {}
        Wire::Gemini | Wire::Bedrock | Wire::Ollama => {
            return Err(unsupported("one tool call at a time"));
        }
    }
    Ok(())
}

pub(super) fn unsupported(what: &str) -> wire::Error {
    failure(
        wire::ErrorKind::Unsupported,
        format!("the provider of this model does not support {what}"),
    )
}

pub(super) fn invalid(what: &str) -> wire::Error {
    failure(wire::ErrorKind::InvalidRequest, what)
}
