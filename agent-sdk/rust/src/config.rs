//! The agent's configuration: `[config]` of its manifest, overlaid with what the operator set.

use serde::de::DeserializeOwned;

use crate::window::config as host;
use crate::{Error, Result};

/// The value of a top-level key, if it is set.
pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>> {
    let Some(json) = host::get(key) else {
        return Ok(None);
    };
    match serde_json::from_str(&json) {
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(Error::invalid_input(format!(
            "configuration key `{key}`: {error}"
        ))),
    }
}

/// The value of a top-level key, or `default` if it is not set.
pub fn get_or<T: DeserializeOwned>(key: &str, default: T) -> Result<T> {
    Ok(get(key)?.unwrap_or(default))
}

/// The whole configuration as one struct.
pub fn get_all<T: DeserializeOwned>() -> Result<T> {
    let json = host::get_all();
    serde_json::from_str(&json)
        .map_err(|error| Error::invalid_input(format!("configuration: {error}")))
}

#[cfg(test)]
mod tests {
    use crate::testing::Host;

    #[test]
    fn reads_typed_values() {
        let _host = Host::new()
            .config("max_steps", 3)
            .config("tools", ["a", "b"]);
        assert_eq!(super::get_or("max_steps", 8).unwrap(), 3);
        assert_eq!(super::get_or("absent", 8).unwrap(), 8);
        assert_eq!(
            super::get::<Vec<String>>("tools").unwrap().unwrap(),
            ["a", "b"]
        );
        let error = super::get::<bool>("tools").unwrap_err();
        assert!(error.message.contains("`tools`"), "{error}");
    }
}
