//! Which models a host has, in words.

use crate::config::{Llm, ProviderKind};

/// What to do to get answers from a model.
pub(super) const PLUG_IN: &str = "\
`scripted` is not a model: it answers from a script, so that everything runs offline.
To plug in a model, set OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY
(and OPENAI_BASE_URL for anything that speaks as OpenAI does), or [llm] in
anchorhold.toml, and start the host again.";

/// Every alias and what it stands for, as `alias -> provider/model`.
pub(super) fn lines(llm: &Llm) -> Vec<String> {
    let line = |(alias, target): (&String, &crate::config::Alias)| {
        format!("{alias} -> {}/{}", target.provider, target.model)
    };
    llm.models.iter().map(line).collect()
}

/// Whether no alias stands for a model.
pub(super) fn only_scripted(llm: &Llm) -> bool {
    llm.models.values().all(|alias| {
        let provider = llm.providers.get(&alias.provider);
        provider.is_some_and(|provider| provider.kind == ProviderKind::Scripted)
    })
}
