//! Whether an answer fits the JSON Schema that its request asks for.
//!
//! Schemas come from guests and answers from models, so what checking takes is bounded: a schema
//! is small, has a bounded size when all its references are unfolded (which leaves out one that
//! refers to itself), its patterns are matched in linear time, and nothing is fetched for it.

use std::sync::Arc;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::failure;
use super::failure::lost;
use crate::runtime::bindings::llm as wire;
use wire::{ErrorKind, FinishReason};

/// The largest schema, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// The most values within a schema when its references are unfolded.
const MAX_VALUES: usize = 5_000;

/// How deep they may be within each other.
const MAX_DEPTH: usize = 64;

/// The longest answer that is checked, in bytes.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// How many errors are told, and how long each is at most, in bytes.
const MAX_ERRORS: usize = 5;
const MAX_ERROR_BYTES: usize = 300;

/// The most tokens that telling a model of its errors takes, with what is around messages.
pub(super) const REPAIR_TOKENS: u64 = 1_000;

/// The largest that a pattern of a schema may become, in bytes.
const PATTERN_BYTES: usize = 256 << 10;

/// Schemas with places of their own for references to point at, which are not looked into.
const FOREIGN: [&str; 6] = [
    "$id",
    "$anchor",
    "$dynamicRef",
    "$dynamicAnchor",
    "$recursiveRef",
    "$recursiveAnchor",
];

/// A schema that answers are held to.
#[derive(Clone)]
pub(super) struct Schema(Arc<Validator>);

impl Schema {
    /// The schema of a request; none where it asks for none.
    pub(super) async fn of(format: &wire::ResponseFormat) -> Result<Option<Self>, wire::Error> {
        let wire::ResponseFormat::JsonSchema(asked) = format else {
            return Ok(None);
        };
        let text = asked.schema_json.clone();
        let schema = spawn_blocking(move || Self::parse(&text)).await;
        let schema = schema.map_err(|_| lost())?;
        schema.map(Some).map_err(|why| {
            let message = format!("the schema of the answer cannot be used: {why}");
            failure(ErrorKind::InvalidRequest, message)
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("it is longer than {MAX_BYTES} bytes"));
        }
        let mut schema: Value =
            serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
        if let Some(root) = schema.as_object_mut() {
            // What it is called elsewhere does not matter here.
            root.remove("$id");
            root.remove("$schema");
        }
        let mut left = MAX_VALUES;
        unfold(&schema, &schema, 0, &mut left)?;
        let patterns = PatternOptions::regex()
            .size_limit(PATTERN_BYTES)
            .dfa_size_limit(PATTERN_BYTES);
        let options = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(patterns);
        let validator = options.build(&schema).map_err(|error| shown(&error))?;
        Ok(Self(Arc::new(validator)))
    }

    /// What does not fit, the first of it; nothing of an answer that is none, such as a refusal or
    /// calls of tools.
    pub(super) async fn errors(&self, response: &wire::Response) -> Vec<String> {
        let is_answer = matches!(
            response.finish_reason,
            FinishReason::Stop | FinishReason::Length | FinishReason::Other
        );
        if !is_answer {
            return Vec::new();
        }
        let (schema, text) = (self.clone(), text_of(&response.content));
        let errors = spawn_blocking(move || schema.errors_of(&text)).await;
        errors.unwrap_or_else(|_| vec!["it cannot be checked".to_owned()])
    }

    fn errors_of(&self, answer: &str) -> Vec<String> {
        if answer.len() > MAX_ANSWER_BYTES {
            return vec![format!("it is longer than {MAX_ANSWER_BYTES} bytes")];
        }
        match serde_json::from_str::<Value>(answer.trim()) {
            Ok(answer) => {
                let errors = self.0.iter_errors(&answer).take(MAX_ERRORS);
                errors.map(|error| shown(&error)).collect()
            }
            Err(error) => vec![format!("it is not JSON: {error}")],
        }
    }
}

/// The text of an answer, without its other parts.
pub(super) fn text_of(content: &[wire::ContentPart]) -> String {
    let texts = content.iter().filter_map(|part| match part {
        wire::ContentPart::Text(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// Walks through a schema as if everything that it refers to stood in its place.
fn unfold(root: &Value, value: &Value, depth: usize, left: &mut usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!(
            "it is more than {MAX_DEPTH} deep, or refers to itself"
        ));
    }
    *left = left.checked_sub(1).ok_or_else(|| {
        format!("it has more than {MAX_VALUES} values when its references are followed")
    })?;
    match value {
        Value::Array(items) => {
            for item in items {
                unfold(root, item, depth + 1, left)?;
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                let target = match (key.as_str(), member) {
                    ("$ref", Value::String(reference)) => referred(root, reference)?,
                    (key, Value::String(_)) if FOREIGN.contains(&key) => {
                        return Err(format!("{key} is not supported"));
                    }
                    _ => member,
                };
                unfold(root, target, depth + 1, left)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// What a reference points at.
fn referred<'a>(root: &'a Value, reference: &str) -> Result<&'a Value, String> {
    let place = reference
        .strip_prefix('#')
        .filter(|place| !place.contains('%'))
        .and_then(|place| root.pointer(place));
    place.ok_or_else(|| {
        let shown: String = reference.chars().take(100).collect();
        format!("$ref {shown:?} points at nothing within it")
    })
}

/// An error in a line: what is wrong, and where.
fn shown(error: &jsonschema::ValidationError<'_>) -> String {
    let place = error.instance_path().to_string();
    let text = match place.as_str() {
        "" => error.to_string(),
        place => format!("at {place}: {error}"),
    };
    let end = text.floor_char_boundary(MAX_ERROR_BYTES);
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(schema: &Value) -> String {
        let parsed = Schema::parse(&schema.to_string());
        parsed.err().unwrap_or_else(|| panic!("{schema} is taken"))
    }

    #[test]
    fn an_answer_is_held_to_its_schema() {
        let schema = Schema::parse(
            &json!({"$schema": "https://json-schema.org/draft/2020-12/schema",
                "$id": "https://example.com/place",
                "type": "object", "properties": {"city": {"$ref": "#/$defs/name"}},
                "required": ["city"], "$defs": {"name": {"type": "string", "pattern": "^[A-Z]"}}})
            .to_string(),
        )
        .unwrap();
        assert_eq!(
            schema.errors_of(" {\"city\": \"Oslo\"}\n"),
            [""; 0].map(str::to_owned)
        );
        let wrong = schema.errors_of("{\"city\": \"oslo\"}");
        assert!(wrong[0].starts_with("at /city: "), "{wrong:?}");
        assert!(schema.errors_of("```json\n{}\n```")[0].contains("not JSON"));
        assert!(schema.errors_of("{}")[0].contains("city"));
        let long = format!("{{\"city\": \"{}\"}}", "x".repeat(MAX_ANSWER_BYTES));
        assert!(schema.errors_of(&long)[0].contains("longer"));
    }

    #[test]
    fn errors_are_few_and_short() {
        let schema = Schema::parse(&json!({"items": {"const": 1}}).to_string()).unwrap();
        let errors = schema.errors_of(&json!(vec!["ä".repeat(1_000); 20]).to_string());
        assert_eq!(errors.len(), MAX_ERRORS);
        assert!(errors.iter().all(|error| error.len() <= MAX_ERROR_BYTES));
    }

    #[test]
    fn what_is_no_schema_or_costs_too_much_is_refused() {
        let mut nested = json!({});
        for _ in 0..=MAX_DEPTH {
            nested = json!({"items": nested});
        }
        let mut bomb = serde_json::Map::new();
        for at in 0..16 {
            let next = json!({"$ref": format!("#/$defs/a{}", at + 1)});
            bomb.insert(format!("a{at}"), json!({"allOf": [next, next]}));
        }
        bomb.insert("a16".into(), json!({}));
        let long = json!({"description": "x".repeat(MAX_BYTES)});
        let own = json!({"properties": {"next": {"$ref": "#"}}});
        for (schema, why) in [
            (json!({"type": "strange"}), "strange"),
            (json!([1]), ""),
            (json!({"pattern": "(a"}), ""),
            (json!({"pattern": "(?=a)b"}), ""),
            (json!({"pattern": "(a{1000}){1000}"}), ""),
            (long, "longer"),
            (nested, "deep"),
            (own, "refers to itself"),
            (json!({"$ref": "#/$defs/a0", "$defs": bomb}), "values"),
            (
                json!({"$ref": "https://example.com/x"}),
                "points at nothing",
            ),
            (json!({"$ref": "#/$defs/none"}), "points at nothing"),
            (json!({"items": {"$id": "https://example.com/x"}}), "$id"),
        ] {
            let said = refused(&schema);
            assert!(said.contains(why), "{said}");
        }
        assert!(Schema::parse("{").is_err_and(|said| said.contains("not JSON")));
    }
}
