//! A host in this process, for as long as the chat lasts.

use std::sync::Arc;

use anyhow::{Context, Result};
use reqwest::Url;
use secrecy::SecretString;
use tokio::task::JoinHandle;

use crate::app::Host;
use crate::channel::http::{Credentials, Server};
use crate::cli::client::Client;
use crate::cli::globals::{self, CLI_TOKEN_FILE, Setting};
use crate::config::{Config, Llm};

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

    /// A client of it, with the token of its data folder.
    pub(super) fn client(&self, setting: &Setting) -> Result<Client> {
        let file = self.host.config.storage.data_dir.join(CLI_TOKEN_FILE);
        let token = match setting.environment.get("ANCHORHOLD_TOKEN") {
            Some(token) => token.to_owned(),
            None => std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?,
        };
        let token = SecretString::from(token.trim());
        Client::new(Url::parse(&self.url)?, Some(token))
    }

    pub(super) fn models(&self) -> &Llm {
        &self.host.config.llm
    }

    /// Stops it; turns that run are finished first.
    pub(super) async fn stop(self) {
        globals::withdraw_url(&self.host.config.storage.data_dir);
        self.host.stop().await;
        self.serving.abort();
    }
}
