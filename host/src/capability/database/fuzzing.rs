//! What must hold of an agent's database whatever SQL it runs.

use std::path::Path;

use super::open::Open;
use super::statement::Session;
use super::watch::Cancelled;
use crate::config::DatabaseLimits;
use crate::runtime::bindings::database::Statement;

/// Runs statements in an empty database.
pub(crate) fn statements<'a>(texts: impl Iterator<Item = &'a str>) {
    let open = Open::at(Path::new(":memory:")).expect("a database");
    let limits = DatabaseLimits {
        max_bytes: 1 << 20,
        statement_ms: 200,
        max_rows: 100,
    };
    open.cap(limits.max_bytes).expect("a cap");
    let session = Session {
        open: &open,
        limits: &limits,
        cancelled: &Cancelled::default(),
    };
    for text in texts.take(16) {
        run(&session, text);
        check(&open);
    }
}

fn run(session: &Session<'_>, text: &str) {
    let statement = Statement {
        sql: text.to_owned(),
        params: Vec::new(),
    };
    if session.execute(&statement).is_err()
        && let Ok(answer) = session.query(text, &[])
    {
        assert!(answer.rows.len() <= 100);
    }
}

/// The host's own table is as it was, no transaction is open, and nothing else was attached.
fn check(open: &Open) {
    let count = |sql: &str| {
        let count = open
            .connection
            .query_row(sql, (), |row| row.get::<_, i64>(0));
        count.unwrap_or_else(|error| panic!("{sql}: {error}"))
    };
    assert_eq!(count("SELECT count(*) FROM anchorhold_applied"), 0);
    assert_eq!(
        count("SELECT count(*) FROM pragma_database_list WHERE name != 'temp'"),
        1
    );
    assert_eq!(count("SELECT count(*) FROM sqlite_temp_schema"), 0);
    assert!(open.connection.is_autocommit());
}
