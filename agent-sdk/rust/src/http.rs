//! Requests to the outside, where the grant allows the host.

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::bindings::imports::anchorhold::agent::http::{Request, Response};
use crate::window::http as host;
use crate::{Error, Result};

/// A GET request; [`Request::send`] sends it.
pub fn get(url: impl Into<String>) -> Request {
    Request::new("GET", url)
}

/// A POST request; [`Request::send`] sends it.
pub fn post(url: impl Into<String>) -> Request {
    Request::new("POST", url)
}

impl Request {
    /// A request without headers or body.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: None,
            timeout_ms: None,
        }
    }

    /// Adds a header. `{{secret:NAME}}` in its value is filled in by the host.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sets the body and its content type.
    pub fn json(self, value: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_vec(value)?;
        Ok(self.header("content-type", "application/json").body(body))
    }

    /// Bounds the whole exchange.
    pub fn timeout_ms(mut self, timeout_ms: u64) -> Self {
        self.timeout_ms = Some(timeout_ms);
        self
    }

    /// Sends it. Any status of the other side is a response.
    pub fn send(&self) -> Result<Response> {
        host::send(self)
    }
}

impl Response {
    /// This response, or an error that names its status unless that is 2xx.
    pub fn error_for_status(self) -> Result<Self> {
        match self.status {
            200..=299 => Ok(self),
            status => Err(Error::unavailable(format!(
                "{} answered {status}",
                self.url
            ))),
        }
    }

    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The body as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body read as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

/// The first header of this name.
pub(crate) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str())
}
