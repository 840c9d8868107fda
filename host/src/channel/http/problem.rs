//! Errors of the API: problem documents (RFC 9457) with a `code` to decide on.

use std::error::Error;
use std::iter::successors;

use axum::Json;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::body::unread;
use super::named::of_turn;
use crate::runtime::{Failure, FailureCode};

const TOO_LARGE: &str = "the body is larger than [server] max_body_bytes";

/// What went wrong, for programs. A failed turn has the code of its failure
/// instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    InvalidRequest,
    Unauthenticated,
    Forbidden,
    NotFound,
    Conflict,
    TooLarge,
    /// The request did not come in time, or its answer took too long.
    Timeout,
    /// The idempotency key was used with another body.
    IdempotencyMismatch,
    /// A component that this host cannot run.
    InvalidComponent,
    /// An agent answered what HTTP does not have.
    InvalidResponse,
    Busy,
    /// Its sender has sent too much of it lately.
    RateLimited,
    /// The host cannot store anything now.
    Unavailable,
    Internal,
}

impl Code {
    fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::IdempotencyMismatch | Self::InvalidComponent => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Busy | Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::InvalidResponse => StatusCode::BAD_GATEWAY,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// A problem document.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    /// To decide on, for example `not-found` or, for a turn, `out-of-fuel`.
    code: String,
    /// A sentence for people.
    detail: String,
    /// The turn that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    turn: Option<String>,
    #[serde(skip)]
    retry_after_s: Option<u32>,
}

impl Problem {
    /// A problem with the status that its code has.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self::with_status(code.status(), code, detail)
    }

    /// A problem with a status of its own.
    pub fn with_status(status: StatusCode, code: Code, detail: impl Into<String>) -> Self {
        Self::of(status, name(code), detail.into())
    }

    /// A fault of the host: `cause` is logged and not shown.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(error = %format!("{cause:#}"), "a request failed");
        Self::new(
            Code::Internal,
            "the host could not do this; operators find the cause in the log",
        )
    }

    /// The queue is full.
    pub fn busy() -> Self {
        let mut problem = Self::new(Code::Busy, "too many turns are waiting; try again shortly");
        problem.retry_after_s = Some(1);
        problem
    }

    /// The agent answers one message of a conversation at a time.
    pub(super) fn busy_with(turn: &str) -> Self {
        Self::new(
            Code::Conflict,
            "this agent answers one message of a conversation at a time; wait for the answer, or cancel it",
        )
        .about(turn)
    }

    /// Too much of it lately.
    pub fn limited(detail: impl Into<String>, retry_after_ms: u64) -> Self {
        let mut problem = Self::new(Code::RateLimited, detail);
        let seconds = retry_after_ms.div_ceil(1_000);
        problem.retry_after_s = Some(u32::try_from(seconds).unwrap_or(u32::MAX));
        problem
    }

    /// Something that the store did not take in: `cause` is logged.
    pub fn not_taken(cause: &anyhow::Error) -> Self {
        tracing::error!(error = %format!("{cause:#}"), "a message was not stored");
        let mut problem = Self::new(
            Code::Unavailable,
            "the host cannot store this now, so nothing was taken in; send it again later, with the same idempotency-key",
        );
        problem.retry_after_s = Some(5);
        problem
    }

    /// A turn that failed.
    pub fn of_failure(turn: &str, failure: &Failure) -> Self {
        Self::of(
            status_of(failure.code),
            name(failure.code),
            failure.message.clone(),
        )
        .about(turn)
    }

    /// The same, naming the turn.
    pub(super) fn about(self, turn: &str) -> Self {
        Self {
            turn: Some(turn.to_owned()),
            ..self
        }
    }

    /// The status that it is answered with.
    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(super) fn code(&self) -> &str {
        &self.code
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// The turn that it is about.
    pub(super) fn turn(&self) -> Option<&str> {
        self.turn.as_deref()
    }

    pub(super) fn retry_after_s(&self) -> Option<u32> {
        self.retry_after_s
    }

    fn of(status: StatusCode, code: String, detail: String) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self {
            kind: "about:blank",
            title,
            status: status.as_u16(),
            code,
            detail,
            turn: None,
            retry_after_s: None,
        }
    }
}

/// The status that a failed turn is answered with.
fn status_of(code: FailureCode) -> StatusCode {
    match code {
        FailureCode::OutOfFuel
        | FailureCode::MemoryLimit
        | FailureCode::TableLimit
        | FailureCode::StackOverflow
        | FailureCode::HostCallLimit
        | FailureCode::HostCallBytes
        | FailureCode::OutputLimit
        | FailureCode::Trap
        | FailureCode::AgentError => StatusCode::BAD_GATEWAY,
        FailureCode::Deadline => StatusCode::GATEWAY_TIMEOUT,
        FailureCode::Denied => StatusCode::FORBIDDEN,
        FailureCode::Busy | FailureCode::BudgetExceeded => StatusCode::TOO_MANY_REQUESTS,
        FailureCode::AgentUnavailable => StatusCode::NOT_FOUND,
        FailureCode::Cancelled => StatusCode::CONFLICT,
        FailureCode::Interrupted => StatusCode::SERVICE_UNAVAILABLE,
        FailureCode::Diverged | FailureCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The name that a code has on the wire.
fn name(code: impl Serialize) -> String {
    match serde_json::to_value(code) {
        Ok(serde_json::Value::String(name)) => name,
        _ => "internal".to_owned(),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let (retry_after, turn) = (self.retry_after_s, self.turn.clone());
        let unauthenticated = status == StatusCode::UNAUTHORIZED;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        match turn {
            Some(turn) => of_turn(&turn, response),
            None => response,
        }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(Code::TooLarge, TOO_LARGE),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::with_status(
                rejection.status(),
                Code::InvalidRequest,
                "send JSON, with content-type: application/json",
            ),
            _ => match rejection {
                JsonRejection::BytesRejection(rejection) => unread(&rejection),
                rejection => Self::new(
                    Code::InvalidRequest,
                    format!("the body cannot be read: {}", root(&rejection)),
                ),
            },
        }
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(Code::TooLarge, TOO_LARGE),
            _ => unread(&rejection),
        }
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::new(
            Code::InvalidRequest,
            format!("the address cannot be read: {}", root(&rejection)),
        )
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(
            Code::InvalidRequest,
            format!("the query cannot be read: {}", root(&rejection)),
        )
    }
}

/// What was wrong in the first place, without the layers that found it.
fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    successors(Some(error), |&error| error.source())
        .last()
        .unwrap_or(error)
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        Self::internal(format!("{error:#}"))
    }
}
