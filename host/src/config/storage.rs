//! `[storage]`: where everything is kept.

use std::path::PathBuf;

use serde::Deserialize;

/// The data folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// The folder that holds the database, the components and the agents' own
    /// databases. One host at a time holds it.
    pub data_dir: PathBuf,
    /// Connections that read.
    pub readers: u32,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("data"),
            readers: 4,
        }
    }
}
