//! `[server]`: the socket and what may come through it.

use secrecy::SecretString;
use serde::Deserialize;

/// Where the host listens and how much it takes in.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port; port 0 takes a free one.
    pub listen: String,
    /// The largest request body, in bytes. Uploads of components have their own
    /// bound, `[registry] max_component_bytes`.
    pub max_body_bytes: usize,
    /// How long a client may take to send a request, in milliseconds.
    pub read_timeout_ms: u64,
    /// How long `POST …/messages` waits for the answer before it says 202, in
    /// milliseconds.
    pub answer_timeout_ms: u64,
    /// How long running turns may take to finish when the host stops, in
    /// milliseconds.
    pub drain_timeout_ms: u64,
    /// Origins whose pages may talk to `/mcp`, beside those of this machine, for
    /// example `https://console.example.com`.
    pub allowed_origins: Vec<String>,
    /// The administrator's token. Set by `ANCHORHOLD_ADMIN_TOKEN`; otherwise
    /// one is made at the first start.
    pub admin_token: Option<SecretString>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            max_body_bytes: 4 << 20,
            read_timeout_ms: 30_000,
            answer_timeout_ms: 60_000,
            drain_timeout_ms: 20_000,
            allowed_origins: Vec::new(),
            admin_token: None,
        }
    }
}
