//! A folder with a configuration, plugins and data, and the guests that go into it.

use std::path::{Path, PathBuf};

use anchorhold::config::{Config, Environment};
use anyhow::{Context, Result};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

/// The administrator's token of every measured host.
pub(crate) const TOKEN: &str = "bench-admin-token";

pub(crate) struct Place {
    folder: TempDir,
    guests: PathBuf,
}

impl Place {
    /// A new folder in `dir`, which is to lie on a disk: in memory a sync costs nothing.
    pub(crate) fn new(dir: &Path, guests: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(dir)?;
        for name in ["plugins", "data"] {
            std::fs::create_dir(folder.path().join(name))?;
        }
        Ok(Self {
            folder,
            guests: guests.to_owned(),
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// The host's database, to look at.
    pub(crate) fn database(&self) -> Result<Connection> {
        let path = self.data().join("anchorhold.db");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        Ok(Connection::open_with_flags(path, flags)?)
    }

    /// The bytes of a guest.
    pub(crate) fn guest(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.guests.join(format!("{name}.wasm"));
        std::fs::read(&path).with_context(|| format!("reading {}", path.display()))
    }

    /// Puts a guest into the plugins folder.
    pub(crate) fn plug(&self, name: &str) -> Result<()> {
        let bytes = self.guest(name)?;
        Ok(std::fs::write(
            self.path(&format!("plugins/{name}.wasm")),
            bytes,
        )?)
    }

    /// Writes the configuration: where things lie, and what the measurement sets besides.
    pub(crate) fn configure(&self, more: &str) -> Result<PathBuf> {
        let text = format!(
            "[storage]\ndata_dir = {:?}\n[server]\nlisten = \"127.0.0.1:0\"\nadmin_token = {TOKEN:?}\n\
             [registry]\nplugins_dir = {:?}\n{more}",
            self.data(),
            self.path("plugins"),
        );
        let path = self.path("anchorhold.toml");
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// The same for a host in this process.
    pub(crate) fn config(&self, more: &str) -> Result<Config> {
        let path = self.configure(more)?;
        Config::load(Some(&path), &Environment::from_iter([]))
    }
}
