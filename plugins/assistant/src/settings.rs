//! What the configuration may say; `assistant.toml` explains the keys.

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    pub(crate) prompt: String,
    pub(crate) model: String,
    pub(crate) history: usize,
    pub(crate) tools: Vec<String>,
    pub(crate) max_steps: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prompt: "You are a helpful assistant.".into(),
            model: "default".into(),
            history: 40,
            tools: Vec::new(),
            max_steps: 8,
        }
    }
}
