//! The API as a client sees it, without a guest: on the router where that is
//! enough, else on a socket.

mod deliveries;
mod feedback;
mod input;
mod log;
mod openapi;
mod resources;
mod socket;
mod watching;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

use super::{Api, Credentials, Server, router};
use crate::app::Host;
use crate::config::Config;

/// A host on a folder of its own.
struct Fixture {
    _folder: TempDir,
    host: Arc<Host>,
    router: Router,
    admin: String,
}

/// An answer, read.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Asserts that this is a problem document; answers its detail.
    fn problem(&self, status: u16, code: &str) -> String {
        assert_eq!(
            self.status,
            status,
            "{:?}",
            String::from_utf8_lossy(&self.body)
        );
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["code"], code);
        problem["detail"].as_str().unwrap().to_owned()
    }
}

impl Fixture {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.storage.data_dir = folder.path().join("data");
        config.registry.plugins_dir = folder.path().join("plugins");
        config.server.listen = "127.0.0.1:0".to_owned();
        config.server.admin_token = Some(SecretString::from("test-administrator"));
        change(&mut config);
        let host = Host::start(config).await.unwrap();
        let router = router(
            Api::new(Arc::clone(&host), credentials(&host).await),
            Router::new(),
        );
        Self {
            _folder: folder,
            host,
            router,
            admin: "test-administrator".to_owned(),
        }
    }

    /// A server on a port of its own; answers its address.
    async fn listen(&self) -> String {
        let server = Server::bind(Arc::clone(&self.host), credentials(&self.host).await);
        let server = server.await.unwrap();
        let url = server.url().unwrap();
        tokio::spawn(server.serve());
        url.strip_prefix("http://").unwrap().to_owned()
    }

    /// A token with one scope.
    async fn token(&self, scope: &str) -> String {
        let scopes = [scope.parse().unwrap()];
        let made = super::auth::create(&self.host.store, "default", "a program", &scopes);
        made.await.unwrap().1.expose_secret().to_owned()
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: to_bytes(body, usize::MAX).await.unwrap().to_vec(),
        }
    }

    /// Sends as the administrator; a body is JSON unless `kind` says otherwise.
    async fn call_with(&self, line: &str, kind: &str, body: impl Into<Body>) -> Answer {
        let (method, path) = line.split_once(' ').unwrap();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", self.admin))
            .header("content-type", kind)
            .body(body.into());
        self.send(request.unwrap()).await
    }

    async fn call(&self, line: &str, body: &str) -> Answer {
        self.call_with(line, "application/json", body.to_owned())
            .await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(&format!("GET {path}"), "").await
    }

    async fn get_as(&self, token: &str, path: &str) -> Answer {
        let request = Request::get(path).header("authorization", format!("Bearer {token}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn get_as_nobody(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }
}

async fn credentials(host: &Host) -> Credentials {
    Credentials::prepare(&host.store, &host.config.server)
        .await
        .unwrap()
        .0
}

/// The smallest component that exports an interface of the contract. It can be
/// installed and does nothing: the interface is empty.
fn component(interface: &str) -> Vec<u8> {
    component_with(interface, "")
}

/// The same with a manifest inside.
fn component_with(interface: &str, manifest: &str) -> Vec<u8> {
    let text = format!(
        "(component (instance $i)
            (export \"anchorhold:agent/{interface}@0.1.0\" (instance $i))
            (@custom \"anchorhold:manifest\" {manifest:?}))"
    );
    wat::parse_str(text).unwrap()
}
