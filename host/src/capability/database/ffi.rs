//! The two calls of SQLite that rusqlite does not offer. The only unsafe code
//! of the agents' databases.

use rusqlite::{Connection, ffi};

/// Bytes that SQLite holds in this process, for all connections.
#[expect(unsafe_code, reason = "rusqlite has no binding for it")]
pub(super) fn memory_used() -> i64 {
    // SAFETY: takes nothing, only reads a counter under SQLite's own lock.
    unsafe { ffi::sqlite3_memory_used() }
}

/// Sets what `last_insert_rowid` answers until the next insertion.
#[expect(unsafe_code, reason = "rusqlite has no binding for it")]
pub(super) fn set_last_insert_rowid(connection: &Connection, rowid: i64) {
    // SAFETY: the handle belongs to `connection`, which outlives the call, and
    // the call only writes a field of it under SQLite's own lock.
    unsafe { ffi::sqlite3_set_last_insert_rowid(connection.handle(), rowid) }
}
