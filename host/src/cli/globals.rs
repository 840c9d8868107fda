//! What every command knows: the options before it, the environment, the
//! configuration, and from these where the host answers.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use reqwest::Url;
use secrecy::SecretString;

use super::client::Client;
use super::fault::{Exit, Fault};
use crate::config::{Config, Environment};

/// The file in the data folder that holds the token for commands on the same
/// machine.
pub(super) const CLI_TOKEN_FILE: &str = "cli.token";

/// The file in the data folder that says where its host listens, as long as it
/// does: the port may be any.
const CLI_URL_FILE: &str = "cli.url";

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Globals {
    /// The configuration; without it anchorhold.toml in this folder, if it is there
    #[arg(long, global = true, value_name = "FILE", env = "ANCHORHOLD_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Where the host answers; without it the host on the configured data folder
    #[arg(long, global = true, value_name = "URL", env = "ANCHORHOLD_URL")]
    pub(super) url: Option<String>,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// The options and a copy of the environment.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) globals: Globals,
    pub(super) environment: Environment,
}

impl Setting {
    pub(super) fn new(globals: Globals, environment: Environment) -> Self {
        Self {
            globals,
            environment,
        }
    }

    /// Reads the configuration.
    pub(super) fn config(&self) -> Result<Config> {
        Config::load(self.globals.config.as_deref(), &self.environment)
    }

    /// The URL that was given, by option or environment.
    pub(super) fn given_url(&self) -> Option<&str> {
        self.globals.url.as_deref().filter(|url| !url.is_empty())
    }

    /// A client of the host that the command is for.
    pub(super) fn client(&self) -> Result<Client> {
        let url = self.url()?;
        let token = self.token(&url)?;
        Client::new(url, token)
    }

    /// Where the host answers.
    pub(super) fn url(&self) -> Result<Url> {
        match self.given_url() {
            Some(url) => parse_url(url),
            None => configured_url(&self.config()?),
        }
    }

    /// The token of the environment; else that of the data folder, which is for
    /// this machine only and goes nowhere else.
    fn token(&self, url: &Url) -> Result<Option<SecretString>> {
        if let Some(token) = self.environment.get("ANCHORHOLD_TOKEN") {
            return Ok(Some(SecretString::from(token)));
        }
        if self.given_url().is_some() && !is_this_machine(url) {
            return Ok(None);
        }
        Ok(
            read_line(&self.config()?.storage.data_dir.join(CLI_TOKEN_FILE))
                .map(SecretString::from),
        )
    }
}

/// Says where the host on a data folder answers.
pub(super) fn publish_url(data_dir: &Path, url: &str) -> Result<()> {
    let path = data_dir.join(CLI_URL_FILE);
    std::fs::write(&path, format!("{url}\n"))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Takes that back.
pub(super) fn withdraw_url(data_dir: &Path) {
    // If it stays, commands find nobody there and say so.
    let _ = std::fs::remove_file(data_dir.join(CLI_URL_FILE));
}

fn configured_url(config: &Config) -> Result<Url> {
    match read_line(&config.storage.data_dir.join(CLI_URL_FILE)) {
        Some(url) => parse_url(&url),
        None => parse_url(&url_of_listen(&config.server.listen)),
    }
}

/// The URL under which a socket is reached from its own machine.
fn url_of_listen(listen: &str) -> String {
    let (host, port) = listen.rsplit_once(':').unwrap_or((listen, "8080"));
    let host = match host {
        "" | "0.0.0.0" => "127.0.0.1",
        "[::]" => "[::1]",
        host => host,
    };
    format!("http://{host}:{port}")
}

fn parse_url(text: &str) -> Result<Url> {
    let usage = || {
        Fault::new(Exit::Usage, format!("{text:?} is not the URL of a host"))
            .hint("it looks like http://127.0.0.1:8080; see --url and ANCHORHOLD_URL")
    };
    let url = Url::parse(text).map_err(|error| usage().caused_by(error))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(usage().into());
    }
    Ok(url)
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let number = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |address: std::net::IpAddr| address.is_loopback();
    host == "localhost" || number.parse().is_ok_and(is_loopback)
}

fn read_line(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_on_all_addresses_is_reached_on_loopback() {
        assert_eq!(url_of_listen("0.0.0.0:9000"), "http://127.0.0.1:9000");
        assert_eq!(url_of_listen("[::]:9000"), "http://[::1]:9000");
        assert_eq!(url_of_listen("10.0.0.1:80"), "http://10.0.0.1:80");
    }

    #[test]
    fn the_token_of_the_data_folder_stays_on_this_machine() {
        for (url, own) in [
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://localhost:1", true),
            ("http://localhost.example.com", false),
            ("http://10.0.0.1:1", false),
        ] {
            assert_eq!(is_this_machine(&parse_url(url).unwrap()), own, "{url}");
        }
    }

    #[test]
    fn what_is_no_url_is_a_mistake_in_usage() {
        assert!(parse_url("127.0.0.1:8080").is_err());
        assert!(parse_url("file:///etc/passwd").is_err());
    }
}
