//! `[telemetry]`: traces and metrics for a collector that speaks OTLP over HTTP.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde::Deserialize;

/// Where to, and what.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// The collector's address, such as `http://localhost:4318`; without it
    /// nothing is sent.
    pub endpoint: Option<String>,
    /// Headers of each request, for collectors that ask for a key.
    pub headers: BTreeMap<String, SecretString>,
    /// What the host is called there.
    pub service_name: String,
    /// Sends what people, agents and models said as well.
    pub content: bool,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            endpoint: None,
            headers: BTreeMap::new(),
            service_name: "anchorhold".to_owned(),
            content: false,
        }
    }
}
