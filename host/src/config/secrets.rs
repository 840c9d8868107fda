//! `[secrets.NAME]`: values that agents use by placeholder and never see.

use secrecy::SecretString;
use serde::Deserialize;

/// One secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The value itself; better is `env`.
    #[serde(default)]
    pub value: Option<SecretString>,
    /// The environment variable that holds the value.
    #[serde(default)]
    pub env: Option<String>,
    /// Hosts that it may be sent to.
    pub hosts: Vec<String>,
}
