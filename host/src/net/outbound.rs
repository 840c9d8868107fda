//! Requests of agents. Redirects are followed here, by hand, so that every hop
//! is checked like the first: grant, address, secrets.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::{Client, StatusCode};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::draft::Draft;
use super::errors::{denied, limit};
use super::exchange::{self, Bounds, Raw};
use super::resolver::{self, Lookup, Resolver};
use super::target::Target;
use super::vault::{Allowed, Used, Vault};
use crate::config::{HttpLimits, Secret};
use crate::runtime::bindings::http;
use crate::runtime::bindings::types::Error;

/// The most redirects that are followed.
const REDIRECTS: usize = 5;

/// The one way out for agents.
pub struct Outbound {
    vault: Vault,
    io: Handle,
    /// Connects to public addresses.
    public: Client,
    /// Connects to any address, for hosts that the operator names. A client of
    /// its own, so that no connection is shared with the other.
    private: Client,
}

impl Outbound {
    /// A way out whose sockets live on `io`.
    ///
    /// # Errors
    ///
    /// If the TLS library cannot start.
    pub fn new(secrets: BTreeMap<String, Secret>, io: Handle) -> Result<Self> {
        Self::with_lookup(secrets, io, resolver::system())
    }

    pub(super) fn with_lookup(
        secrets: BTreeMap<String, Secret>,
        io: Handle,
        lookup: Lookup,
    ) -> Result<Self> {
        Ok(Self {
            vault: Vault::new(secrets),
            io,
            public: client(lookup.clone(), false)?,
            private: client(lookup, true)?,
        })
    }

    /// Sends a request and answers the response, after redirects.
    ///
    /// `allowed` is asked for every host and `secret_allowed` for every secret,
    /// again for each redirect; the sentence in their `Err` is what the agent
    /// is told.
    ///
    /// # Errors
    ///
    /// As wit/http.wit says; docs/reference/capabilities.md has the list.
    pub async fn send(
        &self,
        request: http::Request,
        limits: &HttpLimits,
        allowed: &(dyn Fn(&str) -> Result<(), String> + Sync),
        secret_allowed: &(dyn Fn(&str) -> Result<(), String> + Sync),
    ) -> Result<http::Response, Error> {
        let most = limits.timeout_ms;
        let time = Duration::from_millis(request.timeout_ms.unwrap_or(most).min(most));
        let bounds = Bounds {
            deadline: Instant::now() + time,
            response_bytes: limits.response_bytes,
        };
        let mut target = Target::parse(&request.url, limits)?;
        allowed(&target.host).map_err(denied)?;
        let mut draft = Draft::new(request, limits)?;
        let mut used = Used::new();
        for _ in 0..=REDIRECTS {
            let raw = self
                .hop(&draft, &target, bounds, secret_allowed, &mut used)
                .await?;
            let Some(location) = location(&raw) else {
                return self.answer(raw, &target, &used, limits);
            };
            let next = target.join(&location, limits)?;
            allowed(&next.host).map_err(denied)?;
            draft.redirect(raw.status, &target, &next);
            draft.drop_headers_unless(&self.vault, &next, secret_allowed);
            target = next;
        }
        Err(limit(format!(
            "the other side redirected more than {REDIRECTS} times"
        )))
    }

    async fn hop(
        &self,
        draft: &Draft,
        target: &Target,
        bounds: Bounds,
        secret_allowed: Allowed<'_>,
        used: &mut Used,
    ) -> Result<Raw, Error> {
        let filled = draft.fill(&self.vault, target, secret_allowed, used)?;
        let client = if target.private {
            &self.private
        } else {
            &self.public
        };
        exchange::run(&self.io, client.clone(), target, filled, bounds).await
    }

    /// The response as the agent sees it, without the values of secrets.
    fn answer(
        &self,
        raw: Raw,
        target: &Target,
        used: &Used,
        limits: &HttpLimits,
    ) -> Result<http::Response, Error> {
        let headers = raw
            .headers
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes());
                let name = self.vault.mask_text(name.as_str(), used);
                (name, self.vault.mask_text(&value, used))
            })
            .collect();
        let body = self.vault.mask(raw.body, used);
        // A placeholder may be longer than the value that it stands for.
        if body.len() as u64 > limits.response_bytes {
            return Err(exchange::too_long(limits.response_bytes));
        }
        Ok(http::Response {
            status: raw.status.as_u16(),
            headers,
            body,
            url: self.vault.mask_text(target.url.as_str(), used),
        })
    }
}

/// Where a response sends us on to, if it does.
fn location(raw: &Raw) -> Option<String> {
    let redirects = matches!(
        raw.status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    if !redirects {
        return None;
    }
    let location = raw.headers.get("location")?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

/// Without a proxy of the environment, which would connect on our behalf to
/// what we refuse.
fn client(lookup: Lookup, any: bool) -> Result<Client> {
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .dns_resolver(Resolver { lookup, any })
        .user_agent(concat!("anchorhold/", env!("CARGO_PKG_VERSION")))
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(8)
        .http2_max_header_list_size(64 << 10)
        .build()
        .context("cannot make an HTTP client")
}
