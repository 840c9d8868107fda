//! Request bodies: how large they may be and how long they may take.

use std::error::Error;
use std::iter::successors;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::{Instant, timeout_at};

use super::{Code, Problem};

/// The slowest that a large body may come, in bytes a second.
const LEAST_RATE: f64 = 16_384.0;

/// A client that took too long.
#[derive(Debug, thiserror::Error)]
#[error("the body did not come in time")]
struct Late;

/// A body that ends with an error unless it comes within `patience`, and the
/// more of it came, the longer: a client that sends a byte now and then holds
/// nothing open, and a slow line still carries a large body.
pub(super) fn in_time(body: Body, patience: Duration) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let begun = (body.into_data_stream(), Instant::now() + patience);
    Body::from_stream(stream::unfold(Some(begun), async |state| {
        let (mut body, deadline) = state?;
        match timeout_at(deadline, body.next()).await {
            Ok(Some(Ok(bytes))) => {
                let more = Duration::from_secs_f64(bytes.len() as f64 / LEAST_RATE);
                Some((Ok(bytes), Some((body, deadline + more))))
            }
            Ok(Some(Err(error))) => Some((Err(error), None)),
            Ok(None) => None,
            Err(_) => Some((Err(axum::Error::new(Late)), None)),
        }
    }))
}

/// Reads the whole body of a request; `too_large` is said of one that is larger
/// than `limit`, as soon as that is known.
pub(super) async fn read(
    request: Request,
    limit: usize,
    too_large: &str,
) -> Result<Vec<u8>, Problem> {
    let too_large = || Problem::new(Code::TooLarge, too_large);
    if declared_length(request.headers()).is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut body = request.into_body().into_data_stream();
    let mut whole = Vec::new();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| unread(&error))?;
        if piece.len() > limit - whole.len() {
            return Err(too_large());
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

/// What the client says, which is not to be relied on.
fn declared_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What is answered when a body could not be read to its end.
pub(super) fn unread(error: &(dyn Error + 'static)) -> Problem {
    if successors(Some(error), |&error| error.source()).any(|error| error.is::<Late>()) {
        return Problem::new(
            Code::Timeout,
            "the body did not come in time; [server] read_timeout_ms says how long it may take",
        );
    }
    Problem::new(
        Code::InvalidRequest,
        "the body ended before it was complete",
    )
}
