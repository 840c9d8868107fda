//! How much work a schema makes when its references are followed. A small one
//! can name itself so often that checking anything against it never ends.

use std::collections::HashMap;

use serde_json::Value;

/// The most parts of a schema with its references followed.
const MAX_PARTS: u64 = 100_000;

/// The most places at which a schema refers to what it is within.
const MAX_CYCLES: u32 = 16;

/// Steps of one check, roughly.
const MAX_STEPS: f64 = 1e7;

/// How deep arguments may be nested where nothing else bounds that.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Expansion<'a> {
    /// Parts by reference; none while it is being counted.
    known: HashMap<&'a str, Option<u64>>,
    parts: u64,
    cycles: u32,
}

impl<'a> Expansion<'a> {
    /// # Errors
    ///
    /// Why there is no bound to it.
    pub(super) fn of(schema: &'a Value) -> Result<Self, String> {
        let mut expansion = Self::default();
        expansion.parts = expansion.count(schema, schema)?;
        Ok(expansion)
    }

    /// How deep arguments may be: each level multiplies the work by the number
    /// of places at which the schema begins anew.
    pub(super) fn argument_depth(&self) -> usize {
        if self.cycles < 2 {
            return MAX_DEPTH;
        }
        let room = (MAX_STEPS / self.parts.max(1) as f64).max(1.0);
        let depth = room.ln() / f64::from(self.cycles).ln();
        (depth as usize).clamp(4, MAX_DEPTH)
    }

    fn count(&mut self, root: &'a Value, value: &'a Value) -> Result<u64, String> {
        let mut parts = 1_u64;
        match value {
            Value::Array(items) => {
                for item in items {
                    parts = parts.saturating_add(self.count(root, item)?);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    let more = match (name.as_str(), field) {
                        ("$dynamicRef" | "$recursiveRef", Value::String(_)) => {
                            return Err(
                                "its schema has references that depend on others".to_owned()
                            );
                        }
                        ("$ref", Value::String(target)) => self.follow(root, target)?,
                        _ => self.count(root, field)?,
                    };
                    parts = parts.saturating_add(more);
                }
            }
            _ => {}
        }
        if parts > MAX_PARTS {
            return Err(format!(
                "its schema has more than {MAX_PARTS} parts when its references are followed"
            ));
        }
        Ok(parts)
    }

    fn follow(&mut self, root: &'a Value, target: &'a str) -> Result<u64, String> {
        match self.known.get(target) {
            Some(Some(parts)) => return Ok(*parts),
            Some(None) => {
                self.cycles += 1;
                if self.cycles > MAX_CYCLES {
                    return Err("its schema refers to itself too often".to_owned());
                }
                return Ok(1);
            }
            None => {}
        }
        let pointer = target
            .strip_prefix('#')
            .filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let within = pointer.and_then(|pointer| root.pointer(pointer));
        let Some(within) = within else {
            return Err(format!(
                "its schema refers to {target:?}, which is not within it"
            ));
        };
        self.known.insert(target, None);
        let parts = self.count(root, within)?;
        self.known.insert(target, Some(parts));
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_begins_anew_in_many_places_takes_shallow_arguments() {
        let schema = |times: usize| {
            let cycles = vec![json!({"$ref": "#"}); times];
            json!({"type": "object", "properties": {"a": {"anyOf": cycles}}})
        };
        let depth = |times| {
            let schema = schema(times);
            Expansion::of(&schema).map(|expansion| expansion.argument_depth())
        };
        assert_eq!(depth(0), Ok(MAX_DEPTH));
        assert!(depth(2).unwrap() < MAX_DEPTH);
        assert!(depth(8).unwrap() < depth(2).unwrap());
        assert!(depth(40).is_err());
    }

    #[test]
    fn references_lead_within() {
        for target in ["other.json", "https://h/x", "#name", "#/$defs/none"] {
            let schema = json!({"$ref": target});
            assert!(Expansion::of(&schema).is_err(), "{target}");
        }
    }
}
