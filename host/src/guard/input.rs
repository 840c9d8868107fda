//! What is sent to a model, part by part.
//!
//! Text is looked at as it is, JSON value by value, since within JSON a letter can be written in
//! other ways. What an agent writes into tools and schemas, media, and thoughts, which go back as
//! they came, are not looked at.

use std::sync::Arc;

use serde_json::Value;

use super::rule::Refusal;
use super::{Guard, Screen};
use crate::runtime::bindings::llm as wire;

impl Guard {
    /// Whether a request is looked at.
    pub(crate) fn looks_at_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// The request as it may be sent.
    pub(crate) fn request(&self, mut request: wire::Request) -> Result<wire::Request, Refusal> {
        let mut screen = self.input_screen();
        let parts = request.messages.iter_mut();
        for part in parts.flat_map(|message| &mut message.content) {
            pass_part(&mut screen, part)?;
        }
        Ok(request)
    }

    /// Texts as they may be sent.
    pub(crate) fn texts(&self, mut texts: Vec<String>) -> Result<Vec<String>, Refusal> {
        let mut screen = self.input_screen();
        for text in &mut texts {
            pass(&mut screen, text)?;
        }
        Ok(texts)
    }

    fn input_screen(&self) -> Screen {
        Screen::new(Arc::clone(&self.input), "request")
    }
}

fn pass(screen: &mut Screen, text: &mut String) -> Result<(), Refusal> {
    *text = screen.whole(text)?;
    Ok(())
}

fn pass_part(screen: &mut Screen, part: &mut wire::ContentPart) -> Result<(), Refusal> {
    match part {
        wire::ContentPart::Text(text) => pass(screen, text),
        wire::ContentPart::ToolCall(call) => pass_json(screen, &mut call.arguments_json),
        wire::ContentPart::ToolResult(answer) => {
            answer
                .output
                .iter_mut()
                .try_for_each(|output| match output {
                    wire::ToolOutput::Text(text) => pass(screen, text),
                    wire::ToolOutput::Json(json) => pass_json(screen, json),
                    wire::ToolOutput::Media(_) => Ok(()),
                })
        }
        wire::ContentPart::Extension(extension) => pass_json(screen, &mut extension.json),
        wire::ContentPart::Media(_) | wire::ContentPart::Reasoning(_) => Ok(()),
    }
}

/// JSON stays as it is written where nothing is found in it; what is none is a text.
fn pass_json(screen: &mut Screen, json: &mut String) -> Result<(), Refusal> {
    let Ok(before) = serde_json::from_str::<Value>(json) else {
        return pass(screen, json);
    };
    let after = passed(screen, before.clone())?;
    if after != before {
        *json = after.to_string();
    }
    Ok(())
}

fn passed(screen: &mut Screen, value: Value) -> Result<Value, Refusal> {
    Ok(match value {
        Value::String(text) => Value::String(screen.whole(&text)?),
        Value::Number(number) => {
            let written = number.to_string();
            let shown = screen.whole(&written)?;
            if shown == written {
                Value::Number(number)
            } else {
                Value::String(shown)
            }
        }
        Value::Array(items) => {
            let items = items.into_iter().map(|item| passed(screen, item));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Value::Object(members) => {
            let members = members
                .into_iter()
                .map(|(key, member)| Ok((screen.whole(&key)?, passed(screen, member)?)));
            Value::Object(members.collect::<Result<_, Refusal>>()?)
        }
        Value::Bool(_) | Value::Null => value,
    })
}
