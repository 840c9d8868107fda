//! One request and its response, without redirects, on the threads that serve
//! sockets.

use reqwest::header::HeaderMap;
use reqwest::{Client, Response, StatusCode};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::draft::Filled;
use super::errors::{self, limit};
use super::target::Target;
use crate::runtime::bindings::types::{Error, ErrorKind};

/// Names and values of a response's headers, together.
const HEADER_BYTES: usize = 64 << 10;

/// A response as it came.
pub(super) struct Raw {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Until when an exchange may last, and how much it may answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) deadline: Instant,
    pub(super) response_bytes: u64,
}

/// Runs one exchange on `io`. It ends when the caller goes away.
pub(super) async fn run(
    io: &Handle,
    client: Client,
    target: &Target,
    filled: Filled,
    bounds: Bounds,
) -> Result<Raw, Error> {
    let host = target.host.clone();
    let url = target.url.clone();
    let task = async move {
        let mut request = client.request(filled.method, url).headers(filled.headers);
        if let Some(body) = filled.body {
            request = request.body(body);
        }
        let exchange = async {
            let response = request
                .send()
                .await
                .map_err(|error| errors::of(&host, &error))?;
            receive(&host, response, bounds.response_bytes).await
        };
        timeout_at(bounds.deadline, exchange)
            .await
            .unwrap_or_else(|_| Err(errors::timed_out(&host)))
    };
    AbortOnDropHandle::new(io.spawn(task))
        .await
        .unwrap_or_else(|_| {
            Err(errors::new(
                ErrorKind::Cancelled,
                "the host stopped the exchange",
            ))
        })
}

async fn receive(host: &str, mut response: Response, most: u64) -> Result<Raw, Error> {
    let headers = std::mem::take(response.headers_mut());
    let size: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if size > HEADER_BYTES {
        return Err(limit(format!(
            "the headers of the response are over {HEADER_BYTES} bytes"
        )));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| errors::of(host, &error))?
    {
        if (body.len() + chunk.len()) as u64 > most {
            return Err(too_long(most));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Raw {
        status: response.status(),
        headers,
        body,
    })
}

pub(super) fn too_long(most: u64) -> Error {
    limit(format!(
        "the response is over {most} bytes, see `[limits.http] response_bytes`"
    ))
}
