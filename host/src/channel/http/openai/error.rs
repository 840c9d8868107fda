//! Errors in OpenAI's shape.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::super::named::of_turn;
use super::super::{Code, Problem};
use crate::runtime::{Failure, FailureCode};

/// An error as clients of OpenAI's API read it.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: String,
    message: String,
    /// The field of the request that is wrong.
    param: Option<&'static str>,
    retry_after_s: Option<u32>,
    turn: Option<String>,
}

impl ApiError {
    /// A request that cannot be carried out, because of one of its fields.
    pub(super) fn invalid(param: &'static str, message: impl Into<String>) -> Self {
        let problem = Problem::new(Code::InvalidRequest, message);
        Self {
            param: Some(param),
            ..problem.into()
        }
    }

    pub(super) fn no_model(agent: &str) -> Self {
        let message =
            format!("there is no agent {agent:?} that answers; GET /v1/models lists them");
        Self {
            code: "model_not_found".to_owned(),
            param: Some("model"),
            ..Problem::new(Code::NotFound, message).into()
        }
    }

    pub(super) fn of_failure(turn: &str, failure: &Failure) -> Self {
        let error = Self::from(Problem::of_failure(turn, failure));
        match failure.code {
            FailureCode::BudgetExceeded => Self {
                code: "insufficient_quota".to_owned(),
                ..error
            },
            _ => error,
        }
    }

    /// A turn that waits for a person, which a request does not.
    pub(super) fn waits(turn: &str) -> Self {
        let message = format!(
            "the agent asked a person and waits; the answer will be in turn {turn}: GET /api/v1/turns/{turn}, POST /api/v1/turns/{turn}/answer"
        );
        Self {
            code: "turn_waiting".to_owned(),
            turn: Some(turn.to_owned()),
            ..Problem::new(Code::Conflict, message).into()
        }
    }

    /// The `error` object.
    pub(super) fn body(&self) -> Value {
        json!({
            "message": self.message, "type": self.kind(), "param": self.param, "code": self.code,
        })
    }

    fn kind(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            429 if self.code == "insufficient_quota" => "insufficient_quota",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        }
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        let status = problem.status();
        Self {
            status,
            code: match status {
                StatusCode::UNAUTHORIZED => "invalid_api_key".to_owned(),
                _ => problem.code().replace('-', "_"),
            },
            message: problem.detail().to_owned(),
            param: None,
            retry_after_s: problem.retry_after_s(),
            turn: problem.turn().map(str::to_owned),
        }
    }
}

impl From<anyhow::Error> for ApiError {
    fn from(error: anyhow::Error) -> Self {
        Problem::from(error).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.body() }));
        let mut response = (self.status, body).into_response();
        if let Some(seconds) = self.retry_after_s {
            let seconds = HeaderValue::from(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        match &self.turn {
            Some(turn) => of_turn(turn, response),
            None => response,
        }
    }
}
