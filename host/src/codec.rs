//! How recorded values are stored: MessagePack, compact for bytes and exact for
//! numbers, and shown as JSON.

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What a later format begins with, before the number of its version: a byte
/// that MessagePack never uses. What this version writes begins with none.
const VERSIONED: u8 = 0xc1;

/// A recorded value that only a newer host can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it was written by a newer anchorhold (format {0}); run that version or a newer one")]
pub struct Newer(u8);

/// Whether this version can read a recorded value.
///
/// # Errors
///
/// If it was written by a newer one.
pub fn check(bytes: &[u8]) -> Result<(), Newer> {
    match bytes {
        [VERSIONED, rest @ ..] => Err(Newer(rest.first().copied().unwrap_or_default())),
        _ => Ok(()),
    }
}

/// Encodes a value; byte strings stay byte strings, fields keep their names.
///
/// # Errors
///
/// If the value cannot be represented, which no type of the contract is.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(128);
    let mut serializer = rmp_serde::Serializer::new(&mut bytes)
        .with_struct_map()
        .with_bytes(rmp_serde::config::BytesMode::ForceAll);
    value
        .serialize(&mut serializer)
        .context("encoding a recorded value")?;
    Ok(bytes)
}

/// Decodes what `encode` wrote.
///
/// # Errors
///
/// If the bytes are not a value of this type, for example because they were
/// written by another version.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    check(bytes)?;
    rmp_serde::from_slice(bytes).context("decoding a recorded value")
}

/// A recorded value as JSON, for people: byte strings that are text as text,
/// others as `{"hex": …}`.
pub fn to_json(bytes: &[u8]) -> Value {
    match rmpv::decode::read_value(&mut &bytes[..]) {
        Ok(value) => json_of(value),
        Err(_) => json!({ "hex": hex::encode(bytes) }),
    }
}

fn json_of(value: rmpv::Value) -> Value {
    match value {
        rmpv::Value::Nil => Value::Null,
        rmpv::Value::Boolean(value) => value.into(),
        rmpv::Value::Integer(number) => number
            .as_i64()
            .map(Value::from)
            .or_else(|| number.as_u64().map(Value::from))
            .unwrap_or(Value::Null),
        rmpv::Value::F32(number) => f64::from(number).into(),
        rmpv::Value::F64(number) => number.into(),
        rmpv::Value::String(text) => String::from_utf8_lossy(text.as_bytes()).into(),
        rmpv::Value::Binary(bytes) => match String::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(error) => json!({ "hex": hex::encode(error.into_bytes()) }),
        },
        rmpv::Value::Array(items) => items.into_iter().map(json_of).collect(),
        rmpv::Value::Map(pairs) => pairs
            .into_iter()
            .map(|(key, value)| {
                let key = match json_of(key) {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                (key, json_of(value))
            })
            .collect(),
        rmpv::Value::Ext(_, bytes) => json!({ "hex": hex::encode(bytes) }),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Part {
        Text(String),
        Bytes(Vec<u8>),
        Nothing,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Record {
        parts: Vec<Part>,
        pairs: Vec<(String, Option<Vec<u8>>)>,
        vectors: Vec<Vec<f32>>,
        small: u8,
        big: u64,
        negative: i64,
        real: f64,
        outcome: Result<Option<String>, String>,
    }

    fn record() -> Record {
        Record {
            parts: vec![
                Part::Text("ä".into()),
                Part::Bytes(vec![0, 255]),
                Part::Nothing,
            ],
            pairs: vec![
                ("a".into(), None),
                ("b".into(), Some(vec![])),
                ("c".into(), Some(vec![7])),
            ],
            vectors: vec![vec![], vec![1.5, -0.0]],
            small: 255,
            big: u64::MAX,
            negative: i64::MIN,
            real: 0.1,
            outcome: Ok(Some(String::new())),
        }
    }

    #[test]
    fn what_goes_in_comes_out() {
        let bytes = encode(&record()).unwrap();
        assert_eq!(decode::<Record>(&bytes).unwrap(), record());
    }

    #[test]
    fn a_megabyte_stays_about_a_megabyte() {
        let bytes = encode(&vec![200u8; 1 << 20]).unwrap();
        assert!(bytes.len() < (1 << 20) + 16);
        assert_eq!(decode::<Vec<u8>>(&bytes).unwrap(), vec![200u8; 1 << 20]);
    }

    #[test]
    fn what_a_newer_host_wrote_says_so() {
        assert!(check(&encode(&record()).unwrap()).is_ok());
        let error = decode::<Record>(&[0xc1, 2, 0x80]).unwrap_err();
        assert_eq!(error.downcast_ref::<Newer>(), Some(&Newer(2)));
        assert!(error.to_string().contains("a newer anchorhold"), "{error}");
    }

    #[test]
    fn it_is_shown_as_json() {
        let shown = to_json(&encode(&record()).unwrap());
        assert_eq!(shown["parts"][0]["Text"], "ä");
        assert_eq!(shown["parts"][1]["Bytes"]["hex"], "00ff");
        assert_eq!(shown["outcome"]["Ok"], "");
    }
}
