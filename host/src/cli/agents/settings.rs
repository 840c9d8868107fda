//! Settings as they are given on the command line.

use serde_json::Value;

/// `key=value`; the value is JSON, or text where it is none.
pub(super) fn parse_pair(text: &str) -> Result<(String, Value), String> {
    let (key, value) = split(text)?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((key.to_owned(), value))
}

/// `limit=number`; underscores may part the digits.
pub(super) fn parse_limit(text: &str) -> Result<(String, u64), String> {
    let (key, value) = split(text)?;
    let number = value.replace('_', "").parse();
    let number = number.map_err(|_| format!("{value:?} is no whole number"))?;
    Ok((key.to_owned(), number))
}

fn split(text: &str) -> Result<(&str, &str), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    pair.ok_or_else(|| format!("{text:?} is not of the form key=value"))
}

/// `grants` and those of `more` that are new.
pub(super) fn union(mut grants: Vec<String>, more: Vec<String>) -> Vec<String> {
    for grant in more {
        if !grants.contains(&grant) {
            grants.push(grant);
        }
    }
    grants
}

/// `grants` without `fewer`.
pub(super) fn without(mut grants: Vec<String>, fewer: &[String]) -> Vec<String> {
    grants.retain(|grant| !fewer.contains(grant));
    grants
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_json_or_text() {
        assert_eq!(parse_pair("a=1"), Ok(("a".into(), json!(1))));
        assert_eq!(parse_pair("a=[\"x\"]"), Ok(("a".into(), json!(["x"]))));
        assert_eq!(
            parse_pair("a=be brief = good"),
            Ok(("a".into(), json!("be brief = good")))
        );
        assert_eq!(parse_pair("a="), Ok(("a".into(), json!(""))));
        assert!(parse_pair("=1").is_err() && parse_pair("a").is_err());
        assert_eq!(parse_limit("fuel=1_000"), Ok(("fuel".into(), 1_000)));
        assert!(parse_limit("fuel=-1").is_err());
    }

    #[test]
    fn grants_are_a_set() {
        let grants = union(vec!["llm".into()], vec!["llm".into(), "http:a".into()]);
        assert_eq!(grants, ["llm", "http:a"]);
        assert_eq!(without(grants, &["llm".to_owned()]), ["http:a"]);
    }
}
