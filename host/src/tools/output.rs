//! What tools answer, in the contract's words and cut to size.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};

use crate::runtime::bindings::llm::{Media, ToolOutput};
use crate::runtime::bindings::tools::Outcome;
use crate::runtime::bindings::types::MediaSource;

/// An answer of text.
pub fn text(text: impl Into<String>) -> Outcome {
    Outcome {
        output: vec![ToolOutput::Text(text.into())],
        is_error: false,
        truncated: false,
    }
}

/// Why a tool did not do what was asked, for a model to read.
pub fn failed(why: impl Into<String>) -> Outcome {
    Outcome {
        is_error: true,
        ..text(why)
    }
}

/// Cuts a text to at most `most` bytes and says so at its end; whether it did.
pub fn cut(text: &mut String, most: usize) -> bool {
    if text.len() <= most {
        return false;
    }
    let whole = text.len();
    text.truncate(text.floor_char_boundary(most));
    text.push_str(&format!("\n[cut here: {most} of {whole} bytes are shown]"));
    true
}

/// The answer of a server, at most `most` bytes of it.
pub(super) fn of_server(result: CallToolResult, most: usize) -> Outcome {
    let mut parts: Vec<ToolOutput> = result.content.into_iter().map(part).collect();
    if let Some(json) = result.structured_content {
        // Most servers say the same as text; then models need it once.
        let json = json.to_string();
        if !parts.iter().any(|part| says(part, &json)) {
            parts.push(ToolOutput::Json(json));
        }
    }
    let (output, truncated) = bounded(parts, most);
    Outcome {
        output,
        is_error: result.is_error.unwrap_or(false),
        truncated,
    }
}

fn says(part: &ToolOutput, json: &str) -> bool {
    let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    match part {
        ToolOutput::Text(text) => {
            text.len() < json.len().saturating_mul(4) && parsed(text) == parsed(json)
        }
        _ => false,
    }
}

fn part(block: ContentBlock) -> ToolOutput {
    match block {
        ContentBlock::Text(text) => ToolOutput::Text(text.text),
        ContentBlock::Image(image) => media(&image.data, image.mime_type, None),
        ContentBlock::Audio(audio) => media(&audio.data, audio.mime_type, None),
        ContentBlock::Resource(resource) => embedded(resource.resource),
        ContentBlock::ResourceLink(link) => {
            ToolOutput::Text(format!("[resource {} at {}]", link.name, link.uri))
        }
        _ => unknown(),
    }
}

fn unknown() -> ToolOutput {
    ToolOutput::Text("[content of a kind that is not known here]".to_owned())
}

fn embedded(contents: ResourceContents) -> ToolOutput {
    match contents {
        ResourceContents::TextResourceContents { text, .. } => ToolOutput::Text(text),
        ResourceContents::BlobResourceContents {
            uri,
            mime_type,
            blob,
            ..
        } => {
            let mime_type = mime_type.unwrap_or_else(|| "application/octet-stream".to_owned());
            media(&blob, mime_type, Some(uri))
        }
        _ => unknown(),
    }
}

fn media(base64: &str, mime_type: String, name: Option<String>) -> ToolOutput {
    match STANDARD.decode(base64) {
        Ok(bytes) => ToolOutput::Media(Media {
            mime_type,
            source: MediaSource::Inline(bytes),
            name,
        }),
        Err(_) => ToolOutput::Text(format!("[{mime_type} that is not valid base64]")),
    }
}

/// As many of the parts as fit, the last text of them cut.
fn bounded(parts: Vec<ToolOutput>, most: usize) -> (Vec<ToolOutput>, bool) {
    let (mut room, mut truncated) = (most, false);
    let mut output = Vec::new();
    for part in parts {
        if room == 0 {
            truncated = true;
            break;
        }
        let size = bytes(&part);
        match part {
            ToolOutput::Text(mut text) | ToolOutput::Json(mut text) if size > room => {
                // What is left of JSON is text.
                truncated |= cut(&mut text, room);
                output.push(ToolOutput::Text(text));
            }
            ToolOutput::Media(media) if size > room => {
                truncated = true;
                let kind = media.mime_type;
                output.push(ToolOutput::Text(format!(
                    "[{kind} of {size} bytes left out: at most {most} are shown]"
                )));
            }
            part => output.push(part),
        }
        room = room.saturating_sub(size.max(1));
    }
    (output, truncated)
}

fn bytes(part: &ToolOutput) -> usize {
    match part {
        ToolOutput::Text(text) | ToolOutput::Json(text) => text.len(),
        ToolOutput::Media(media) => match &media.source {
            MediaSource::Inline(bytes) => bytes.len(),
            MediaSource::Url(text) | MediaSource::Blob(text) => text.len(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn result(value: serde_json::Value) -> CallToolResult {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn every_kind_of_content_is_taken() {
        let outcome = of_server(
            result(json!({"content": [
                {"type": "text", "text": "hello"},
                {"type": "image", "data": "AAEC", "mimeType": "image/png"},
                {"type": "audio", "data": "!!", "mimeType": "audio/wav"},
                {"type": "resource_link", "uri": "file:///a", "name": "a"},
                {"type": "resource", "resource": {"uri": "x:y", "text": "inside"}}
            ], "structuredContent": {"a": 1}, "isError": true})),
            1_000,
        );
        assert!(outcome.is_error && !outcome.truncated);
        assert_eq!(outcome.output.len(), 6);
        assert_eq!(bytes(&outcome.output[1]), 3);
        let text = |place: usize| match &outcome.output[place] {
            ToolOutput::Text(text) | ToolOutput::Json(text) => text.as_str(),
            ToolOutput::Media(_) => "",
        };
        assert!(text(2).contains("not valid base64"));
        assert!(text(3).contains("file:///a"));
        assert_eq!((text(4), text(5)), ("inside", r#"{"a":1}"#));
    }

    #[test]
    fn json_that_was_said_as_text_is_not_said_twice() {
        let outcome = of_server(
            result(json!({"content": [{"type": "text", "text": "{\"a\": 1}"}],
                "structuredContent": {"a": 1}})),
            1_000,
        );
        assert_eq!(outcome.output, [ToolOutput::Text("{\"a\": 1}".into())]);
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_says_so() {
        let long = "ä".repeat(100);
        let outcome = of_server(
            result(json!({"content": [
                {"type": "text", "text": long}, {"type": "text", "text": "more"}
            ]})),
            51,
        );
        assert!(outcome.truncated);
        let ToolOutput::Text(text) = &outcome.output[0] else {
            panic!("{outcome:?}");
        };
        assert!(text.starts_with(&"ä".repeat(25)), "{text}");
        assert!(
            text.ends_with("[cut here: 51 of 200 bytes are shown]"),
            "{text}"
        );
        assert_eq!(outcome.output.len(), 1);
    }
}
