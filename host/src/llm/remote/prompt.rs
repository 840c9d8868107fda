//! Messages in genai's words. A part that a wire cannot carry is refused: genai would leave it
//! out without a word.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genai::chat::{
    CacheControl, ChatMessage, ChatRole, ContentPart, MessageContent, MessageOptions, ToolCall,
    ToolResponse,
};
use serde_json::{Value, json};

use crate::runtime::bindings::llm as wire;
use crate::runtime::bindings::types::{self, MediaSource};

use super::Wire;
use super::options::{invalid, unsupported};
use super::thoughts::Replayed;

/// Media that genai has a name for on the wire of Bedrock; it would leave out the others.
const OF_BEDROCK: &[&str] = &[
    "image/jpeg",
    "image/jpg",
    "image/png",
    "image/gif",
    "image/webp",
    "application/pdf",
    "text/csv",
    "application/msword",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.ms-excel",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "text/html",
    "text/plain",
    "text/markdown",
];

/// What messages of one call have in common.
struct Writer<'a> {
    provider: &'a str,
    wire: Wire,
}

type Parts = Result<Vec<ContentPart>, wire::Error>;

pub(super) fn messages(
    provider: &str,
    wire: Wire,
    request: &wire::Request,
) -> Result<Vec<ChatMessage>, wire::Error> {
    let writer = Writer { provider, wire };
    let mut messages = Vec::with_capacity(request.messages.len() + 1);
    for message in &request.messages {
        writer.write(message, &mut messages)?;
    }
    if let Some(wish) = json_in_words(wire, request) {
        let behind = messages
            .iter()
            .take_while(|message| message.role == ChatRole::System);
        messages.insert(behind.count(), ChatMessage::system(wish));
    }
    if wire == Wire::Bedrock {
        messages = in_turns(messages);
    }
    Ok(messages)
}

/// On the wire of Bedrock the user, who brings results of tools too, and the assistant take
/// turns, and all results of one message of the assistant come together.
fn in_turns(messages: Vec<ChatMessage>) -> Vec<ChatMessage> {
    let mut turns: Vec<ChatMessage> = Vec::with_capacity(messages.len());
    for mut message in messages {
        if message.role == ChatRole::Tool {
            message.role = ChatRole::User;
        }
        // What the system says goes elsewhere, wherever it stands.
        let mut said = turns.iter_mut();
        match said.rfind(|turn| turn.role != ChatRole::System) {
            Some(last) if last.role == message.role => last.content.extend(message.content),
            _ => turns.push(message),
        }
    }
    turns
}

/// Where the wire has no switch for JSON, or wants to see the word, the prompt asks for it.
fn json_in_words(wire: Wire, request: &wire::Request) -> Option<String> {
    const PLAIN: &str = "Answer with one JSON object and nothing else.";
    match (&request.response_format, wire) {
        (wire::ResponseFormat::Json, Wire::Gemini) => None,
        (wire::ResponseFormat::Json, _) => Some(PLAIN.to_owned()),
        (wire::ResponseFormat::JsonSchema(schema), Wire::Ollama | Wire::Bedrock) => Some(format!(
            "{PLAIN} It has to fit this JSON Schema: {}",
            schema.schema_json
        )),
        _ => None,
    }
}

impl Writer<'_> {
    fn write(
        &self,
        message: &wire::PromptMessage,
        messages: &mut Vec<ChatMessage>,
    ) -> Result<(), wire::Error> {
        let (role, parts) = match message.role {
            wire::Role::System => (ChatRole::System, self.system(&message.content)?),
            wire::Role::User => (ChatRole::User, self.user(&message.content)?),
            wire::Role::Assistant => (ChatRole::Assistant, self.assistant(&message.content)?),
            wire::Role::Tool => (ChatRole::Tool, self.tool(&message.content)?),
        };
        if self.wire == Wire::Ollama && role == ChatRole::Tool {
            // genai keeps only the last result of a message on this wire.
            let single = parts.into_iter();
            messages.extend(single.map(|part| ChatMessage::tool(MessageContent::from(part))));
            return Ok(());
        }
        let mut written = ChatMessage::new(role, MessageContent::from_parts(parts));
        written.options = message.cache.map(|hint| MessageOptions {
            cache_control: Some(match hint {
                wire::CacheHint::Short => CacheControl::Ephemeral,
                wire::CacheHint::Long => CacheControl::Ephemeral1h,
            }),
        });
        messages.push(written);
        Ok(())
    }

    fn system(&self, content: &[wire::ContentPart]) -> Parts {
        let parts = content.iter();
        parts
            .map(|part| match part {
                wire::ContentPart::Text(text) => Ok(text.as_str().into()),
                _ => Err(invalid("a system message has text only")),
            })
            .collect()
    }

    fn user(&self, content: &[wire::ContentPart]) -> Parts {
        let parts = content.iter();
        parts
            .map(|part| match part {
                wire::ContentPart::Text(text) => Ok(text.as_str().into()),
                wire::ContentPart::Media(media) => self.media(media),
                wire::ContentPart::Extension(extension) => self.extension(extension),
                _ => Err(invalid(
                    "a user's message has text, media and extensions only",
                )),
            })
            .collect()
    }

    fn assistant(&self, content: &[wire::ContentPart]) -> Parts {
        let mut replayed = Replayed::default();
        for part in content {
            if let wire::ContentPart::Reasoning(thought) = part {
                replayed.add(self.provider, thought)?;
            }
        }
        let mut parts = std::mem::take(&mut replayed.parts);
        for part in content {
            parts.push(match part {
                wire::ContentPart::Text(text) => text.as_str().into(),
                wire::ContentPart::ToolCall(call) => {
                    let mut call = tool_call(call);
                    replayed.sign(&mut call);
                    call.into()
                }
                wire::ContentPart::Extension(extension) => self.extension(extension)?,
                wire::ContentPart::Reasoning(_) => continue,
                wire::ContentPart::Media(_) => {
                    return Err(unsupported("media in an assistant's message"));
                }
                wire::ContentPart::ToolResult(_) => {
                    return Err(invalid(
                        "a tool result belongs in a message of the role `tool`",
                    ));
                }
            });
        }
        Ok(parts)
    }

    fn tool(&self, content: &[wire::ContentPart]) -> Parts {
        let parts = content.iter();
        parts
            .map(|part| match part {
                wire::ContentPart::ToolResult(answer) => self.tool_result(answer),
                _ => Err(invalid(
                    "a message of the role `tool` has tool results only",
                )),
            })
            .collect()
    }

    fn tool_result(&self, answer: &wire::ToolAnswer) -> Result<ContentPart, wire::Error> {
        if self.wire == Wire::Anthropic {
            return self.tool_result_of_anthropic(answer);
        }
        let mut texts = Vec::new();
        for output in &answer.output {
            match output {
                wire::ToolOutput::Text(text) | wire::ToolOutput::Json(text) => {
                    texts.push(text.as_str());
                }
                wire::ToolOutput::Media(_) => return Err(unsupported("media in tool results")),
            }
        }
        let text = texts.join("\n");
        // These wires have no flag for it.
        let text = if answer.is_error {
            format!("Error: {text}")
        } else {
            text
        };
        Ok(ToolResponse::new(&answer.call_id, text).into())
    }

    /// genai's own form has neither the flag nor media.
    fn tool_result_of_anthropic(
        &self,
        answer: &wire::ToolAnswer,
    ) -> Result<ContentPart, wire::Error> {
        let mut blocks = Vec::new();
        for output in &answer.output {
            blocks.push(match output {
                wire::ToolOutput::Text(text) | wire::ToolOutput::Json(text) => {
                    json!({"type": "text", "text": text})
                }
                wire::ToolOutput::Media(media) => block_of_anthropic(media)?,
            });
        }
        let result = json!({
            "type": "tool_result",
            "tool_use_id": answer.call_id,
            "is_error": answer.is_error,
            "content": blocks,
        });
        Ok(ContentPart::from_custom(result, None))
    }

    fn media(&self, media: &wire::Media) -> Result<ContentPart, wire::Error> {
        let mime = media.mime_type.trim().to_ascii_lowercase();
        let image = mime.starts_with("image/");
        let inline = matches!(media.source, MediaSource::Inline(_));
        let carried = match self.wire {
            Wire::Anthropic => {
                return Ok(ContentPart::from_custom(block_of_anthropic(media)?, None));
            }
            Wire::Openai => image || mime.starts_with("video/") || inline,
            Wire::OpenaiResponses => !mime.starts_with("audio/") && !mime.starts_with("video/"),
            Wire::Gemini => true,
            Wire::Bedrock => inline && OF_BEDROCK.contains(&mime.as_str()),
            Wire::Ollama => image && inline,
        };
        if !carried {
            return Err(unsupported(&format!(
                "{mime} this way; inline images always work"
            )));
        }
        match &media.source {
            MediaSource::Inline(bytes) => {
                let data = STANDARD.encode(bytes);
                Ok(ContentPart::from_binary_base64(
                    mime,
                    data,
                    media.name.clone(),
                ))
            }
            MediaSource::Url(url) => {
                Ok(ContentPart::from_binary_url(mime, url, media.name.clone()))
            }
            MediaSource::Blob(_) => Err(unsupported("blobs")),
        }
    }

    /// `anthropic`: a content block in Anthropic's own words.
    fn extension(&self, extension: &wire::Extension) -> Result<ContentPart, wire::Error> {
        if self.wire != Wire::Anthropic || extension.kind != "anthropic" {
            return Err(unsupported(&format!(
                "extensions of the kind {:?}",
                extension.kind
            )));
        }
        let block: Value = serde_json::from_str(&extension.json)
            .map_err(|_| invalid("the extension is not JSON"))?;
        Ok(ContentPart::from_custom(block, None))
    }
}

/// genai does not send images by address to Anthropic, so blocks are written here.
fn block_of_anthropic(media: &wire::Media) -> Result<Value, wire::Error> {
    let mime = media.mime_type.trim().to_ascii_lowercase();
    let kind = match mime.as_str() {
        mime if mime.starts_with("image/") => "image",
        "application/pdf" => "document",
        mime => return Err(unsupported(&format!("media of the type {mime}"))),
    };
    let source = match &media.source {
        MediaSource::Inline(bytes) => {
            json!({"type": "base64", "media_type": mime, "data": STANDARD.encode(bytes)})
        }
        MediaSource::Url(url) => json!({"type": "url", "url": url}),
        MediaSource::Blob(_) => return Err(unsupported("blobs")),
    };
    Ok(json!({"type": kind, "source": source}))
}

/// Arguments that are no JSON were a model's mistake; it may see them again.
fn tool_call(call: &types::ToolCall) -> ToolCall {
    ToolCall {
        call_id: call.id.clone(),
        fn_name: call.name.clone(),
        fn_arguments: serde_json::from_str(&call.arguments_json)
            .unwrap_or_else(|_| json!({"malformed": call.arguments_json})),
        thought_signatures: None,
    }
}
