//! The key-value store. Values are anything that serde knows, stored as JSON; functions whose name
//! ends in `_bytes` take them as they are.

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::bindings::imports::anchorhold::agent::state::{Entry, Scope};
use crate::window::state as host;
use crate::{ErrorKind, Result};

/// How often [`update`] reads again when somebody else was first.
const UPDATE_ATTEMPTS: u32 = 10;

/// The value, unless there is none or it has expired.
pub fn get<T: DeserializeOwned>(scope: Scope, key: &str) -> Result<Option<T>> {
    host::get(scope, key)?.map(|entry| entry.json()).transpose()
}

/// The value as it is stored, with its revision.
pub fn get_bytes(scope: Scope, key: &str) -> Result<Option<Entry>> {
    host::get(scope, key)
}

/// Stores a value and answers its revision.
pub fn set(scope: Scope, key: &str, value: &impl Serialize) -> Result<String> {
    host::set(scope, key, &serde_json::to_vec(value)?, None)
}

/// Stores a value that expires.
pub fn set_for(scope: Scope, key: &str, value: &impl Serialize, ttl_ms: u64) -> Result<String> {
    host::set(scope, key, &serde_json::to_vec(value)?, Some(ttl_ms))
}

/// Stores bytes as they are.
pub fn set_bytes(scope: Scope, key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<String> {
    host::set(scope, key, value, ttl_ms)
}

/// Stores a value only if the current revision is `expected` (none: only if there is no value).
pub fn compare_and_set(
    scope: Scope,
    key: &str,
    expected: Option<&str>,
    value: &impl Serialize,
) -> Result<String> {
    compare_and_set_bytes(scope, key, expected, &serde_json::to_vec(value)?, None)
}

/// As [`compare_and_set`], with bytes as they are.
pub fn compare_and_set_bytes(
    scope: Scope,
    key: &str,
    expected: Option<&str>,
    value: &[u8],
    ttl_ms: Option<u64>,
) -> Result<String> {
    host::compare_and_set(scope, key, expected, value, ttl_ms)
}

/// Reads, changes and stores a value so that no change of another turn is lost. `change` may run
/// more than once.
pub fn update<T>(scope: Scope, key: &str, mut change: impl FnMut(&mut T)) -> Result<T>
where
    T: Default + Serialize + DeserializeOwned,
{
    let mut attempt = 1;
    loop {
        let entry = host::get(scope, key)?;
        let mut value = entry
            .as_ref()
            .map_or_else(|| Ok(T::default()), Entry::json)?;
        change(&mut value);
        let expected = entry.as_ref().map(|entry| entry.revision.as_str());
        match compare_and_set(scope, key, expected, &value) {
            Err(error) if error.kind == ErrorKind::Conflict && attempt < UPDATE_ATTEMPTS => {
                attempt += 1;
            }
            stored => return stored.map(|_| value),
        }
    }
}

/// Removes a value; answers whether there was one.
pub fn remove(scope: Scope, key: &str) -> Result<bool> {
    host::remove(scope, key)
}

/// The first `limit` (1 to 1,000) keys that begin with `prefix`, in byte order, after `after`.
pub fn list_keys(
    scope: Scope,
    prefix: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<String>> {
    host::list_keys(scope, prefix, after, limit)
}

impl Entry {
    /// The value read as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(serde_json::from_slice(&self.value)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    #[test]
    fn stores_values_by_scope() {
        let _host = Host::new();
        set(Scope::User, "a", &1).unwrap();
        assert_eq!(get::<i32>(Scope::User, "a").unwrap(), Some(1));
        assert_eq!(get::<i32>(Scope::Agent, "a").unwrap(), None);
        assert_eq!(list_keys(Scope::User, "", None, 10).unwrap(), ["a"]);
        assert!(remove(Scope::User, "a").unwrap());
        assert!(!remove(Scope::User, "a").unwrap());
    }

    #[test]
    fn compare_and_set_refuses_a_stale_revision() {
        let _host = Host::new();
        let first = compare_and_set(Scope::Agent, "k", None, &"one").unwrap();
        let second = compare_and_set(Scope::Agent, "k", Some(&first), &"two").unwrap();
        assert_ne!(first, second);
        let error = compare_and_set(Scope::Agent, "k", Some(&first), &"three").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict);
    }

    #[test]
    fn update_changes_what_is_there() {
        let _host = Host::new();
        update(Scope::Agent, "list", |list: &mut Vec<i32>| list.push(1)).unwrap();
        let list = update(Scope::Agent, "list", |list: &mut Vec<i32>| list.push(2)).unwrap();
        assert_eq!(list, [1, 2]);
    }
}
