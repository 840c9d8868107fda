//! A fake Slack: a team in memory, its Web API, its sockets, its events, and a page on which
//! anyone can talk to agents as if in Slack. It is not Slack: docs/slack.md says what it leaves
//! out. It knows nothing of the channel that is tried on it.

mod api;
mod control;
mod deliver;
mod download;
mod multipart;
mod server;
mod sim;
mod socket;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tokio::net::TcpListener;

use sim::Sim;
use world::{Setup, World};

/// How a fake is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens: an address of this machine alone.
    pub listen: String,
    /// The host that events are posted to.
    pub host_url: String,
    /// Events go through sockets that the host opens, and nothing is posted.
    pub socket_mode: bool,
    /// The app is installed in an organisation of two workspaces.
    pub enterprise: bool,
    pub signing_secret: String,
    pub bot_token: String,
    pub app_token: String,
}

/// A fake that is about to serve.
pub struct Simulator {
    listener: TcpListener,
    sim: Arc<Sim>,
}

impl Simulator {
    /// Opens the socket.
    ///
    /// # Errors
    ///
    /// If the address is taken, or could be reached from other machines.
    pub async fn bind(options: Options) -> Result<Self> {
        let listen = &options.listen;
        let address: SocketAddr = listen.parse().with_context(|| {
            format!("{listen:?} is not an address and a port; --listen takes 127.0.0.1:8090")
        })?;
        if !address.ip().is_loopback() {
            bail!(
                "{listen} can be reached from other machines, and everybody who reaches the fake \
                 may do anything with it; --listen takes an address such as 127.0.0.1:8090"
            );
        }
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {listen}; --listen 127.0.0.1:0 takes a free port")
        })?;
        let mut world = World::new(Setup {
            base_url: format!("http://{}", listener.local_addr()?),
            bot_token: options.bot_token.clone(),
            app_token: options.app_token.clone(),
        });
        if options.enterprise {
            world.join_enterprise();
        }
        let sim = Sim::new(world, options)?;
        Ok(Self { listener, sim })
    }

    /// Where it listens, as a URL.
    ///
    /// # Errors
    ///
    /// If the socket has no address.
    pub fn url(&self) -> Result<String> {
        Ok(format!("http://{}", self.listener.local_addr()?))
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    ///
    /// None so far: what goes wrong on a connection is the end of that one.
    pub async fn serve(self) -> Result<()> {
        server::serve(self.listener, self.sim).await
    }
}
