//! One agent, in words.

use anyhow::Result;
use serde_json::Value;

use crate::cli::output::{self, Table, plain};
use crate::cli::wire::{number, text, texts};
use crate::format::utc;

pub(super) fn print(agent: &Value, json: bool) -> Result<()> {
    if json {
        return output::json(agent);
    }
    for line in summary(agent) {
        output::line(plain(&line));
    }
    print_versions(agent);
    Ok(())
}

fn summary(agent: &Value) -> Vec<String> {
    let mut lines = vec![format!(
        "{}  {}",
        text(agent, "name"),
        text(agent, "status")
    )];
    let mut add = |label: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("  {label:<12}{value}"));
        }
    };
    add("reason", text(agent, "reason"));
    add("about", text(agent, "description"));
    add("source", text(agent, "source"));
    add("component", text(agent, "component"));
    add("exports", texts(agent, "exports").join(", "));
    add("wants", texts(agent, "wants").join(", "));
    add("may", or_nothing(texts(agent, "grants")));
    for missing in array(agent, "not_granted") {
        add(
            "may not",
            format!("{}: {}", text(missing, "grant"), text(missing, "hint")),
        );
    }
    add("topics", texts(agent, "topics").join(", "));
    for filtered in array(agent, "topics").iter().filter(|it| it.is_object()) {
        let (topic, filter) = (text(filtered, "topic"), text(filtered, "filter"));
        add("topics", format!("{topic} if {filter}"));
    }
    for field in ["limits", "config"] {
        for (key, value) in object(agent, field) {
            add(field, format!("{key} = {value}"));
        }
    }
    for (label, version) in object(agent, "labels") {
        add("label", format!("{label} -> version {version}"));
    }
    lines
}

fn print_versions(agent: &Value) {
    let mut table = Table::new(["VERSION", "COMPONENT", "MADE"]);
    let versions = array(agent, "versions");
    if versions.is_empty() {
        return;
    }
    for version in versions {
        let digest: String = text(version, "digest").chars().take(12).collect();
        table.row([
            text(version, "version"),
            digest,
            utc(number(version, "created_at")),
        ]);
    }
    output::line("");
    table.print("");
}

fn or_nothing(grants: Vec<String>) -> String {
    if grants.is_empty() {
        "nothing".to_owned()
    } else {
        grants.join(", ")
    }
}

fn array<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value
        .get(field)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn object<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value
        .get(field)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_an_agent_lacks_is_said_with_how_to_grant_it() {
        let agent = json!({
            "name": "notes", "status": "enabled", "reason": null, "description": "Keeps notes",
            "grants": [], "wants": ["http"], "limits": {"fuel": 5},
            "not_granted": [{"grant": "http:example.com", "hint": "grant it with: anchorhold agents grant"}],
        });
        assert_eq!(
            summary(&agent),
            [
                "notes  enabled",
                "  about       Keeps notes",
                "  wants       http",
                "  may         nothing",
                "  may not     http:example.com: grant it with: anchorhold agents grant",
                "  limits      fuel = 5",
            ]
        );
    }
}
