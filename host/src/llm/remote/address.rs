//! Base addresses as operators write them: with or without a slash or a version at the end.

use anyhow::{Context, Result, bail, ensure};
use reqwest::Url;

use super::Wire;

/// The address to which genai appends the path of a call. It ends with a slash.
pub(super) fn base(wire: Wire, configured: Option<&str>) -> Result<String> {
    let own = match wire {
        Wire::Openai | Wire::OpenaiResponses => "https://api.openai.com/v1",
        Wire::Anthropic => "https://api.anthropic.com/v1",
        Wire::Gemini => "https://generativelanguage.googleapis.com/v1beta",
        // Never the region that genai would take from the environment.
        Wire::Bedrock => "",
        Wire::Ollama => "http://localhost:11434",
    };
    let text = configured.unwrap_or(own);
    ensure!(
        !text.is_empty() || wire != Wire::Bedrock,
        "Bedrock has an address for each region: set base_url, for example to \
         https://bedrock-runtime.us-east-1.amazonaws.com"
    );
    let mut url = Url::parse(text.trim()).context("base_url is not a URL")?;
    ensure!(
        matches!(url.scheme(), "http" | "https") && url.has_host(),
        "base_url must begin with http:// or https://"
    );
    if url.query().is_some() && !matches!(wire, Wire::Openai | Wire::OpenaiResponses) {
        bail!("base_url must not have a query");
    }
    url.set_fragment(None);
    url.set_path(&path(wire, url.path()));
    Ok(url.into())
}

/// The address of one call, for those that do not go through genai's own joining.
pub(super) fn join(base: &str, path: &str) -> Result<String> {
    let base = Url::parse(base)?;
    let mut url = base.join(path)?;
    url.set_query(base.query());
    Ok(url.into())
}

fn path(wire: Wire, path: &str) -> String {
    let path = path.trim_end_matches('/');
    let path = match wire {
        Wire::Openai => path.trim_end_matches("/chat/completions"),
        Wire::OpenaiResponses => path.trim_end_matches("/responses"),
        Wire::Anthropic => path.trim_end_matches("/messages"),
        Wire::Gemini | Wire::Bedrock => path,
        Wire::Ollama => path.trim_end_matches("/v1").trim_end_matches("/api"),
    };
    let last = path.rsplit('/').next().unwrap_or_default();
    let version = match wire {
        Wire::Openai | Wire::OpenaiResponses if path.is_empty() => "/v1",
        Wire::Anthropic if last != "v1" => "/v1",
        Wire::Gemini if !last.starts_with("v1") => "/v1beta",
        _ => "",
    };
    format!("{path}{version}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_people_write_them() {
        let cases = [
            (Wire::Openai, "http://h:1", "http://h:1/v1/"),
            (Wire::Openai, "http://h:1/", "http://h:1/v1/"),
            (Wire::Openai, "http://h:1/v1", "http://h:1/v1/"),
            (Wire::Openai, "http://h:1/v1/", "http://h:1/v1/"),
            (Wire::Openai, "https://h/api/v1//", "https://h/api/v1/"),
            (
                Wire::Openai,
                "https://h/v1/chat/completions",
                "https://h/v1/",
            ),
            (
                Wire::Openai,
                "https://h/openai?api-version=1",
                "https://h/openai/?api-version=1",
            ),
            (Wire::OpenaiResponses, "http://h", "http://h/v1/"),
            (
                Wire::OpenaiResponses,
                "https://h/v1/responses?a=1",
                "https://h/v1/?a=1",
            ),
            (Wire::Anthropic, "https://h", "https://h/v1/"),
            (Wire::Anthropic, "https://h/v1/", "https://h/v1/"),
            (
                Wire::Anthropic,
                "https://h/anthropic",
                "https://h/anthropic/v1/",
            ),
            (Wire::Gemini, "https://h", "https://h/v1beta/"),
            (Wire::Gemini, "https://h/v1", "https://h/v1/"),
            (Wire::Bedrock, "https://h", "https://h/"),
            (Wire::Bedrock, "https://h/proxy/", "https://h/proxy/"),
            (Wire::Ollama, "http://h:11434/v1", "http://h:11434/"),
            (Wire::Ollama, "http://h:11434/api/", "http://h:11434/"),
            (Wire::Ollama, "http://h:11434", "http://h:11434/"),
        ];
        for (wire, text, wanted) in cases {
            assert_eq!(base(wire, Some(text)).unwrap(), wanted, "{wire:?} {text}");
        }
        assert_eq!(
            join("https://h/openai/?a=1", "embeddings").unwrap(),
            "https://h/openai/embeddings?a=1"
        );
        for bad in ["h:1", "ftp://h", "", "file:///x"] {
            assert!(base(Wire::Openai, Some(bad)).is_err(), "{bad}");
        }
    }
}
