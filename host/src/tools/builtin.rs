//! The host's own tools. `fetch` is only described here: it needs the grants of
//! the agent, so the capability does it.

use std::sync::LazyLock;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde_json::{Value, json};

use super::schema::Schema;
use super::{Found, calculator, failed, new_error, text};
use crate::runtime::bindings::tools::{Outcome, Tool};
use crate::runtime::bindings::types::{Error, ErrorKind, ToolDefinition};
use crate::turn::Commit;

/// The tool that asks the web, by the agent's own grants.
pub const FETCH: &str = "fetch";

struct Builtin {
    name: &'static str,
    description: &'static str,
    schema: Schema,
}

static BUILTINS: LazyLock<Vec<Builtin>> = LazyLock::new(|| {
    let known = [
        (
            "calculator",
            "Calculates an expression such as (1 + 2) * 3, 2 ** 10, sqrt(2), round(pi, 2), max(1, 2).",
            json!({"expression": {"type": "string"}}),
            json!(["expression"]),
        ),
        (
            "time",
            "Says what time it is now, in UTC or in a time zone such as Europe/Oslo.",
            json!({"zone": {"type": "string", "description": "A name of the IANA time zone database"}}),
            json!([]),
        ),
        (
            FETCH,
            "Gets a page or a file from the web by its URL and answers its text.",
            json!({"url": {"type": "string"}}),
            json!(["url"]),
        ),
    ];
    let known = known
        .into_iter()
        .filter_map(|(name, description, properties, required)| {
            let schema = json!({"type": "object", "properties": properties, "required": required,
            "additionalProperties": false});
            let schema = Schema::new(&schema).ok()?;
            Some(Builtin {
                name,
                description,
                schema,
            })
        });
    known.collect()
});

pub(super) fn definitions() -> Vec<Tool> {
    let definition = |builtin: &Builtin| Tool {
        definition: ToolDefinition {
            name: builtin.name.to_owned(),
            description: Some(builtin.description.to_owned()),
            input_schema_json: builtin.schema.text.clone(),
            strict: false,
        },
        source: "host".to_owned(),
        read_only: true,
        destructive: false,
        needs_approval: false,
    };
    BUILTINS.iter().map(definition).collect()
}

pub(super) fn find(name: &str, arguments: &str) -> Result<Found, Error> {
    let builtin = BUILTINS.iter().find(|builtin| builtin.name == name);
    let builtin = builtin.ok_or_else(|| unknown(name))?;
    Ok(Found {
        commit: Commit::Later,
        needs_approval: false,
        misfit: builtin.schema.misfit(arguments),
    })
}

pub(super) fn call(name: &str, arguments: &str) -> Result<Outcome, Error> {
    let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
    match name {
        "calculator" => {
            let expression = arguments["expression"].as_str().unwrap_or_default();
            Ok(match calculator::calculate(expression) {
                Ok(value) => text(value),
                Err(why) => failed(format!("{expression:?} has no value: {why}.")),
            })
        }
        "time" => Ok(time(Timestamp::now(), arguments["zone"].as_str())),
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Error {
    new_error(ErrorKind::NotFound, format!("there is no tool {name:?}"))
}

fn time(now: Timestamp, zone: Option<&str>) -> Outcome {
    let zone = zone.unwrap_or("UTC");
    let Ok(time_zone) = TimeZone::get(zone) else {
        return failed(format!("{zone:?} is no time zone; Europe/Oslo is one."));
    };
    let local: Zoned = now.to_zoned(time_zone);
    text(
        json!({
            "local": local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            "zone": zone,
            "weekday": local.strftime("%A").to_string(),
            "utc": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "unix_ms": now.as_millisecond(),
        })
        .to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::bindings::llm::ToolOutput;

    #[test]
    fn time_is_told_in_zones() {
        let now = Timestamp::from_millisecond(0).unwrap();
        let told = time(now, Some("Europe/Oslo"));
        let ToolOutput::Text(told) = &told.output[0] else {
            panic!("{told:?}");
        };
        let told: Value = serde_json::from_str(told).unwrap();
        assert_eq!(told["local"], "1970-01-01T01:00:00+01:00");
        assert_eq!(told["weekday"], "Thursday");
        assert!(time(now, Some("Mars/Olympus")).is_error);
    }

    #[test]
    fn every_builtin_is_there_and_checks_its_arguments() {
        let names: Vec<_> = definitions()
            .into_iter()
            .map(|tool| tool.definition.name)
            .collect();
        assert_eq!(names, ["calculator", "time", FETCH]);
        assert_eq!(find("time", "{}").unwrap().misfit, None);
        assert!(find("calculator", "{}").unwrap().misfit.is_some());
        assert_eq!(find("clock", "{}").unwrap_err().kind, ErrorKind::NotFound);
    }
}
