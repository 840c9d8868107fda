//! A provider's stream, piece by piece into the sink, and the response at its end.

use futures_util::StreamExt;
use genai::chat::{
    ChatStream, ChatStreamEvent, ContentPart, StopReason, StreamEnd, ToolCall, Usage,
};
use serde_json::Value;

use crate::llm::draft::Draft;
use crate::llm::{CallPiece, Sink, failure};
use crate::runtime::bindings::llm as wire;

use super::heard::Heard;
use super::refusal::{self, Context};
use super::{Wire, thoughts, usage};

pub(super) async fn read(
    mut stream: ChatStream,
    wire: Wire,
    heard: &Heard,
    context: &Context<'_>,
    sink: &mut Sink,
) -> Result<wire::Response, wire::Error> {
    while let Some(item) = stream.next().await {
        if let Some(model) = heard.model() {
            sink.draft().answered_by(&model);
        }
        match item {
            Ok(ChatStreamEvent::End(end)) if is_real(wire, &end) => {
                return finish(end, wire, heard, context, sink).await;
            }
            Ok(ChatStreamEvent::End(_)) => break,
            Ok(event) => take(event, wire, sink).await?,
            Err(error) => {
                let error = match heard.failure() {
                    Some(body) => context.event(&body),
                    None => refusal::of(error, context),
                };
                return Err(if sink.is_accepted() {
                    interrupted(error)
                } else {
                    error
                });
            }
        }
    }
    Err(if sink.is_accepted() {
        interrupted(context.broken("it closed the stream before the end of its answer"))
    } else {
        context.broken("it closed the stream without an answer; is its base_url right?")
    })
}

/// genai makes up an end where these wires are cut; a real one gives a reason or counts tokens.
fn is_real(wire: Wire, end: &StreamEnd) -> bool {
    match wire {
        Wire::Openai | Wire::Anthropic => true,
        Wire::OpenaiResponses | Wire::Gemini | Wire::Bedrock => end.captured_stop_reason.is_some(),
        Wire::Ollama => end.captured_stop_reason.is_some() || end.captured_usage.is_some(),
    }
}

/// After the first piece another attempt could not go on where this one stopped.
fn interrupted(error: wire::Error) -> wire::Error {
    if matches!(
        error.kind,
        wire::ErrorKind::TimedOut | wire::ErrorKind::Cancelled
    ) {
        return error;
    }
    wire::Error {
        kind: wire::ErrorKind::StreamInterrupted,
        retry: wire::RetryClass::SameRequest,
        ..error
    }
}

async fn take(event: ChatStreamEvent, wire: Wire, sink: &mut Sink) -> Result<(), wire::Error> {
    match event {
        // It stands for the request, not for an answer to it.
        ChatStreamEvent::Start | ChatStreamEvent::End(_) => Ok(()),
        ChatStreamEvent::Heartbeat => {
            sink.accept();
            Ok(())
        }
        ChatStreamEvent::Chunk(chunk) => sink.text(&chunk.content).await,
        ChatStreamEvent::ReasoningChunk(chunk) => sink.reasoning(&chunk.content).await,
        ChatStreamEvent::ThoughtSignatureChunk(_) => {
            sink.draft().end_thought();
            Ok(())
        }
        ChatStreamEvent::ToolCallChunk(chunk) => {
            sink.call(CallPiece {
                id: &chunk.tool_call.call_id,
                name: &chunk.tool_call.fn_name,
                arguments: &arguments(&chunk.tool_call),
                whole: matches!(wire, Wire::Gemini | Wire::Ollama),
            })
            .await
        }
    }
}

async fn finish(
    end: StreamEnd,
    wire: Wire,
    heard: &Heard,
    context: &Context<'_>,
    sink: &mut Sink,
) -> Result<wire::Response, wire::Error> {
    let parts: &[ContentPart] = end
        .captured_content
        .as_ref()
        .map_or(&[], |content| content.parts());
    let calls: Vec<&ToolCall> = parts.iter().filter_map(ContentPart::as_tool_call).collect();
    let reported = reported(wire, end.captured_usage.as_ref());
    if wire == Wire::OpenaiResponses {
        announce(&calls, sink).await?;
        let refusal = heard.refusal();
        if !refusal.is_empty() {
            sink.text(&refusal).await?;
        }
    }
    let usage = sink.close(reported).await?;
    let mut draft = sink.draft();
    settle(wire, &calls, &mut draft);
    let plain = end.captured_reasoning_content.as_deref();
    let mut thoughts = thoughts::of_answer(context.provider, parts, plain);
    if wire == Wire::Gemini {
        let signed = draft.call_ids();
        thoughts = with_signed_calls(context, thoughts, &calls, &signed);
    }
    draft.settle_thoughts(thoughts);
    Ok(wire::Response {
        content: draft.content(),
        finish_reason: heard
            .finish_reason()
            .unwrap_or_else(|| finish_reason(end.captured_stop_reason.as_ref(), !calls.is_empty())),
        usage,
        model: draft.model().to_owned(),
        provider: context.provider.to_owned(),
        attempts: 1,
        cached: false,
    })
}

/// Bedrock counts what its cache took and gave beside the input; elsewhere it is part of that.
fn reported(wire: Wire, usage: Option<&Usage>) -> wire::Usage {
    let mut usage = usage.map_or_else(usage::none, usage::of_provider);
    if wire == Wire::Bedrock {
        usage.input_tokens += usage.cache_read_tokens + usage.cache_write_tokens;
    }
    usage
}

/// A call without pieces of arguments is in genai's end only, maybe before others.
async fn announce(calls: &[&ToolCall], sink: &mut Sink) -> Result<(), wire::Error> {
    for call in calls {
        if sink.draft().place_of(&call.call_id).is_some() {
            continue;
        }
        sink.call(CallPiece {
            id: &call.call_id,
            name: &call.fn_name,
            arguments: &closed_arguments(call),
            whole: true,
        })
        .await?;
    }
    Ok(())
}

/// The calls as they are in the end.
fn settle(wire: Wire, calls: &[&ToolCall], draft: &mut Draft) {
    for (at, call) in calls.iter().enumerate() {
        let at = match wire {
            Wire::OpenaiResponses => draft.place_of(&call.call_id).unwrap_or(at),
            // In genai's end, arguments that are no JSON, or not whole, are none.
            Wire::Bedrock => continue,
            _ => at,
        };
        draft.settle_call(at, &call.fn_name, &closed_arguments(call));
    }
}

/// Gemini signs single calls; a signature that a call has is not repeated on its own.
fn with_signed_calls(
    context: &Context<'_>,
    thoughts: Vec<wire::Reasoning>,
    calls: &[&ToolCall],
    ids: &[String],
) -> Vec<wire::Reasoning> {
    let mut signed: Vec<wire::Reasoning> = Vec::new();
    let mut known: Vec<wire::Reasoning> = Vec::new();
    for (call, id) in calls.iter().zip(ids) {
        let signatures = call.thought_signatures.as_deref().unwrap_or_default();
        if signatures.is_empty() {
            continue;
        }
        signed.push(thoughts::of_call(context.provider, id, signatures));
        let alone = signatures
            .iter()
            .cloned()
            .map(ContentPart::ThoughtSignature);
        let alone: Vec<ContentPart> = alone.collect();
        known.extend(thoughts::of_answer(context.provider, &alone, None));
    }
    let own = thoughts
        .into_iter()
        .filter(|thought| !known.contains(thought));
    own.chain(signed).collect()
}

/// Providers do not agree on saying that tools are called, so the calls themselves say it.
fn finish_reason(reason: Option<&StopReason>, calls: bool) -> wire::FinishReason {
    match reason {
        Some(StopReason::MaxTokens(_)) => wire::FinishReason::Length,
        Some(StopReason::ContentFilter(raw)) if raw == "refusal" => wire::FinishReason::Refusal,
        Some(StopReason::ContentFilter(_)) => wire::FinishReason::ContentFilter,
        // In Bedrock's words, which genai does not know.
        Some(StopReason::Other(raw))
            if raw == "guardrail_intervened" || raw == "content_filtered" =>
        {
            wire::FinishReason::ContentFilter
        }
        _ if calls => wire::FinishReason::ToolCalls,
        Some(StopReason::Completed(_) | StopReason::StopSequence(_)) => wire::FinishReason::Stop,
        Some(StopReason::ToolCall(_) | StopReason::Other(_)) | None => wire::FinishReason::Other,
    }
}

/// Arguments so far; while they are made they come as text that is not JSON yet.
fn arguments(call: &ToolCall) -> String {
    match &call.fn_arguments {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        value => value.to_string(),
    }
}

fn closed_arguments(call: &ToolCall) -> String {
    Some(arguments(call))
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "{}".to_owned())
}

impl Context<'_> {
    /// The provider does not keep to its own protocol.
    pub(super) fn broken(&self, what: &str) -> wire::Error {
        failure(
            wire::ErrorKind::Upstream,
            format!("the provider {} broke off: {what}", self.provider),
        )
    }
}
