//! `[tools]`: the servers whose tools agents may be granted.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail};
use secrecy::SecretString;
use serde::Deserialize;

/// Where tools come from.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tools {
    /// MCP servers by name; their tools are named `NAME/TOOL`.
    pub servers: BTreeMap<String, ToolServer>,
    /// The variables of the host's own environment that servers get.
    #[serde(skip)]
    pub(crate) environment: Vec<(String, String)>,
}

/// `[tools.servers.NAME]`: either a command or an address.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ToolServer {
    /// A program that speaks MCP by its standard input and output.
    pub command: Option<PathBuf>,
    pub args: Vec<String>,
    /// Its environment, besides PATH and HOME.
    pub env: BTreeMap<String, SecretString>,
    /// The address of a server that speaks MCP by streamable HTTP.
    pub url: Option<String>,
    pub headers: BTreeMap<String, SecretString>,
    /// Sent as `authorization: Bearer …`.
    pub bearer: Option<SecretString>,
    /// Time of one call, in milliseconds; also of connecting and of listing.
    pub timeout_ms: u64,
    /// Bytes of one answer that agents get; the rest is cut off.
    pub max_output_bytes: usize,
    /// How long a list of its tools is good if the server does not say.
    pub list_ttl_ms: u64,
    /// Tools that a person must approve before each call: names, or
    /// `destructive`.
    pub approve: Approve,
    /// Tools that change nothing, whatever the server says of them.
    pub read_only: Vec<String>,
}

impl Default for ToolServer {
    fn default() -> Self {
        Self {
            command: None,
            args: Vec::new(),
            env: BTreeMap::new(),
            url: None,
            headers: BTreeMap::new(),
            bearer: None,
            timeout_ms: 60_000,
            max_output_bytes: 256 << 10,
            list_ttl_ms: 300_000,
            approve: Approve::Named(Vec::new()),
            read_only: Vec::new(),
        }
    }
}

/// What a person must approve.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Approve {
    Named(Vec<String>),
    Class(Class),
}

/// A class of tools, by what their server says of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// All that may destroy something: MCP takes that of every tool that does
    /// not say otherwise.
    Destructive,
}

impl Tools {
    /// # Errors
    ///
    /// If a server has a name or a combination of keys that cannot be.
    pub(super) fn check(&self) -> Result<()> {
        for (name, server) in &self.servers {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if name.is_empty() || name.len() > 32 || name == "agent" || !name.chars().all(plain) {
                bail!(
                    "[tools.servers.{name}]: a server's name is 1 to 32 of a-z, 0-9 and -, and not agent"
                );
            }
            server.check(name)?;
        }
        Ok(())
    }
}

impl ToolServer {
    fn check(&self, name: &str) -> Result<()> {
        if self.command.is_some() == self.url.is_some() {
            bail!("[tools.servers.{name}] has either command or url");
        }
        if self.command.is_some() && (self.bearer.is_some() || !self.headers.is_empty()) {
            bail!("[tools.servers.{name}]: headers and bearer go with url");
        }
        if self.url.is_some() && !(self.args.is_empty() && self.env.is_empty()) {
            bail!("[tools.servers.{name}]: args and env go with command");
        }
        let schemes = ["http://", "https://"];
        if let Some(url) = &self.url
            && !schemes.iter().any(|scheme| url.starts_with(scheme))
        {
            bail!("[tools.servers.{name}] url begins with http:// or https://");
        }
        if self.timeout_ms == 0 || self.max_output_bytes == 0 {
            bail!("[tools.servers.{name}]: timeout_ms and max_output_bytes are at least 1");
        }
        Ok(())
    }

    /// Whether a person must approve calls of this tool.
    pub fn needs_approval(&self, tool: &str, destructive: bool) -> bool {
        match &self.approve {
            Approve::Named(names) => names.iter().any(|name| name == tool),
            Approve::Class(Class::Destructive) => destructive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<Tools, String> {
        let tools: Tools = toml::from_str(text).map_err(|error| error.to_string())?;
        tools.check().map_err(|error| error.to_string())?;
        Ok(tools)
    }

    #[test]
    fn a_server_is_a_command_or_an_address() {
        for (text, part) in [
            ("[servers.a]", "either command or url"),
            (
                "[servers.a]\ncommand = 'x'\nurl = 'http://h'",
                "either command or url",
            ),
            ("[servers.a]\nurl = 'ftp://h'", "begins with http"),
            ("[servers.agent]\ncommand = 'x'", "not agent"),
            ("[servers.A]\ncommand = 'x'", "a-z"),
            (
                "[servers.a]\nurl = 'http://h'\nargs = ['x']",
                "go with command",
            ),
            ("[servers.a]\ncommand = 'x'\nbearer = 'x'", "go with url"),
            ("[servers.a]\ncommand = 'x'\ntimeout_ms = 0", "at least 1"),
            ("[servers.a]\ncommand = 'x'\napprove = 'all'", "approve"),
            ("[servers.a]\ncommand = 'x'\ncolour = 1", "colour"),
        ] {
            let error = checked(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn approval_goes_by_name_or_by_class() {
        let tools =
            checked("[servers.a]\ncommand = 'x'\napprove = ['rm']\n[servers.b]\nurl = 'http://h'\napprove = 'destructive'")
                .unwrap();
        let (a, b) = (&tools.servers["a"], &tools.servers["b"]);
        assert!(a.needs_approval("rm", false) && !a.needs_approval("ls", true));
        assert!(b.needs_approval("ls", true) && !b.needs_approval("rm", false));
    }
}
