//! What is sent to a model, part by part.
//!
//! Text is looked at as it is, JSON value by value, since within JSON a letter can be written in
//! other ways. What an agent writes into tools and schemas, media, and thoughts, which go back as
//! they came, are not looked at. Patterns look at one text after the other, components at all of
//! them at once.

use std::sync::Arc;

use serde_json::Value;

use super::check::Piece;
use super::rule::Refusal;
use super::{Guard, Screen};
use crate::runtime::bindings::guardrail::Stage;
use crate::runtime::bindings::llm as wire;
use wire::Role;

/// What makes of a text what may be sent.
type Look<'a> = &'a mut dyn FnMut(Role, &str) -> Result<String, Refusal>;

impl Guard {
    /// Whether a request is looked at.
    pub(crate) fn looks_at_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// The request as patterns let it be sent.
    pub(crate) fn request(&self, mut request: wire::Request) -> Result<wire::Request, Refusal> {
        let mut screen = self.input_screen();
        each_text(&mut request, &mut |_, text| screen.whole(text))?;
        Ok(request)
    }

    /// Texts as patterns let them be sent.
    pub(crate) fn texts(&self, mut texts: Vec<String>) -> Result<Vec<String>, Refusal> {
        let mut screen = self.input_screen();
        for text in &mut texts {
            *text = screen.whole(text)?;
        }
        Ok(texts)
    }

    /// The request as components let it be sent.
    pub(crate) async fn checked(
        &self,
        mut request: wire::Request,
    ) -> Result<wire::Request, Refusal> {
        let Some(checks) = self.checks(Stage::Input, &request.model) else {
            return Ok(request);
        };
        let mut pieces = Vec::new();
        each_text(&mut request, &mut |role, text| {
            let text = text.to_owned();
            pieces.push(Piece {
                role,
                text: text.clone(),
            });
            Ok(text)
        })?;
        if pieces.is_empty() {
            return Ok(request);
        }
        // In the same order once more, with as many.
        let mut passed = checks.pass(pieces).await?.into_iter();
        each_text(&mut request, &mut |_, _| {
            Ok(passed.next().unwrap_or_default())
        })?;
        Ok(request)
    }

    /// Texts as components let them be sent to this model.
    pub(crate) async fn checked_texts(
        &self,
        model: &str,
        texts: Vec<String>,
    ) -> Result<Vec<String>, Refusal> {
        let Some(checks) = self.checks(Stage::Input, model) else {
            return Ok(texts);
        };
        let role = Role::User;
        let pieces = texts.into_iter().map(|text| Piece { role, text });
        checks.pass(pieces.collect()).await
    }

    fn input_screen(&self) -> Screen {
        Screen::new(Arc::clone(&self.input.patterns), Stage::Input)
    }
}

fn each_text(request: &mut wire::Request, look: Look<'_>) -> Result<(), Refusal> {
    for message in &mut request.messages {
        for part in &mut message.content {
            pass_part(&mut |text| look(message.role, text), part)?;
        }
    }
    Ok(())
}

/// The same when it is known who speaks.
type Passed<'a> = &'a mut dyn FnMut(&str) -> Result<String, Refusal>;

fn pass(look: Passed<'_>, text: &mut String) -> Result<(), Refusal> {
    *text = look(text)?;
    Ok(())
}

fn pass_part(look: Passed<'_>, part: &mut wire::ContentPart) -> Result<(), Refusal> {
    match part {
        wire::ContentPart::Text(text) => pass(look, text),
        wire::ContentPart::ToolCall(call) => pass_json(look, &mut call.arguments_json),
        wire::ContentPart::ToolResult(answer) => {
            answer
                .output
                .iter_mut()
                .try_for_each(|output| match output {
                    wire::ToolOutput::Text(text) => pass(look, text),
                    wire::ToolOutput::Json(json) => pass_json(look, json),
                    wire::ToolOutput::Media(_) => Ok(()),
                })
        }
        wire::ContentPart::Extension(extension) => pass_json(look, &mut extension.json),
        wire::ContentPart::Media(_) | wire::ContentPart::Reasoning(_) => Ok(()),
    }
}

/// JSON stays as it is written where nothing is found in it; what is none is a text.
fn pass_json(look: Passed<'_>, json: &mut String) -> Result<(), Refusal> {
    let Ok(before) = serde_json::from_str::<Value>(json) else {
        return pass(look, json);
    };
    let after = passed(look, before.clone())?;
    if after != before {
        *json = after.to_string();
    }
    Ok(())
}

fn passed(look: Passed<'_>, value: Value) -> Result<Value, Refusal> {
    Ok(match value {
        Value::String(text) => Value::String(look(&text)?),
        Value::Number(number) => {
            let written = number.to_string();
            let shown = look(&written)?;
            if shown == written {
                Value::Number(number)
            } else {
                Value::String(shown)
            }
        }
        Value::Array(items) => {
            let items = items.into_iter().map(|item| passed(look, item));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Value::Object(members) => {
            let members = members
                .into_iter()
                .map(|(key, member)| Ok((look(&key)?, passed(look, member)?)));
            Value::Object(members.collect::<Result<_, Refusal>>()?)
        }
        Value::Bool(_) | Value::Null => value,
    })
}
