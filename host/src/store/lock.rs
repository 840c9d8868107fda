//! A kernel lock on the data folder: one host at a time.

use std::fs::{File, TryLockError};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Held as long as the host runs; the kernel lets go when the process ends,
/// however it ends.
pub(super) struct FolderLock {
    _file: File,
}

impl FolderLock {
    pub(super) fn take(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join("lock");
        let file = File::create(&path).with_context(|| {
            format!(
                "cannot write to the data folder {}; set [storage] data_dir to one that can be written",
                data_dir.display()
            )
        })?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => bail!(
                "another anchorhold is running on the data folder {}; stop it, or set [storage] data_dir",
                data_dir.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }
}
