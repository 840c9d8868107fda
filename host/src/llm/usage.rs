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

/// The most tokens that a request is likely to be, to reserve money for: half its bytes, which is
/// more than tokenizers make of prose, code and CJK alike, and what messages have around them.
pub(crate) fn most_of_request(request: &wire::Request) -> u64 {
    let parts = request.messages.iter().flat_map(|message| &message.content);
    let bytes: usize = parts.map(bytes_of_part).sum();
    let tools = request.tools.iter().map(|tool| {
        let description = tool.description.as_deref().map_or(0, str::len);
        tool.name.len() + description + tool.input_schema_json.len() + 2 * AROUND
    });
    let schema = match &request.response_format {
        wire::ResponseFormat::JsonSchema(schema) => schema.schema_json.len(),
        wire::ResponseFormat::Text | wire::ResponseFormat::Json => 0,
    };
    let around = 2 * AROUND * (request.messages.len() + 1);
    most(bytes + tools.sum::<usize>() + schema + around)
}

/// The most tokens that so many bytes are likely to be.
pub(crate) fn most(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(2)).unwrap_or(u64::MAX)
}

/// Tokens that a provider puts around a message or a tool.
const AROUND: usize = 16;

/// The most tokens that providers make of a large image, and for other media of ten of its bytes.
const IMAGE: usize = 4_000;

fn bytes_of_part(part: &wire::ContentPart) -> usize {
    match part {
        wire::ContentPart::Text(text) => text.len(),
        wire::ContentPart::Media(media) => bytes_of_media(media),
        wire::ContentPart::ToolCall(call) => call.name.len() + call.arguments_json.len(),
        wire::ContentPart::ToolResult(answer) => answer.output.iter().map(bytes_of_output).sum(),
        wire::ContentPart::Reasoning(reasoning) => {
            let opaque = reasoning.opaque.as_ref().map_or(0, Vec::len);
            reasoning.text.as_deref().map_or(0, str::len) + opaque
        }
        wire::ContentPart::Extension(extension) => extension.json.len(),
    }
}

fn bytes_of_output(output: &wire::ToolOutput) -> usize {
    match output {
        wire::ToolOutput::Text(text) | wire::ToolOutput::Json(text) => text.len(),
        wire::ToolOutput::Media(media) => bytes_of_media(media),
    }
}

fn bytes_of_media(media: &wire::Media) -> usize {
    let is_image = media.mime_type.starts_with("image/");
    match &media.source {
        wire::MediaSource::Inline(bytes) if !is_image => 2 * (IMAGE + bytes.len() / 10),
        _ => 2 * IMAGE,
    }
}

/// What a provider reported; 0 for what it left out.
pub(crate) fn of_provider(usage: &genai::chat::Usage) -> wire::Usage {
    let prompt = usage.prompt_tokens_details.as_ref();
    let completion = usage.completion_tokens_details.as_ref();
    wire::Usage {
        input_tokens: count(usage.prompt_tokens),
        output_tokens: count(usage.completion_tokens),
        cache_read_tokens: count(prompt.and_then(|details| details.cached_tokens)),
        cache_write_tokens: count(prompt.and_then(|details| details.cache_creation_tokens)),
        reasoning_tokens: count(completion.and_then(|details| details.reasoning_tokens)),
        ..none()
    }
}

fn count(tokens: Option<i32>) -> u64 {
    tokens
        .and_then(|tokens| u64::try_from(tokens).ok())
        .unwrap_or(0)
}

/// Both together; the price is known if both are.
pub(crate) fn sum(one: wire::Usage, other: wire::Usage) -> wire::Usage {
    let cost = one.cost_micro_usd.zip(other.cost_micro_usd);
    wire::Usage {
        input_tokens: one.input_tokens + other.input_tokens,
        output_tokens: one.output_tokens + other.output_tokens,
        cache_read_tokens: one.cache_read_tokens + other.cache_read_tokens,
        cache_write_tokens: one.cache_write_tokens + other.cache_write_tokens,
        reasoning_tokens: one.reasoning_tokens + other.reasoning_tokens,
        estimated: one.estimated || other.estimated,
        cost_micro_usd: cost.map(|(one, other)| one + other),
    }
}

/// No tokens at all, for nothing.
pub(crate) fn free() -> wire::Usage {
    wire::Usage {
        cost_micro_usd: Some(0),
        ..none()
    }
}

/// No tokens at all, at no price.
pub(crate) fn none() -> wire::Usage {
    wire::Usage {
        input_tokens: 0,
        output_tokens: 0,
        cache_read_tokens: 0,
        cache_write_tokens: 0,
        reasoning_tokens: 0,
        estimated: false,
        cost_micro_usd: None,
    }
}
