//! Tokens: what providers report, and a rough count where they report nothing.
//!
//! The count is one token for every four characters, rounded up. It is meant for budgets and is
//! marked `estimated`; it is within about a third for English prose and too low for CJK.

use crate::runtime::bindings::llm as wire;

/// Tokens that a text of this many characters has, roughly.
pub(crate) fn estimate(characters: usize) -> u64 {
    u64::try_from(characters.div_ceil(4)).unwrap_or(u64::MAX)
}

/// Tokens of everything that a request says, roughly.
pub(crate) fn of_request(request: &wire::Request) -> u64 {
    let messages = request.messages.iter().flat_map(|message| &message.content);
    let tools = request.tools.iter().map(|tool| {
        let description = tool.description.as_deref().unwrap_or_default();
        tool.name.len() + characters(description) + tool.input_schema_json.len()
    });
    estimate(messages.map(of_part).chain(tools).sum())
}

/// An image is counted like a thousand tokens, which is what providers charge for a middling one.
const MEDIA: usize = 4000;

fn of_part(part: &wire::ContentPart) -> usize {
    match part {
        wire::ContentPart::Text(text) => characters(text),
        wire::ContentPart::Media(_) => MEDIA,
        wire::ContentPart::ToolCall(call) => call.name.len() + call.arguments_json.len(),
        wire::ContentPart::ToolResult(answer) => answer.output.iter().map(of_output).sum(),
        wire::ContentPart::Reasoning(reasoning) => reasoning.text.as_deref().map_or(0, characters),
        wire::ContentPart::Extension(extension) => extension.json.len(),
    }
}

fn of_output(output: &wire::ToolOutput) -> usize {
    match output {
        wire::ToolOutput::Text(text) | wire::ToolOutput::Json(text) => characters(text),
        wire::ToolOutput::Media(_) => MEDIA,
    }
}

fn characters(text: &str) -> usize {
    text.chars().count()
}

/// What a provider reported; 0 for what it left out.
pub(crate) fn of_provider(usage: &genai::chat::Usage, free: bool) -> wire::Usage {
    let prompt = usage.prompt_tokens_details.as_ref();
    let completion = usage.completion_tokens_details.as_ref();
    wire::Usage {
        input_tokens: count(usage.prompt_tokens),
        output_tokens: count(usage.completion_tokens),
        cache_read_tokens: count(prompt.and_then(|details| details.cached_tokens)),
        cache_write_tokens: count(prompt.and_then(|details| details.cache_creation_tokens)),
        reasoning_tokens: count(completion.and_then(|details| details.reasoning_tokens)),
        ..none(free)
    }
}

fn count(tokens: Option<i32>) -> u64 {
    tokens
        .and_then(|tokens| u64::try_from(tokens).ok())
        .unwrap_or(0)
}

/// No tokens at all.
pub(crate) fn none(free: bool) -> wire::Usage {
    wire::Usage {
        input_tokens: 0,
        output_tokens: 0,
        cache_read_tokens: 0,
        cache_write_tokens: 0,
        reasoning_tokens: 0,
        estimated: false,
        cost_micro_usd: free.then_some(0),
    }
}
