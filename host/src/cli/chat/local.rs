//! A host in this process, for as long as the chat lasts.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use reqwest::Url;
use secrecy::SecretString;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::app::Host;
use crate::channel::http::{Credentials, Server};
use crate::cli::client::Client;
use crate::cli::fault::{Fault, exit_of};
use crate::cli::globals::{self, CLI_TOKEN_FILE};
use crate::config::Config;

/// How long the agents of the plugins folder are waited for.
const SETTLING: Duration = Duration::from_secs(60);

/// A running host.
pub(super) struct Local {
    host: Arc<Host>,
    url: String,
    serving: JoinHandle<Result<()>>,
}

impl Local {
    /// Starts a host on the configured data folder and a free port of this
    /// machine.
    pub(super) async fn start(mut config: Config) -> Result<Self> {
        "127.0.0.1:0".clone_into(&mut config.server.listen);
        let host = Host::start(config)
            .await
            .context("starting a host for this chat")?;
        let (credentials, _) = Credentials::prepare(&host.store, &host.config.server).await?;
        let server = Server::bind(Arc::clone(&host), credentials).await?;
        let url = server.url()?;
        globals::publish_url(&host.config.storage.data_dir, &url)?;
        Ok(Self {
            host,
            url,
            serving: tokio::spawn(server.serve()),
        })
    }

    /// A client of it, with the token of its data folder; one in the
    /// environment is another host's.
    pub(super) fn client(&self) -> Result<Client> {
        let file = self.host.config.storage.data_dir.join(CLI_TOKEN_FILE);
        let token = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let token = SecretString::from(token.trim());
        Client::new(Url::parse(&self.url)?, Some(token))
    }

    /// Waits for the agents of the plugins folder, which are compiled when they
    /// are new.
    async fn settle(&self) {
        let spinner = ProgressBar::new_spinner().with_message("preparing the agents");
        spinner.enable_steady_tick(Duration::from_millis(200));
        let settled = tokio::time::timeout(SETTLING, self.host.settled()).await;
        spinner.finish_and_clear();
        if settled.is_err() {
            eprintln!("Some agents are still being prepared.");
        }
    }

    /// Waits for the agents, and says how to come by this one if it is not
    /// there: nobody else can look into this host.
    pub(super) async fn check_agent(&self, client: &Client, agent: &str) -> Result<()> {
        self.settle().await;
        let found = client.get::<Value>(&["agents", agent], &[]).await;
        found.map(drop).map_err(|error| {
            let folder = std::path::absolute(&self.host.config.registry.plugins_dir);
            let folder = folder
                .map(|folder| folder.display().to_string())
                .unwrap_or_default();
            Fault::new(exit_of(&error), error.to_string())
                .hint(format!(
                    "put {agent}.wasm into the plugins folder, {folder}"
                ))
                .into()
        })
    }

    /// Stops it; turns that run are finished first.
    pub(super) async fn stop(self) {
        globals::withdraw_url(&self.host.config.storage.data_dir);
        self.host.stop().await;
        self.serving.abort();
    }
}
