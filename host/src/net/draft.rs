//! A request as the agent wrote it, checked, with its placeholders still in it:
//! it is filled in again for each host that it goes to.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};

use super::errors::{denied, invalid, limit};
use super::target::Target;
use super::vault::{Allowed, Used, Vault};
use crate::config::HttpLimits;
use crate::runtime::bindings::http;
use crate::runtime::bindings::types::Error;

const HEADERS: usize = 100;
const HEADER_BYTES: usize = 32 << 10;

/// Headers of the connection, which is the host's.
const OF_THE_HOST: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers that say who asks, and therefore stay with whom they were meant for.
const PERSONAL: [&str; 9] = [
    "authorization",
    "api-key",
    "cookie",
    "x-access-token",
    "x-api-key",
    "x-api-token",
    "x-auth-token",
    "x-csrf-token",
    "x-goog-api-key",
];

/// Headers that describe a body.
const OF_BODY: [&str; 6] = [
    "content-encoding",
    "content-language",
    "content-location",
    "content-type",
    "content-md5",
    "digest",
];

pub(super) struct Draft {
    method: Method,
    headers: Vec<(HeaderName, String)>,
    body: Option<Vec<u8>>,
}

/// A request with its secrets in it, for one host.
pub(super) struct Filled {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Vec<u8>>,
}

impl Draft {
    pub(super) fn new(request: http::Request, limits: &HttpLimits) -> Result<Self, Error> {
        let body = request.body;
        let size = body.as_ref().map_or(0, Vec::len);
        if size as u64 > limits.request_bytes {
            return Err(limit(format!(
                "the body is over {} bytes, see `[limits.http] request_bytes`",
                limits.request_bytes
            )));
        }
        Ok(Self {
            method: method(&request.method)?,
            headers: headers(request.headers)?,
            body,
        })
    }

    /// Fills in the secrets for `target`.
    pub(super) fn fill(
        &self,
        vault: &Vault,
        target: &Target,
        allowed: Allowed<'_>,
        used: &mut Used,
    ) -> Result<Filled, Error> {
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            let secret = Vault::is_in(value.as_bytes());
            let bytes = vault.fill(value.as_bytes(), target, allowed, used)?;
            let mut value = HeaderValue::from_bytes(&bytes)
                .map_err(|_| invalid(format!("the value of the header `{name}` is malformed")))?;
            value.set_sensitive(secret);
            headers.append(name, value);
        }
        let body = self
            .body
            .as_ref()
            .map(|body| vault.fill(body, target, allowed, used))
            .transpose()?;
        Ok(Filled {
            method: self.method.clone(),
            headers,
            body,
        })
    }

    /// What is left of the request after a redirect (RFC 9110, 15.4).
    pub(super) fn redirect(&mut self, status: StatusCode, from: &Target, to: &Target) {
        let becomes_get = match status {
            StatusCode::SEE_OTHER => self.method != Method::HEAD,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.body = None;
            self.headers
                .retain(|(name, _)| !OF_BODY.contains(&name.as_str()));
        }
        if !from.same_origin(to) {
            self.headers
                .retain(|(name, _)| !PERSONAL.contains(&name.as_str()));
        }
    }

    /// Leaves out headers whose secrets the new target may not see. A body is
    /// not sent in part: its secrets are refused when it is filled in.
    pub(super) fn drop_headers_unless(
        &mut self,
        vault: &Vault,
        target: &Target,
        allowed: Allowed<'_>,
    ) {
        self.headers.retain(|(_, value)| {
            vault
                .fill(value.as_bytes(), target, allowed, &mut Used::new())
                .is_ok()
        });
    }
}

fn method(name: &str) -> Result<Method, Error> {
    let well_formed = (1..=20).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    if !well_formed {
        return Err(invalid("a method is in upper case, for example `GET`"));
    }
    match name {
        "CONNECT" | "TRACE" => Err(denied(format!("{name} is not available to agents"))),
        name => Method::from_bytes(name.as_bytes()).map_err(|_| invalid("not a method")),
    }
}

fn headers(given: Vec<(String, String)>) -> Result<Vec<(HeaderName, String)>, Error> {
    let bytes: usize = given
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if given.len() > HEADERS || bytes > HEADER_BYTES {
        return Err(limit(format!(
            "a request has at most {HEADERS} headers of together {HEADER_BYTES} bytes"
        )));
    }
    given
        .into_iter()
        .map(|(name, value)| Ok((header_name(&name)?, value)))
        .collect()
}

fn header_name(name: &str) -> Result<HeaderName, Error> {
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| invalid("the name of a header is malformed"))?;
    if OF_THE_HOST.contains(&name.as_str()) {
        return Err(invalid(format!(
            "the header `{name}` belongs to the connection, which the host makes"
        )));
    }
    Ok(name)
}
