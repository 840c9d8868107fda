//! Reading commands and showing what was seen, as text and JSON.

use std::fmt::{Debug, Display};

use anchorhold_agent::serde_json::{Value, json};
use anchorhold_agent::{
    Attachment, Error, ErrorKind, Event, MediaSource, Message, ToolCall, ToolResult,
};

/// The first word and the rest.
pub(crate) fn split(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

/// The texts of a list.
pub(crate) fn texts(list: &str) -> Vec<String> {
    list.split(";;").map(String::from).collect()
}

pub(crate) fn refusal(kind: impl Display, message: &str) -> String {
    format!("error {kind}: {message}")
}

/// The name of a case as the contract writes it: `FinishReason::ToolCalls` is `tool-calls`.
pub(crate) fn name(case: impl Debug) -> String {
    let debug = format!("{case:?}");
    let mut name = String::new();
    for letter in debug.rsplit("::").next().unwrap_or(&debug).chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// The error that `KIND MESSAGE` asks for.
pub(crate) fn error_named(text: &str) -> Error {
    let (kind, message) = split(text);
    let kinds = [
        ErrorKind::InvalidInput,
        ErrorKind::Denied,
        ErrorKind::NotFound,
        ErrorKind::Conflict,
        ErrorKind::LimitExceeded,
        ErrorKind::BudgetExceeded,
        ErrorKind::Unavailable,
        ErrorKind::TimedOut,
        ErrorKind::Cancelled,
    ];
    let found = kinds.into_iter().find(|known| known.to_string() == kind);
    Error::new(found.unwrap_or(ErrorKind::Internal), message)
}

pub(crate) fn message(message: &Message) -> String {
    json!({
        "id": message.id,
        "conversation": message.conversation,
        "channel": message.channel,
        "author": {"id": message.author.id, "name": message.author.name},
        "text": message.text,
        "at_ms": message.at_ms,
        "attachments": message.attachments.iter().map(attachment).collect::<Vec<_>>(),
        "history": message.history.len(),
        "client_tools": message.client_tools.iter().map(|it| &it.name).collect::<Vec<_>>(),
        "client_tool_results": message.client_tool_results.iter().map(result).collect::<Vec<_>>(),
        "context": message.context_json,
    })
    .to_string()
}

/// Its name, its type, and its text or how many bytes it has.
/// A file of an answer: its name, and its text.
pub(crate) fn file(rest: &str) -> Attachment {
    let (name, text) = split(rest);
    Attachment {
        name: name.into(),
        mime_type: "text/plain".into(),
        source: MediaSource::Inline(text.as_bytes().to_vec()),
    }
}

fn attachment(attachment: &Attachment) -> Value {
    let content = match &attachment.source {
        MediaSource::Inline(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => format!("{} bytes", bytes.len()),
        },
        MediaSource::Url(url) | MediaSource::Blob(url) => url.clone(),
    };
    json!([attachment.name, attachment.mime_type, content])
}

fn result(result: &ToolResult) -> Value {
    let ToolCall {
        id,
        name,
        arguments_json,
    } = &result.call;
    json!({
        "call": {"id": id, "name": name, "arguments": arguments_json},
        "text": result.text,
        "is_error": result.is_error,
    })
}

pub(crate) fn history(message: &Message) -> String {
    let texts: Vec<_> = message
        .history
        .iter()
        .map(|past| past.text.as_str())
        .collect();
    texts.join("|")
}

pub(crate) fn event(event: &Event, data: &Value) -> Value {
    json!({
        "id": event.id,
        "topic": event.topic,
        "source": event.source,
        "data": data,
        "ordering_key": event.ordering_key,
        "correlation": event.correlation,
        "attempt": event.attempt,
    })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
