//! The socket: connections accepted, bounded in number and in how long their
//! headers may take. What is answered on them is the router's business.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{Api, Credentials, callback, router};
use crate::app::Host;
use crate::channel::slack::{self, Slack};

/// Connections at the same time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 10_000;

/// The most that is kept of a connection before it is a request, in bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// A socket that is open and not yet served.
pub struct Server {
    listener: TcpListener,
    api: Api,
    slack: Option<Arc<Slack>>,
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
            slack: Slack::start(&host)?,
            api: Api::new(host, credentials),
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
    /// None so far: what goes wrong on a connection is the end of that one.
    pub async fn serve(self) -> Result<()> {
        let stopping = self.api.host.stopping();
        callback::start(&self.api.host);
        let header_timeout = Duration::from_millis(self.api.host.config.server.read_timeout_ms);
        let slack = self.slack.map(slack::router).unwrap_or_default();
        let connections = Connections::new(router(self.api, slack), header_timeout);
        let open = connections.accept_until(self.listener, &stopping).await;
        open.shutdown().await;
        Ok(())
    }
}

/// How connections are served. `axum::serve` would do but for the time that a
/// client may take to send headers, for which it has no setting.
struct Connections {
    http: http1::Builder,
    service: TowerToHyperService<Router>,
    places: Arc<Semaphore>,
}

impl Connections {
    fn new(router: Router, header_timeout: Duration) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .max_buf_size(MAX_HEAD_BYTES);
        Self {
            http,
            service: TowerToHyperService::new(router),
            places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        }
    }

    /// Accepts until `stop`; answers the connections that are still open.
    async fn accept_until(
        self,
        mut listener: TcpListener,
        stop: &CancellationToken,
    ) -> GracefulShutdown {
        let open = GracefulShutdown::new();
        let accepting = async {
            while let Ok(place) = Arc::clone(&self.places).acquire_owned().await {
                // Waits and tries again where accepting fails, for example
                // because the process has too many files open.
                let (stream, _) = Listener::accept(&mut listener).await;
                self.serve(stream, place, &open);
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = accepting => {}
        }
        open
    }

    fn serve(&self, stream: TcpStream, place: OwnedSemaphorePermit, open: &GracefulShutdown) {
        // Pieces of an answer are sent when they are there, not when a packet is full.
        let _ = stream.set_nodelay(true);
        let connection = self
            .http
            .serve_connection(TokioIo::new(stream), self.service.clone());
        let connection = open.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection ended badly");
            }
            drop(place);
        });
    }
}
