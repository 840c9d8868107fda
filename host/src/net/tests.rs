//! Outbound requests, against a server on this machine's loopback. Nothing is
//! sent anywhere else.

mod addresses;
mod bounds;
mod redirects;
mod secrets;
mod server;
mod targets;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use secrecy::SecretString;

use super::Outbound;
use crate::config::{HttpLimits, Secret};
use crate::runtime::bindings::http::{Request, Response};
use crate::runtime::bindings::types::{Error, ErrorKind};

const SECRET: &str = "s3cr3t-value-of-the-operator";

/// One agent's way out.
struct Agent {
    outbound: Outbound,
    limits: HttpLimits,
    hosts: Vec<&'static str>,
    secrets: Vec<&'static str>,
}

impl Agent {
    /// May ask 127.0.0.1, with the secret `key`, which is approved for it.
    fn new() -> Self {
        let secret = |name: &str, value: &str, hosts: &[&str]| {
            let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
            let value = Some(SecretString::from(value));
            let env = None;
            (name.to_owned(), Secret { value, env, hosts })
        };
        let secrets = BTreeMap::from([
            secret("key", SECRET, &["127.0.0.1", "*.example.com"]),
            secret("elsewhere", "e1sewhere-value", &["api.example.com"]),
        ]);
        Self {
            outbound: Outbound::with_lookup(secrets, tokio::runtime::Handle::current(), names())
                .unwrap(),
            limits: HttpLimits {
                allow_private: vec!["127.0.0.1".into()],
                ..HttpLimits::default()
            },
            hosts: vec!["127.0.0.1"],
            secrets: vec!["key", "elsewhere"],
        }
    }

    async fn send(&self, request: Request) -> Result<Response, Error> {
        let grant = |names: &[&str], name: &str, kind: &str| {
            let granted = names.contains(&name);
            granted
                .then_some(())
                .ok_or_else(|| format!("the agent needs the grant `{kind}:{name}`"))
        };
        self.outbound
            .send(
                request,
                &self.limits,
                &|host| grant(&self.hosts, host, "http"),
                &|name| grant(&self.secrets, name, "secret"),
            )
            .await
    }

    async fn get(&self, url: &str) -> Result<Response, Error> {
        self.send(get(url)).await
    }
}

/// Names of the tests; others do not exist.
fn names() -> super::resolver::Lookup {
    Arc::new(|name| {
        let address: Option<IpAddr> = match name.as_str() {
            "localhost" | "rebound.example.com" | "127.0.0.1.nip.example" => {
                "127.0.0.1".parse().ok()
            }
            "metadata.example.com" => "169.254.169.254".parse().ok(),
            _ => None,
        };
        Box::pin(async move {
            address
                .map(|address| vec![address])
                .ok_or_else(|| std::io::Error::other("no such name"))
        })
    })
}

fn get(url: &str) -> Request {
    Request {
        method: "GET".into(),
        url: url.into(),
        headers: vec![],
        body: None,
        timeout_ms: None,
    }
}

fn post(url: &str, body: &str) -> Request {
    Request {
        method: "POST".into(),
        headers: vec![("content-type".into(), "text/plain".into())],
        body: Some(body.as_bytes().to_vec()),
        ..get(url)
    }
}

fn text(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    let found = response.headers.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}
