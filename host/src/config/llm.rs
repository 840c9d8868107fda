//! `[llm]`: model providers and the aliases agents know them by.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Model providers and aliases.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Llm {
    /// `[llm.providers.NAME]`. `scripted` is always there.
    pub providers: BTreeMap<String, Provider>,
    /// `[llm.models.ALIAS]`. `default` is always there: the first provider with
    /// a key and a model, else `scripted`.
    pub models: BTreeMap<String, Alias>,
    /// The script of the `scripted` provider; a bundled one when none is given.
    pub script: Option<std::path::PathBuf>,
    /// A file of prices, which come before the table that is built in.
    pub prices: Option<std::path::PathBuf>,
    /// Dollars that budgets count for a million tokens in, of a model whose price is not known; 15
    /// by default.
    pub unknown_input_usd: Option<f64>,
    /// The same for a million tokens out; 75 by default.
    pub unknown_output_usd: Option<f64>,
    /// Output tokens when a request names no bound; 8192 by default.
    pub max_output_tokens: Option<u32>,
    /// How long a provider may take to begin an answer, in milliseconds; two minutes by default.
    pub header_timeout_ms: Option<u64>,
    /// How long a provider may pause within an answer, in milliseconds; five minutes by default.
    pub read_timeout_ms: Option<u64>,
}

/// The protocol that a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// OpenAI's chat completions; also anything compatible with them.
    Openai,
    Anthropic,
    Gemini,
    Ollama,
    /// Answers from a script. It is not a model.
    Scripted,
}

/// One provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    pub kind: ProviderKind,
    #[serde(default)]
    pub base_url: Option<String>,
    #[serde(default)]
    pub api_key: Option<SecretString>,
    /// The model that `default` means when only this provider is configured.
    #[serde(default)]
    pub model: Option<String>,
    /// Calls cost nothing; true for Ollama unless set otherwise.
    #[serde(default)]
    pub free: Option<bool>,
}

/// What an alias stands for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alias {
    pub provider: String,
    pub model: String,
}

impl Provider {
    pub(super) fn of_kind(kind: ProviderKind) -> Self {
        Self {
            kind,
            base_url: None,
            api_key: None,
            model: None,
            free: None,
        }
    }

    /// Whether calls cost nothing.
    pub fn is_free(&self) -> bool {
        self.free.unwrap_or(matches!(
            self.kind,
            ProviderKind::Ollama | ProviderKind::Scripted
        ))
    }

    fn default_model(&self) -> Option<&str> {
        self.model.as_deref().or(match self.kind {
            ProviderKind::Openai => Some("gpt-5-mini"),
            ProviderKind::Anthropic => Some("claude-sonnet-4-5"),
            ProviderKind::Gemini => Some("gemini-2.5-flash"),
            ProviderKind::Ollama | ProviderKind::Scripted => None,
        })
    }
}

impl Llm {
    /// Adds `scripted` and, unless it is set, the alias `default`.
    pub(super) fn complete(&mut self) {
        self.providers
            .entry("scripted".to_owned())
            .or_insert_with(|| Provider::of_kind(ProviderKind::Scripted));
        if self.models.contains_key("default") {
            return;
        }
        let alias = self
            .providers
            .iter()
            .filter(|(_, provider)| provider.kind != ProviderKind::Scripted)
            .find_map(|(name, provider)| {
                Some(Alias {
                    provider: name.clone(),
                    model: provider.default_model()?.to_owned(),
                })
            })
            .unwrap_or_else(|| Alias {
                provider: "scripted".to_owned(),
                model: "script".to_owned(),
            });
        self.models.insert("default".to_owned(), alias);
    }

    pub(super) fn check(&self) -> Result<()> {
        for (name, alias) in &self.models {
            if !self.providers.contains_key(&alias.provider) {
                bail!(
                    "[llm.models.{name}] names the provider {:?}, but there is no [llm.providers.{}]",
                    alias.provider,
                    alias.provider
                );
            }
        }
        Ok(())
    }
}
