//! Opening one agent's database, so that its SQL stays in it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use super::watch::Watch;
use super::{applied, functions, rules};

/// The longest value and the longest row. Also bounds what functions such as
/// `zeroblob` and `randomblob` make.
pub(super) const VALUE_BYTES: i32 = 4 << 20;

/// How long another process, such as a copy or an inspection, is waited for.
const BUSY: Duration = Duration::from_secs(1);

const SWITCHES: [(DbConfig, bool); 8] = [
    (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
    (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
    (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
    // "text" in double quotes is a misspelt column, not a string.
    (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
    (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
    (DbConfig::SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, false),
];

const LIMITS: [(Limit, i32); 12] = [
    (Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, 256 << 10),
    (Limit::SQLITE_LIMIT_COLUMN, 500),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 200),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 200),
    (Limit::SQLITE_LIMIT_VDBE_OP, 250_000),
    (Limit::SQLITE_LIMIT_FUNCTION_ARG, 64),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    // Matching takes the product of both lengths and cannot be interrupted.
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 256),
    (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 10_000),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 20),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
];

/// The log is written, but not synced, at each commit: that survives kill -9,
/// and `anchorhold_applied` agrees with the rows whatever a power cut leaves,
/// because both are in one transaction. `Databases::sync` is for the moments at
/// which the turn's journal is synced as well.
/// Temporary data stays in memory, where the watch counts it.
const SETTINGS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -2048;
    PRAGMA journal_size_limit = 1048576;
";

/// One agent's database, open.
pub(super) struct Open {
    pub(super) connection: Connection,
    pub(super) watch: Arc<Watch>,
}

impl Open {
    pub(super) fn at(path: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.execute_batch(SETTINGS)?;
        for (switch, on) in SWITCHES {
            connection.set_db_config(switch, on)?;
        }
        for (limit, value) in LIMITS {
            connection.set_limit(limit, value)?;
        }
        functions::install(&connection)?;
        applied::prepare(&connection)?;
        let watch = Arc::new(Watch::default());
        watch.install(&connection)?;
        rules::install(&connection, &watch)?;
        Ok(Self { connection, watch })
    }

    /// Caps the size of the database. It never becomes smaller by this; what
    /// is over the cap already can be read and deleted.
    pub(super) fn cap(&self, bytes: u64) -> rusqlite::Result<()> {
        self.cap_pages(pages(bytes))
    }

    /// Lets the host's own record grow a little over the cap, so that an agent
    /// with a full database can still delete rows.
    pub(super) fn cap_with_slack(&self, bytes: u64) -> rusqlite::Result<()> {
        self.cap_pages(pages(bytes).saturating_add(16))
    }

    fn cap_pages(&self, pages: u64) -> rusqlite::Result<()> {
        let sql = format!("PRAGMA main.max_page_count = {pages}");
        self.connection.query_row(&sql, (), |_| Ok(()))
    }
}

/// Whole pages; never none, because SQLite takes that for a question.
fn pages(bytes: u64) -> u64 {
    const PAGE_BYTES: u64 = 4096;
    (bytes / PAGE_BYTES).clamp(1, u64::from(u32::MAX - 1))
}
