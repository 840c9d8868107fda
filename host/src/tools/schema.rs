//! Schemas of tools: small enough to be handed to models, and what arguments are
//! checked against. Nothing that they refer to is fetched.

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use super::expansion::Expansion;

/// The largest schema, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// How deep a schema may be nested.
const MAX_DEPTH: usize = 32;

/// The longest sentence about arguments that do not fit, in bytes.
const MAX_MISFIT: usize = 500;

/// How large a compiled pattern may be, in bytes.
const PATTERN_BYTES: usize = 1 << 20;

/// How often the match of a pattern may go back.
const PATTERN_STEPS: usize = 10_000;

/// What the arguments of a tool look like.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) text: String,
    validator: Validator,
    /// How deep arguments may be nested.
    depth: usize,
}

impl Schema {
    /// # Errors
    ///
    /// Why no tool can have it.
    pub(super) fn new(schema: &Value) -> Result<Self, String> {
        if deeper_than(schema, MAX_DEPTH) {
            return Err(format!("its schema is nested deeper than {MAX_DEPTH}"));
        }
        let text = schema.to_string();
        if text.len() > MAX_BYTES {
            return Err(format!(
                "its schema has {} bytes; at most {MAX_BYTES} are taken",
                text.len()
            ));
        }
        if schema["type"] != "object" {
            return Err("its schema is not that of an object".to_owned());
        }
        let expanded = Expansion::of(schema)?;
        // Patterns come from outside: they may not compute without end.
        let patterns = PatternOptions::fancy_regex()
            .backtrack_limit(PATTERN_STEPS)
            .size_limit(PATTERN_BYTES);
        let validator = jsonschema::options()
            .with_pattern_options(patterns)
            .build(schema)
            .map_err(|error| format!("its schema is not valid: {error}"))?;
        Ok(Self {
            text,
            validator,
            depth: expanded.argument_depth(),
        })
    }

    /// Why arguments do not fit, in a sentence for a model.
    pub(super) fn misfit(&self, arguments: &str) -> Option<String> {
        let arguments = match serde_json::from_str::<Value>(arguments) {
            Ok(arguments) => arguments,
            Err(error) => return Some(format!("The arguments are not JSON: {error}.")),
        };
        if !arguments.is_object() {
            return Some("The arguments are not a JSON object.".to_owned());
        }
        if deeper_than(&arguments, self.depth) {
            return Some("The arguments are nested too deep.".to_owned());
        }
        let error = self.validator.iter_errors(&arguments).next()?;
        let place = error.instance_path().to_string();
        let mut why = match place.as_str() {
            "" => format!("The arguments do not fit the tool's schema: {error}."),
            place => format!("The arguments do not fit the tool's schema: at {place}, {error}."),
        };
        super::cut(&mut why, MAX_MISFIT);
        Some(why)
    }
}

fn deeper_than(value: &Value, most: usize) -> bool {
    let Some(left) = most.checked_sub(1) else {
        return true;
    };
    match value {
        Value::Array(items) => items.iter().any(|item| deeper_than(item, left)),
        Value::Object(fields) => fields.values().any(|field| deeper_than(field, left)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_that_do_not_fit_are_named() {
        let schema = Schema::new(&json!({
            "type": "object",
            "properties": {"count": {"type": "integer"}, "name": {"type": "string", "pattern": "^a+$"}},
            "required": ["count"]
        }))
        .unwrap();
        assert_eq!(schema.misfit(r#"{"count": 1, "name": "aa"}"#), None);
        for (arguments, part) in [
            ("{", "not JSON"),
            ("[]", "not a JSON object"),
            ("{}", "count"),
            (r#"{"count": "x"}"#, "at /count"),
            (r#"{"count": 1, "name": "b"}"#, "at /name"),
        ] {
            let misfit = schema.misfit(arguments).unwrap();
            assert!(misfit.contains(part), "{arguments}: {misfit}");
        }
        let deep = format!(
            "{}{}",
            "{\"a\":".repeat(100),
            "1".to_owned() + &"}".repeat(100)
        );
        assert!(schema.misfit(&deep).unwrap().contains("too deep"));
    }

    #[test]
    fn bombs_are_left_out() {
        let mut deep = json!({"type": "object"});
        for _ in 0..40 {
            deep = json!({"type": "object", "properties": {"a": deep}});
        }
        let wide: serde_json::Map<_, _> = (0..5_000)
            .map(|number| (format!("field-{number}"), json!({"type": "string"})))
            .collect();
        let pattern = |pattern: &str| json!({"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}});
        for (schema, part) in [
            (deep, "nested deeper"),
            (json!({"type": "object", "properties": wide}), "bytes"),
            (json!({"type": "array"}), "not that of an object"),
            (json!(true), "not that of an object"),
            (
                json!({"type": "object", "properties": {"a": {"$ref": "https://example.com/x"}}}),
                "refers to",
            ),
            (pattern("(a{1000}){1000}"), "not valid"),
            (doubling(30), "when its references are followed"),
        ] {
            let error = Schema::new(&schema).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    /// A schema that names the next one twice, so often.
    fn doubling(times: usize) -> Value {
        let twice = |number: usize| {
            let next = json!({"$ref": format!("#/$defs/d{}", number + 1)});
            (format!("d{number}"), json!({"allOf": [next, next]}))
        };
        let mut defs: serde_json::Map<_, _> = (0..times).map(twice).collect();
        defs.insert(format!("d{times}"), json!(true));
        json!({"type": "object", "$defs": defs, "allOf": [{"$ref": "#/$defs/d0"}]})
    }

    #[test]
    fn a_schema_that_refers_to_itself_is_checked_all_the_same() {
        let schema = Schema::new(&json!({
            "type": "object",
            "properties": {"next": {"$ref": "#"}, "a": {"type": "integer"}}
        }))
        .unwrap();
        assert_eq!(schema.misfit(r#"{"next": {"next": {"a": 1}}}"#), None);
        assert!(schema.misfit(r#"{"next": {"a": "x"}}"#).is_some());
    }
}
