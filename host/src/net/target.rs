//! Where a request goes: an address that is checked before anything is sent.

use std::net::IpAddr;

use reqwest::Url;

use super::address::is_public;
use super::errors::{denied, invalid, not_public};
use crate::config::HttpLimits;
use crate::runtime::bindings::types::Error;

/// The longest URL.
const URL_BYTES: usize = 16 << 10;

/// A URL that may be asked.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) url: Url,
    /// In lower case, without a final dot; numbers in their usual form.
    pub(super) host: String,
    /// The operator allows private addresses for it.
    pub(super) private: bool,
}

impl Target {
    /// Reads the URL of a request.
    pub(super) fn parse(text: &str, limits: &HttpLimits) -> Result<Self, Error> {
        if text.len() > URL_BYTES {
            return Err(invalid(format!("the URL is over {URL_BYTES} bytes")));
        }
        check_no_secret(text)?;
        let url = Url::parse(text).map_err(|error| invalid(format!("not a URL: {error}")))?;
        // Reading it took out tabs and ends of lines.
        check_no_secret(url.as_str())?;
        Self::of(url, limits)
    }

    /// The target of a redirect from here.
    pub(super) fn join(&self, location: &str, limits: &HttpLimits) -> Result<Self, Error> {
        let url = self
            .url
            .join(location)
            .map_err(|_| invalid("the other side redirected to something that is not a URL"))?;
        Self::of(url, limits)
    }

    fn of(mut url: Url, limits: &HttpLimits) -> Result<Self, Error> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid("a URL begins with https:// or http://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid(
                "a URL may not carry a user or a password; use the header `authorization`",
            ));
        }
        url.set_fragment(None);
        let host = url
            .host_str()
            .map(|host| host.trim_end_matches('.').to_ascii_lowercase())
            .filter(|host| !host.is_empty())
            .ok_or_else(|| invalid("the URL has no host"))?;
        let port = url.port_or_known_default();
        let private = limits
            .allow_private
            .iter()
            .any(|entry| matches_entry(entry, &host, port));
        match number(&host) {
            Some(address) if !private && !is_public(address) => Err(not_public(&host)),
            _ => Ok(Self { url, host, private }),
        }
    }

    pub(super) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Same scheme, host and port: nothing that was meant for one can reach
    /// somebody else at the other.
    pub(super) fn same_origin(&self, other: &Self) -> bool {
        self.url.origin() == other.url.origin()
    }

    /// Secrets travel encrypted, except where the operator names the host.
    pub(super) fn check_for_secrets(&self) -> Result<(), Error> {
        if self.is_https() || self.private {
            Ok(())
        } else {
            Err(denied(format!(
                "secrets are sent over https only, and {} is asked over http",
                self.host
            )))
        }
    }
}

fn check_no_secret(url: &str) -> Result<(), Error> {
    if !url.contains("{{secret:") && !url.contains("%7B%7Bsecret:") {
        return Ok(());
    }
    Err(invalid(
        "a secret may be used in header values and in the body, not in the URL, which others log",
    ))
}

/// The address, if a host of a URL is one. The URL's parser has brought forms
/// such as 2130706433 and 0x7f.1 into the usual one.
fn number(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

/// Whether an entry of `allow_private`, a host with or without a port, means
/// this host and port.
fn matches_entry(entry: &str, host: &str, port: Option<u16>) -> bool {
    let entry = entry.trim().to_ascii_lowercase();
    if same_host(&entry, host) {
        return true;
    }
    entry
        .rsplit_once(':')
        .is_some_and(|(name, number)| same_host(name, host) && number.parse().ok() == port)
}

fn same_host(entry: &str, host: &str) -> bool {
    match (number(entry), number(host)) {
        (Some(entry), Some(host)) => entry == host,
        (None, None) => entry.trim_end_matches('.') == host,
        _ => false,
    }
}

/// Whether a pattern, a host or `*.` and a domain, means this host.
pub(super) fn matches_pattern(pattern: &str, host: &str) -> bool {
    let pattern = pattern.trim().trim_end_matches('.').to_ascii_lowercase();
    match pattern.strip_prefix("*.") {
        Some(domain) => host
            .strip_suffix(domain)
            .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        None => same_host(&pattern, host),
    }
}
