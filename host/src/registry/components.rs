//! The bytes of components: `<data_dir>/components/<digest>.wasm`, written so
//! that a file with that name is always whole.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// Makes names of temporary files unique within the process; the data folder
/// belongs to one process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The component files of a data folder. Its functions block.
#[derive(Debug, Clone)]
pub struct ComponentFiles {
    folder: PathBuf,
}

impl ComponentFiles {
    /// Opens the folder, making it if need be, and removes what a write that
    /// was cut off left behind.
    ///
    /// # Errors
    ///
    /// If the folder cannot be made or read.
    pub fn open(data_dir: &Path) -> Result<Self> {
        let folder = data_dir.join("components");
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                fs::remove_file(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(Self { folder })
    }

    /// Where a component's bytes are.
    ///
    /// # Errors
    ///
    /// If this is not a digest.
    pub fn path(&self, digest: &str) -> Result<PathBuf> {
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if digest.len() != 64 || !digest.bytes().all(is_hex) {
            bail!("{digest:?} is not a digest: 64 of 0-9 and a-f");
        }
        Ok(self.folder.join(format!("{digest}.wasm")))
    }

    /// Reads a component.
    ///
    /// # Errors
    ///
    /// If it is not there, or is no longer what was written.
    pub fn read(&self, digest: &str) -> Result<Vec<u8>> {
        let path = self.path(digest)?;
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if hex::encode(Sha256::digest(&bytes)) != digest {
            bail!("{} is damaged; install the component again", path.display());
        }
        Ok(bytes)
    }

    /// Writes a component, unless it is there; answers whether it was not.
    ///
    /// # Errors
    ///
    /// If it cannot be written; then nothing is left behind.
    pub fn write(&self, digest: &str, bytes: &[u8]) -> Result<bool> {
        let path = self.path(digest)?;
        if self.read(digest).is_ok() {
            return Ok(false);
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!("{digest}.{number}.tmp"));
        let written = self.write_through(&temporary, &path, bytes);
        if written.is_err() {
            // The first error is the one to tell; the rest goes at the next start.
            let _ = fs::remove_file(&temporary);
        }
        written
            .with_context(|| format!("cannot write {}", path.display()))
            .map(|()| true)
    }

    /// Removes a component that nothing refers to.
    ///
    /// # Errors
    ///
    /// If it cannot be removed.
    pub fn remove(&self, digest: &str) -> Result<()> {
        let path = self.path(digest)?;
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
    }

    /// By another name first and synced, so that a power cut leaves all or nothing.
    fn write_through(&self, temporary: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        let mut file = File::create_new(temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(temporary, path)?;
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8]) -> String {
        hex::encode(Sha256::digest(bytes))
    }

    #[test]
    fn what_is_written_is_read() {
        let data = tempfile::tempdir().unwrap();
        let files = ComponentFiles::open(data.path()).unwrap();
        let digest = digest(b"bytes");
        assert!(files.write(&digest, b"bytes").unwrap());
        assert!(!files.write(&digest, b"bytes").unwrap());
        assert_eq!(files.read(&digest).unwrap(), b"bytes");
    }

    #[test]
    fn damage_is_seen_and_mended_by_writing_again() {
        let data = tempfile::tempdir().unwrap();
        let files = ComponentFiles::open(data.path()).unwrap();
        let digest = digest(b"bytes");
        files.write(&digest, b"bytes").unwrap();
        fs::write(files.path(&digest).unwrap(), b"bytez").unwrap();
        let error = files.read(&digest).unwrap_err().to_string();
        assert!(error.contains("damaged"), "{error}");
        assert!(files.write(&digest, b"bytes").unwrap());
        assert_eq!(files.read(&digest).unwrap(), b"bytes");
    }

    #[test]
    fn what_a_cut_off_write_left_is_removed() {
        let data = tempfile::tempdir().unwrap();
        let files = ComponentFiles::open(data.path()).unwrap();
        let left = data.path().join("components/abc.0.tmp");
        fs::write(&left, b"half").unwrap();
        drop(files);
        ComponentFiles::open(data.path()).unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn a_path_is_made_of_digests_only() {
        let data = tempfile::tempdir().unwrap();
        let files = ComponentFiles::open(data.path()).unwrap();
        for bad in ["", "../x", &"A".repeat(64), &"a".repeat(63)] {
            assert!(files.path(bad).is_err(), "{bad}");
        }
    }
}
