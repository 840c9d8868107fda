//! `[registry]`: where components come from, what they get, what stays loaded.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

/// The registry and its caches.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Registry {
    /// The folder that is watched for `name.wasm`.
    pub plugins_dir: PathBuf,
    /// What an agent gets of what its manifest wants, unless it has grants of
    /// its own: a capability (`llm`) or a part of one (`http:api.example.com`,
    /// `events:note.*`, `secret:github`). What costs nothing outside the host
    /// is granted by default; reaching outside is not.
    #[serde(deserialize_with = "list")]
    pub default_grants: Vec<String>,
    /// The largest component, in bytes.
    pub max_component_bytes: u64,
    /// Resolved agents that stay in memory.
    pub max_resolved_agents: usize,
    /// Compiled code of components that stays in memory, in bytes.
    pub max_loaded_bytes: u64,
    /// Compiled code that stays on disk, in bytes.
    pub max_compiled_bytes: u64,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            plugins_dir: PathBuf::from("plugins"),
            default_grants: [
                "llm",
                "state",
                "database",
                "events",
                "tools:calculator",
                "tools:time",
            ]
            .map(str::to_owned)
            .to_vec(),
            max_component_bytes: 64 << 20,
            max_resolved_agents: 50,
            max_loaded_bytes: 512 << 20,
            max_compiled_bytes: 4 << 30,
        }
    }
}

/// A list, or one string with commas as environment variables have it.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        List(Vec<String>),
        Text(String),
    }
    Ok(match Form::deserialize(deserializer)? {
        Form::List(list) => list,
        Form::Text(text) => text
            .split(',')
            .map(|part| part.trim().to_owned())
            .filter(|part| !part.is_empty())
            .collect(),
    })
}
