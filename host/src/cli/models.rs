//! Which models a host has, in words.

use serde_json::Value;

use super::client::Client;
use super::wire::read;
use crate::channel::http::views::ModelView;
use crate::config::{Alias, Llm, ProviderKind};

/// What to do to get answers from a model.
pub(super) const PLUG_IN: &str = "\
`scripted` is not a model: it answers from a script, so that everything runs offline.
To plug in a model, set OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY
(OPENAI_BASE_URL for anything that speaks as OpenAI does, with a key or without),
or [llm] in anchorhold.toml, and start the host again.";

/// Every alias and what it stands for, as `alias -> provider/model`.
pub(super) fn lines(llm: &Llm) -> Vec<String> {
    let line = |(alias, target): (&String, &Alias)| {
        let candidates = target.candidates.iter();
        let names = candidates.map(|one| format!("{}/{}", one.provider, one.model));
        format!("{alias} -> {}", names.collect::<Vec<_>>().join(" or "))
    };
    llm.models.iter().map(line).collect()
}

/// Whether no alias stands for a model.
pub(super) fn only_scripted(llm: &Llm) -> bool {
    let mut candidates = llm.models.values().flat_map(|alias| &alias.candidates);
    candidates.all(|candidate| {
        let provider = llm.providers.get(&candidate.provider);
        provider.is_some_and(|provider| provider.kind == ProviderKind::Scripted)
    })
}

/// Whether a host that runs has no alias that stands for a model. One that does not say, because
/// it is older or the token may not ask, is taken at its best.
pub(super) async fn are_scripted(client: &Client) -> bool {
    let status: anyhow::Result<Value> = client.get(&["status"], &[]).await;
    status.is_ok_and(|status| all_scripted(&status))
}

fn all_scripted(status: &Value) -> bool {
    let models: Vec<ModelView> = read(&status["models"]).unwrap_or_default();
    let mut kinds = models.iter().map(|model| model.kind);
    !models.is_empty() && kinds.all(|kind| kind == ProviderKind::Scripted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_host_has_models_unless_it_says_that_it_has_none() {
        let model = |kind: &str| json!({"alias": "a", "provider": "p", "kind": kind, "model": "m"});
        for (models, expected) in [
            (json!([model("scripted")]), true),
            (json!([model("scripted"), model("openai")]), false),
            (json!([model("of-tomorrow")]), false),
            (json!([]), false),
            (json!(null), false),
        ] {
            let status = json!({"version": "0.1.0", "models": models});
            assert_eq!(all_scripted(&status), expected, "{status}");
        }
    }
}
