//! What went wrong upstream, in the contract's words. The sentence is ours; what the provider
//! wrote goes, cut and without keys, beside it.

use genai::webc::{self, StreamTimeout};
use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use wire::ErrorKind;

use crate::llm::failure;
use crate::runtime::bindings::llm as wire;

/// Whose failure it is.
pub(super) struct Context<'a> {
    pub(super) provider: &'a str,
    pub(super) alias: &'a str,
    pub(super) key: Option<&'a SecretString>,
}

/// What OpenAI and Anthropic, Gemini, and Bedrock say within an answer when they are asked too
/// often.
const RATE_WORDS: [&str; 3] = ["rate_limit", "resource_exhausted", "too many requests"];

/// Characters of the provider's own words that are passed on.
const MOST_DETAIL: usize = 500;

pub(super) fn of(error: genai::Error, context: &Context<'_>) -> wire::Error {
    use genai::Error;
    match error {
        Error::HttpError {
            status,
            body,
            headers,
            ..
        } => context.status(status.as_u16(), &body, &headers),
        Error::WebModelCall { webc_error, .. } | Error::WebAdapterCall { webc_error, .. } => {
            of_call(webc_error, context)
        }
        Error::WebStream { error, .. } => of_stream(error, context),
        Error::ChatResponse { body, .. } => context.event(&body),
        Error::StreamParse { .. } | Error::InvalidJsonResponseElement { .. } => {
            context.broken("it sent something that its protocol does not know")
        }
        Error::AdapterNotSupported { feature, .. } => failure(
            ErrorKind::Unsupported,
            format!(
                "the provider {} does not support {feature}",
                context.provider
            ),
        ),
        Error::JsonValueExt(_)
        | Error::SerdeJson(_)
        | Error::NoChatResponse { .. }
        | Error::ChatResponseGeneration { .. } => {
            context.broken("its answer is not the JSON that its protocol asks for")
        }
        // The text of the others may contain the request.
        _ => failure(
            ErrorKind::InvalidRequest,
            format!(
                "the request cannot be put in the words of {}",
                context.provider
            ),
        ),
    }
}

fn of_call(error: webc::Error, context: &Context<'_>) -> wire::Error {
    match error {
        webc::Error::ResponseFailedStatus {
            status,
            body,
            headers,
        } => context.status(status.as_u16(), &body, &headers),
        webc::Error::Reqwest(error) => context.transport(&error),
        webc::Error::ResponseFailedNotJson { .. } => {
            context.broken("its answer is not JSON; is its base_url right?")
        }
        webc::Error::ResponseFailedInvalidJson { .. } | webc::Error::JsonValueExt(_) => {
            context.broken("its answer is not the JSON that its protocol asks for")
        }
    }
}

/// A refused stream arrives as its first item, with the real error inside.
fn of_stream(error: genai::BoxError, context: &Context<'_>) -> wire::Error {
    let error = match error.downcast::<genai::Error>() {
        Ok(error) => return of(*error, context),
        Err(error) => error,
    };
    if let Some(timeout) = error.downcast_ref::<StreamTimeout>() {
        let what = match timeout {
            StreamTimeout::Headers => "did not begin to answer within [llm] header_timeout_ms",
            StreamTimeout::Read => "was silent for longer than [llm] read_timeout_ms",
        };
        return failure(
            ErrorKind::TimedOut,
            format!("the provider {} {what}", context.provider),
        );
    }
    match error.downcast_ref::<reqwest::Error>() {
        Some(error) => context.transport(error),
        None => context.broken("it sent something that cannot be read"),
    }
}

impl Context<'_> {
    fn status(&self, status: u16, body: &str, headers: &HeaderMap) -> wire::Error {
        let kind = kind_of_status(status, &body.to_lowercase());
        wire::Error {
            retry_after_ms: retry_after(headers, body),
            http_status: Some(status),
            detail_json: Some(self.detail(Some(status), body)),
            ..failure(
                kind,
                self.sentence(kind, &format!("answered with status {status}")),
            )
        }
    }

    /// An error that a provider sends within its stream.
    pub(super) fn event(&self, body: &Value) -> wire::Error {
        let text = body.to_string();
        let lower = text.to_lowercase();
        let kind = if lower.contains("overloaded") {
            ErrorKind::Overloaded
        } else if RATE_WORDS.iter().any(|word| lower.contains(word)) {
            ErrorKind::RateLimited
        } else if body.get("usageMetadata").is_some_and(Value::is_null) {
            // So genai says that Gemini answered without candidates: it blocked the prompt.
            ErrorKind::ContentFiltered
        } else {
            kind_of_body(&lower).unwrap_or(ErrorKind::Upstream)
        };
        wire::Error {
            detail_json: Some(self.detail(None, &text)),
            ..failure(
                kind,
                self.sentence(kind, "reported an error within its answer"),
            )
        }
    }

    /// Never the error's own text: it may contain the address.
    fn transport(&self, error: &reqwest::Error) -> wire::Error {
        let (kind, what) = if error.is_timeout() {
            (ErrorKind::TimedOut, "took too long to be reached")
        } else if error.is_connect() {
            (ErrorKind::Connection, "cannot be reached")
        } else if error.is_builder() {
            (
                ErrorKind::Internal,
                "has a base_url or key that cannot be sent",
            )
        } else {
            (ErrorKind::Connection, "closed the connection")
        };
        let cause = self.scrub(&root_cause(error));
        wire::Error {
            detail_json: Some(json!({"cause": cause}).to_string()),
            ..failure(kind, format!("the provider {} {what}", self.provider))
        }
    }

    fn sentence(&self, kind: ErrorKind, what: &str) -> String {
        let provider = self.provider;
        let hint = match kind {
            ErrorKind::Unauthenticated => {
                format!("; the operator should look at api_key of [llm.providers.{provider}]")
            }
            ErrorKind::ModelNotFound => format!(
                "; the operator should look at model of [llm.models.{}] and base_url of [llm.providers.{provider}]",
                self.alias
            ),
            ErrorKind::ContextLength => "; the prompt is too long for this model".to_owned(),
            ErrorKind::ContentFiltered => "; it blocks this content".to_owned(),
            ErrorKind::BudgetExceeded => "; the operator's account there is used up".to_owned(),
            _ => String::new(),
        };
        format!("the provider {provider} {what}{hint}")
    }

    fn detail(&self, status: Option<u16>, body: &str) -> String {
        let body: String = self.scrub(body).chars().take(MOST_DETAIL).collect();
        json!({"status": status, "body": body}).to_string()
    }

    /// Providers like to quote the key that they refuse.
    fn scrub(&self, text: &str) -> String {
        let key = self.key.map(|key| key.expose_secret()).unwrap_or_default();
        let text = match key {
            "" => text.to_owned(),
            key => text.replace(key, "[key]"),
        };
        ["sk-", "AIza", "Bearer "]
            .iter()
            .fold(text, |text, start| without_words(&text, start))
    }
}

/// Replaces what looks like a key by its beginning.
fn without_words(text: &str, start: &str) -> String {
    let mut pieces = text.split(start);
    let mut clean = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let of_key = |c: char| c.is_ascii_alphanumeric() || "-_.*".contains(c);
        clean.push_str(start);
        clean.push_str("[key]");
        clean.push_str(piece.trim_start_matches(of_key));
    }
    clean
}

fn kind_of_status(status: u16, body: &str) -> ErrorKind {
    match status {
        400 | 413 | 422 => kind_of_body(body).unwrap_or(ErrorKind::InvalidRequest),
        401 => ErrorKind::Unauthenticated,
        402 => ErrorKind::BudgetExceeded,
        // Bedrock's answer to a wrong key.
        403 if body.contains("authentication failed") => ErrorKind::Unauthenticated,
        403 => ErrorKind::Denied,
        404 => ErrorKind::ModelNotFound,
        408 | 504 => ErrorKind::TimedOut,
        429 if body.contains("insufficient_quota") => ErrorKind::BudgetExceeded,
        429 => ErrorKind::RateLimited,
        503 | 529 => ErrorKind::Overloaded,
        // A model of Bedrock's failed.
        424 => ErrorKind::Upstream,
        405..=499 => ErrorKind::InvalidRequest,
        _ => ErrorKind::Upstream,
    }
}

/// Providers put very different things into one status; these words tell them apart.
fn kind_of_body(body: &str) -> Option<ErrorKind> {
    let words: [(&[&str], ErrorKind); 6] = [
        (
            &[
                "context_length",
                "maximum context",
                "context window",
                "prompt is too long",
                "input token count",
                "input is too long",
            ],
            ErrorKind::ContextLength,
        ),
        (
            &["content_filter", "content_policy", "content management"],
            ErrorKind::ContentFiltered,
        ),
        (
            &["api key not valid", "api_key_invalid", "invalid api key"],
            ErrorKind::Unauthenticated,
        ),
        (
            &["credit balance", "insufficient_quota"],
            ErrorKind::BudgetExceeded,
        ),
        (
            &[
                "model_not_found",
                "unknown model",
                "model identifier is invalid",
            ],
            ErrorKind::ModelNotFound,
        ),
        (
            &[
                "unsupported_parameter",
                "unsupported_value",
                "not supported",
                "does not support",
            ],
            ErrorKind::Unsupported,
        ),
    ];
    let found = words
        .iter()
        .find(|(words, _)| words.iter().any(|word| body.contains(word)));
    found.map(|(_, kind)| *kind)
}

/// When to come back: the headers of OpenAI and Anthropic, or Gemini's `retryDelay`.
fn retry_after(headers: &HeaderMap, body: &str) -> Option<u64> {
    let header = |name| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let ms = header("retry-after-ms")
        .or_else(|| header("retry-after").map(|seconds| seconds * 1000.0))
        .or_else(|| {
            let (_, rest) = body.split_once("\"retryDelay\"")?;
            let (seconds, _) = rest.trim_start_matches([':', ' ', '"']).split_once('s')?;
            seconds.parse::<f64>().ok().map(|seconds| seconds * 1000.0)
        })?;
    // The cast saturates; a day is more than anybody should wait for.
    (ms >= 0.0).then_some((ms as u64).min(86_400_000))
}

fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    // The outermost error names the address, inner ones do not.
    if std::ptr::addr_eq(cause, std::ptr::from_ref(error)) {
        return "unknown".to_owned();
    }
    cause.to_string()
}
