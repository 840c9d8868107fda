//! The header by which an answer names the turn that it belongs to.

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

const TURN: HeaderName = HeaderName::from_static("anchorhold-turn");

/// The answer of a turn, naming it.
pub(super) fn of_turn(turn: &str, mut response: Response) -> Response {
    if let Ok(turn) = HeaderValue::from_str(turn) {
        response.headers_mut().insert(TURN, turn);
    }
    response
}
