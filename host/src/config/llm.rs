//! `[llm]`: model providers and the aliases agents know them by.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

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
    /// How often a call is tried before the first piece of an answer, at whichever candidate; 3 by
    /// default.
    pub attempts: Option<u32>,
    /// Failures in a row after which a model is left alone; 5 by default.
    pub breaker_failures: Option<u32>,
    /// For how long, in milliseconds; five minutes by default.
    pub breaker_ms: Option<u64>,
    /// How long a provider may take to begin an answer, in milliseconds; two minutes by default.
    pub header_timeout_ms: Option<u64>,
    /// How long a provider may pause within an answer, in milliseconds; five minutes by default.
    pub read_timeout_ms: Option<u64>,
    /// Answers that are given again.
    pub cache: LlmCache,
}

/// `[llm.cache]`: how long answers are kept that agents want to have again, and how many.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LlmCache {
    /// Seconds; 0 keeps none.
    pub ttl_s: u64,
    /// Of one tenant; 0 keeps none.
    pub max_entries: u32,
}

impl Default for LlmCache {
    fn default() -> Self {
        Self {
            ttl_s: 86_400,
            max_entries: 10_000,
        }
    }
}

/// The protocol that a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderKind {
    /// OpenAI's chat completions; also anything compatible with them.
    Openai,
    /// OpenAI's responses, and what speaks as they do.
    OpenaiResponses,
    Anthropic,
    Gemini,
    /// Amazon Bedrock's converse, with an API key.
    Bedrock,
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

/// What an alias stands for: one model, or several that share its calls.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WrittenAlias")]
pub struct Alias {
    /// At least one.
    pub candidates: Vec<Candidate>,
}

/// A model at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    pub provider: String,
    pub model: String,
    /// Its share of the calls, compared with the others.
    #[serde(default = "one")]
    pub weight: NonZeroU32,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

/// An alias as it is written: `provider` and `model`, or `candidates`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAlias {
    provider: Option<String>,
    model: Option<String>,
    #[serde(default)]
    candidates: Vec<Candidate>,
}

impl TryFrom<WrittenAlias> for Alias {
    type Error = &'static str;

    fn try_from(written: WrittenAlias) -> Result<Self, Self::Error> {
        match written {
            WrittenAlias {
                provider: Some(provider),
                model: Some(model),
                candidates,
            } if candidates.is_empty() => Ok(Self::one(provider, model)),
            WrittenAlias {
                provider: None,
                model: None,
                candidates,
            } if !candidates.is_empty() => Ok(Self { candidates }),
            _ => Err("an alias has provider and model, or candidates"),
        }
    }
}

impl Alias {
    /// One model.
    pub fn one(provider: String, model: String) -> Self {
        Self {
            candidates: vec![Candidate {
                provider,
                model,
                weight: one(),
            }],
        }
    }
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
            ProviderKind::Openai | ProviderKind::OpenaiResponses => Some("gpt-5-mini"),
            ProviderKind::Anthropic => Some("claude-sonnet-4-5"),
            ProviderKind::Gemini => Some("gemini-2.5-flash"),
            ProviderKind::Bedrock | ProviderKind::Ollama | ProviderKind::Scripted => None,
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
                let model = provider.default_model()?.to_owned();
                Some(Alias::one(name.clone(), model))
            })
            .unwrap_or_else(|| Alias::one("scripted".to_owned(), "script".to_owned()));
        self.models.insert("default".to_owned(), alias);
    }

    pub(super) fn check(&self) -> Result<()> {
        for (name, alias) in &self.models {
            for Candidate { provider, .. } in &alias.candidates {
                if !self.providers.contains_key(provider) {
                    bail!(
                        "[llm.models.{name}] names the provider {provider:?}, but there is no [llm.providers.{provider}]"
                    );
                }
            }
        }
        for (key, zero) in [
            ("attempts", self.attempts == Some(0)),
            ("breaker_failures", self.breaker_failures == Some(0)),
        ] {
            if zero {
                bail!("[llm] {key} is at least 1");
            }
        }
        Ok(())
    }
}
