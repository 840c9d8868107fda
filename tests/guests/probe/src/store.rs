//! The commands `state` and `sql`.

use anchorhold_agent::database::{self, Outcome, RowSet, Statement, Value};
use anchorhold_agent::serde_json::{self, Value as Json, json};
use anchorhold_agent::state::{self, Entry, Scope};
use anchorhold_agent::{Error, Result};

use crate::show;

pub(crate) fn state(text: &str) -> Result<String> {
    let (verb, rest) = show::split(text);
    let (scope, rest) = show::split(rest);
    let (scope, (key, rest)) = (scope_named(scope)?, show::split(rest));
    match verb {
        "get" => Ok(state::get_bytes(scope, key)?
            .as_ref()
            .map_or("absent".into(), entry)),
        "set" => {
            let (value, ttl_ms) = value_and_ttl(rest);
            state::set_bytes(scope, key, value.as_bytes(), ttl_ms)
        }
        "cas" => {
            let (expected, value) = show::split(rest);
            let expected = Some(expected).filter(|revision| *revision != "-");
            state::compare_and_set_bytes(scope, key, expected, value.as_bytes(), None)
        }
        "remove" => Ok(state::remove(scope, key)?.to_string()),
        "keys" => Ok(json!(state::list_keys(scope, key, None, 1_000)?).to_string()),
        _ => Err(Error::invalid_input(format!("no command `state {verb}`"))),
    }
}

fn scope_named(name: &str) -> Result<Scope> {
    match name {
        "agent" => Ok(Scope::Agent),
        "conversation" => Ok(Scope::Conversation),
        "user" => Ok(Scope::User),
        _ => Err(Error::invalid_input(format!("no scope `{name}`"))),
    }
}

fn value_and_ttl(text: &str) -> (&str, Option<u64>) {
    let parts = text.rsplit_once(" ttl=");
    let ttl = parts.and_then(|(value, ttl)| Some((value, Some(ttl.parse().ok()?))));
    ttl.unwrap_or((text, None))
}

fn entry(entry: &Entry) -> String {
    let value = String::from_utf8_lossy(&entry.value);
    let (revision, expires_at_ms) = (&entry.revision, entry.expires_at_ms);
    json!({"value": value, "revision": revision, "expires_at_ms": expires_at_ms}).to_string()
}

pub(crate) fn sql(text: &str) -> Result<String> {
    let (verb, rest) = show::split(text);
    let (sql, params) = rest.split_once(" ## ").unwrap_or((rest, "[]"));
    let params: Vec<Json> = serde_json::from_str(params)?;
    let params: Vec<Value> = params.iter().map(from_json).collect();
    match verb {
        "query" => Ok(row_set(&database::query(sql, params)?).to_string()),
        "execute" => Ok(outcome(&database::execute(sql, params)?).to_string()),
        "batch" => {
            let statements = show::texts(rest)
                .into_iter()
                .map(|sql| Statement::new(sql, []));
            let outcomes = database::batch(&statements.collect::<Vec<_>>())?;
            Ok(outcomes.iter().map(outcome).collect::<Json>().to_string())
        }
        _ => Err(Error::invalid_input(format!("no command `sql {verb}`"))),
    }
}

/// `{"big": "9007199254740993"}` and `{"blob": "text"}` stand for what JSON has no word for.
fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::from(*flag),
        Json::String(text) => Value::from(text),
        Json::Number(number) => number.as_i64().map_or_else(
            || Value::Real(number.as_f64().unwrap_or_default()),
            Value::Integer,
        ),
        _ => match (json["big"].as_str(), json["blob"].as_str()) {
            (Some(digits), _) => Value::BigInteger(digits.into()),
            (None, Some(text)) => Value::from(text.as_bytes()),
            (None, None) => Value::Text(json.to_string()),
        },
    }
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Integer(number) => json!(number),
        Value::BigInteger(digits) => json!({"big": digits}),
        Value::Real(number) => json!(number),
        Value::Text(text) => json!(text),
        Value::Blob(bytes) => json!({"blob": String::from_utf8_lossy(bytes)}),
    }
}

fn row_set(set: &RowSet) -> Json {
    let rows: Vec<Vec<_>> = set
        .rows
        .iter()
        .map(|row| row.iter().map(to_json).collect())
        .collect();
    json!({"columns": set.columns, "rows": rows, "truncated": set.truncated})
}

fn outcome(outcome: &Outcome) -> Json {
    json!({
        "rows_affected": outcome.rows_affected,
        "last_insert_id": outcome.last_insert_id,
    })
}

/// What becomes of integers at the edges, through the database and a duration.
pub(crate) fn exact_integers() -> String {
    const LARGEST: i64 = (1 << 53) - 1;
    let through = |param: Value| match database::query("SELECT ?1 AS n", [param]) {
        Ok(set) => set
            .rows
            .iter()
            .flatten()
            .map(|value| format!("{value:?}"))
            .collect(),
        Err(error) => show::refusal(error.kind, &error.message),
    };
    let ttl = state::set_bytes(Scope::Agent, "exact-integers", b"", Some(1 << 53));
    json!({
        "largest": through(Value::Integer(LARGEST)),
        "smallest": through(Value::Integer(-LARGEST)),
        "beyond": through(Value::Integer(LARGEST + 1)),
        "big": through(Value::BigInteger((LARGEST + 1).to_string())),
        "biggest": through(Value::BigInteger(i64::MAX.to_string())),
        "small-big": through(Value::BigInteger("7".into())),
        "too-big": through(Value::BigInteger("9223372036854775808".into())),
        "ttl": ttl.map_or_else(|error| show::refusal(error.kind, &error.message), |_| "stored".into()),
    })
    .to_string()
}
