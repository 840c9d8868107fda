//! Answers that must fit a schema: one that does not is asked for once more where nothing of it
//! was shown yet, of the same model, with what is wrong.

use serde_json::json;

use super::route::{Asked, Candidate};
use super::schema::{Schema, text_of};
use super::{Sink, failure, guarded};
use crate::runtime::bindings::llm as wire;
use wire::{ErrorKind, FinishReason};

impl Candidate {
    /// The answer if it fits, else another that does.
    pub(super) async fn fitting(
        &self,
        asked: &Asked<'_>,
        response: wire::Response,
        sink: &mut Sink,
    ) -> Result<wire::Response, wire::Error> {
        let Some(schema) = asked.schema else {
            return Ok(response);
        };
        let errors = schema.errors(&response).await;
        if errors.is_empty() {
            return Ok(response);
        }
        // What was cut off at its bound would be so again.
        if !asked.may_repair || response.finish_reason == FinishReason::Length {
            return Err(mismatch(&errors, response.attempts));
        }
        self.repaired(asked, schema, &response, &errors, sink).await
    }

    async fn repaired(
        &self,
        asked: &Asked<'_>,
        schema: &Schema,
        response: &wire::Response,
        errors: &[String],
        sink: &mut Sink,
    ) -> Result<wire::Response, wire::Error> {
        sink.again();
        let attempts = response.attempts + 1;
        let request = request(asked.request, &text_of(&response.content), errors);
        let request = guarded(asked.guard, request).await;
        let request = request.map_err(|error| wire::Error { attempts, ..error })?;
        let asked = Asked {
            request: &request,
            ..*asked
        };
        let second = self.ask(&asked, sink).await;
        let second = second.map_err(|error| wire::Error { attempts, ..error })?;
        let errors = schema.errors(&second).await;
        if !errors.is_empty() {
            return Err(mismatch(&errors, attempts));
        }
        Ok(wire::Response { attempts, ..second })
    }
}

/// The request once more, with the answer to it and what is wrong with that.
fn request(first: &wire::Request, answer: &str, errors: &[String]) -> wire::Request {
    let mut request = first.clone();
    let mut say = |role, text: String| {
        request.messages.push(wire::PromptMessage {
            role,
            content: vec![wire::ContentPart::Text(text)],
            cache: None,
        });
    };
    if !answer.is_empty() {
        say(wire::Role::Assistant, answer.to_owned());
    }
    let errors = errors.join("\n- ");
    say(
        wire::Role::User,
        format!(
            "Your answer does not fit the JSON Schema:\n- {errors}\nAnswer again, with the corrected JSON and nothing else."
        ),
    );
    request
}

fn mismatch(errors: &[String], attempts: u32) -> wire::Error {
    wire::Error {
        attempts,
        detail_json: Some(json!({ "errors": errors }).to_string()),
        ..failure(
            ErrorKind::SchemaMismatch,
            "the answer does not fit the schema that was asked for; detail-json says why",
        )
    }
}
