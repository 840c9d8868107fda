//! HTTP: the host's own API, agents that answer requests themselves, and what
//! operators watch.

mod auth;
mod health;
mod messages;
mod problem;
mod sse;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::app::Host;

pub use auth::{Caller, Credentials};
pub use problem::{Code, Problem};

/// What every handler gets.
#[derive(Clone)]
pub struct Api {
    pub host: Arc<Host>,
    pub credentials: Arc<Credentials>,
}

/// A socket that is open and not yet served.
pub struct Server {
    listener: TcpListener,
    api: Api,
}

impl Server {
    /// Opens the socket.
    ///
    /// # Errors
    ///
    /// If the address is taken or not this machine's.
    pub async fn bind(host: Arc<Host>, credentials: Credentials) -> Result<Self> {
        let address = host.config.server.listen.clone();
        let listener = TcpListener::bind(&address).await.with_context(|| {
            format!("cannot listen on {address}; set [server] listen to a free address, port 0 takes any")
        })?;
        Ok(Self {
            listener,
            api: Api {
                host,
                credentials: Arc::new(credentials),
            },
        })
    }

    /// Where it listens, as a URL.
    ///
    /// # Errors
    ///
    /// If the socket has no address.
    pub fn url(&self) -> Result<String> {
        Ok(format!("http://{}", self.listener.local_addr()?))
    }

    /// Serves until the host stops; requests under way are finished.
    ///
    /// # Errors
    ///
    /// If the socket fails.
    pub async fn serve(self) -> Result<()> {
        let stopping = self.api.host.stopping();
        let router = router(self.api);
        axum::serve(self.listener, router)
            .with_graceful_shutdown(async move { stopping.cancelled().await })
            .await
            .context("serving HTTP")
    }
}

fn router(api: Api) -> Router {
    let server = &api.host.config.server;
    let body_timeout = Duration::from_millis(server.read_timeout_ms);
    Router::new()
        .merge(health::router())
        .nest("/api/v1", own_api())
        .fallback(async || Problem::new(Code::NotFound, "there is nothing at this address"))
        .layer(DefaultBodyLimit::max(server.max_body_bytes))
        .layer(RequestBodyTimeoutLayer::new(body_timeout))
        .layer(CatchPanicLayer::custom(
            |_: Box<dyn std::any::Any + Send>| {
                axum::response::IntoResponse::into_response(Problem::internal(
                    "a request handler panicked",
                ))
            },
        ))
        .with_state(api)
}

fn own_api() -> Router<Api> {
    Router::new()
        .merge(messages::router())
        .merge(turns::router())
        .method_not_allowed_fallback(async || {
            Problem::with_status(
                StatusCode::METHOD_NOT_ALLOWED,
                Code::InvalidRequest,
                "this address does not take this method",
            )
        })
}
