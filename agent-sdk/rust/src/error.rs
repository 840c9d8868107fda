//! Making the [`Error`] that an agent answers with, from whatever went wrong.

use std::fmt;

use crate::{Error, ErrorKind, llm};

impl Error {
    /// An error of this kind, which trying again would not cure.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retryable: false,
            retry_after_ms: None,
            detail_json: None,
        }
    }

    /// What came in is malformed.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// What was asked for does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// The other side cannot be reached now; the same may succeed later.
    pub fn unavailable(message: impl Into<String>) -> Self {
        let retryable = true;
        Self {
            retryable,
            ..Self::new(ErrorKind::Unavailable, message)
        }
    }
}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Self::new(ErrorKind::Internal, message)
    }
}

impl From<&str> for Error {
    fn from(message: &str) -> Self {
        Self::new(ErrorKind::Internal, message)
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::invalid_input(format!("JSON: {error}"))
    }
}

impl From<llm::Error> for Error {
    fn from(error: llm::Error) -> Self {
        Self {
            kind: coarse(error.kind),
            message: error.message,
            retryable: error.retry != llm::RetryClass::Never,
            retry_after_ms: error.retry_after_ms,
            detail_json: error.detail_json,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name_in_contract(&format!("{self:?}")))
    }
}

impl fmt::Display for llm::ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name_in_contract(&format!("{self:?}")))
    }
}

/// `ErrorKind::InvalidInput` is `invalid-input` in the contract.
fn name_in_contract(debug: &str) -> String {
    let case = debug.rsplit("::").next().unwrap_or(debug);
    let mut name = String::with_capacity(case.len() + 2);
    for letter in case.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// The kind an agent reports when a model call failed in this way.
fn coarse(kind: llm::ErrorKind) -> ErrorKind {
    use llm::ErrorKind as Model;
    match kind {
        Model::InvalidRequest
        | Model::Unsupported
        | Model::ContextLength
        | Model::ContentFiltered
        | Model::SchemaMismatch => ErrorKind::InvalidInput,
        Model::Denied | Model::Unauthenticated => ErrorKind::Denied,
        Model::ModelNotFound => ErrorKind::NotFound,
        Model::BudgetExceeded => ErrorKind::BudgetExceeded,
        Model::TimedOut => ErrorKind::TimedOut,
        Model::Cancelled => ErrorKind::Cancelled,
        Model::RateLimited
        | Model::Overloaded
        | Model::Connection
        | Model::StreamInterrupted
        | Model::Upstream => ErrorKind::Unavailable,
        Model::Internal => ErrorKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use crate::{ErrorKind, Result, llm};

    fn question_marks(stage: &str) -> Result<()> {
        match stage {
            "json" => Ok(serde_json::from_str("{")?),
            "text" => Err("no tea left")?,
            _ => Err(llm::Error::new(llm::ErrorKind::Overloaded, "busy"))?,
        }
    }

    #[test]
    fn kinds_have_the_names_of_the_contract() {
        assert_eq!(ErrorKind::InvalidInput.to_string(), "invalid-input");
        assert_eq!(
            llm::ErrorKind::StreamInterrupted.to_string(),
            "stream-interrupted"
        );
    }

    #[test]
    fn question_mark_makes_an_error_of_what_agents_meet() {
        assert_eq!(
            question_marks("json").unwrap_err().kind,
            ErrorKind::InvalidInput
        );
        assert_eq!(question_marks("text").unwrap_err().message, "no tea left");
        assert_eq!(
            question_marks("model").unwrap_err().kind,
            ErrorKind::Unavailable
        );
    }
}
