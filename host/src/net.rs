//! The only clients that reach out over HTTP.

mod address;
mod draft;
mod errors;
mod exchange;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod outbound;
mod resolver;
mod target;
mod vault;

use std::time::Duration;

use anyhow::{Context, Result};

use crate::config::HttpLimits;

pub use outbound::Outbound;

use crate::runtime::bindings::types;
use target::Target;

/// The host that a request is for, if its URL is one that may be asked.
pub fn host_of(url: &str, limits: &HttpLimits) -> Option<String> {
    Some(target::Target::parse(url, limits).ok()?.host)
}

/// How long a host may take to accept a connection of a command.
const API_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Checks an address that something is to be sent to later.
///
/// # Errors
///
/// If nothing may be sent there; the message says why.
pub fn check_address(url: &str, limits: &HttpLimits) -> Result<(), types::Error> {
    Target::parse(url, limits).map(|_| ())
}

/// A client for the operator's own model providers: their addresses come from
/// the configuration, so any address is allowed, but no redirect is followed,
/// because a redirect would carry the key elsewhere.
///
/// # Errors
///
/// If the TLS library cannot start.
pub fn provider_client(connect_timeout: Duration) -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(connect_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("anchorhold/", env!("CARGO_PKG_VERSION")))
        .build()
        .context("cannot make an HTTP client")
}

/// A client for a host's own API, which the commands of this program use. No
/// redirect is followed and no proxy asked: both would see the token.
///
/// # Errors
///
/// If the TLS library cannot start.
pub fn api_client() -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(API_CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("anchorhold/", env!("CARGO_PKG_VERSION")))
        .build()
        .context("cannot make an HTTP client")
}

#[cfg(test)]
mod tests;
