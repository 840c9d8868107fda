//! SQL that tries to get out of its database, or at what the host keeps in it.

use super::*;

/// Statements that must be refused, with the kind and a part of the sentence.
const REFUSED: &[(&str, ErrorKind, &str)] = {
    use ErrorKind::{Denied, InvalidInput};
    &[
        ("ATTACH '/tmp/x.db' AS x", Denied, "one database"),
        ("ATTACH ':memory:' AS x", Denied, "one database"),
        (
            "/* hi */ aTtAcH DATABASE 'file:x?mode=rwc' AS x",
            Denied,
            "one database",
        ),
        ("DETACH main", Denied, "one database"),
        ("VACUUM", InvalidInput, "VACUUM"),
        ("VACUUM INTO '/tmp/x.db'", InvalidInput, "VACUUM"),
        (
            "PRAGMA journal_mode = DELETE",
            Denied,
            "PRAGMA journal_mode",
        ),
        ("PRAGMA journal_mode", Denied, "PRAGMA journal_mode"),
        (
            "PRAGMA temp_store_directory = '/'",
            Denied,
            "PRAGMA temp_store_directory",
        ),
        (
            "PRAGMA writable_schema = ON",
            Denied,
            "PRAGMA writable_schema",
        ),
        ("PRAGMA database_list", Denied, "PRAGMA database_list"),
        ("PRAGMA foreign_keys = OFF", Denied, "may not set"),
        ("PRAGMA max_page_count = 1000000", Denied, "may not set"),
        ("PRAGMA main.page_size(65536)", Denied, "may not set"),
        ("PRAGMA synchronous = OFF", Denied, "PRAGMA"),
        ("PRAGMA wal_checkpoint(TRUNCATE)", Denied, "PRAGMA"),
        ("PRAGMA trusted_schema = ON", Denied, "PRAGMA"),
        ("PRAGMA hard_heap_limit = 1", Denied, "PRAGMA"),
        ("PRAGMA optimize", Denied, "PRAGMA"),
        ("BEGIN", Denied, "`batch`"),
        ("COMMIT", Denied, "`batch`"),
        ("END", Denied, "`batch`"),
        ("ROLLBACK", Denied, "`batch`"),
        ("SAVEPOINT s", Denied, "`batch`"),
        ("RELEASE s", Denied, "`batch`"),
        ("CREATE TEMP TABLE x (y)", Denied, "temporary"),
        ("CREATE TABLE temp.x (y)", Denied, "temporary"),
        ("CREATE VIEW temp.x AS SELECT 1", Denied, "temporary"),
        (
            "CREATE VIRTUAL TABLE temp.x USING fts5 (y)",
            Denied,
            "temporary",
        ),
        (
            "CREATE TEMP TABLE anchorhold_applied (y)",
            Denied,
            "temporary",
        ),
        ("CREATE TEMP VIEW x AS SELECT 1", Denied, "temporary"),
        (
            "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END",
            Denied,
            "temporary",
        ),
        ("CREATE VIRTUAL TABLE x USING dbstat", Denied, "dbstat"),
        ("CREATE VIRTUAL TABLE x USING fts3 (y)", Denied, "fts3"),
        ("CREATE VIRTUAL TABLE x USING fts4 (y)", Denied, "fts4"),
        (
            "CREATE VIRTUAL TABLE x USING csv (filename = '/etc/passwd')",
            Denied,
            "csv",
        ),
        (
            "DROP TABLE anchorhold_applied",
            Denied,
            "belong to the host",
        ),
        (
            "DROP TABLE main.\"AnchorHold_Applied\"",
            Denied,
            "belong to the host",
        ),
        (
            "DELETE FROM anchorhold_applied",
            Denied,
            "belong to the host",
        ),
        (
            "INSERT INTO anchorhold_applied VALUES ('t', 1, 'h', x'', 0)",
            Denied,
            "belong to the host",
        ),
        (
            "REPLACE INTO anchorhold_applied VALUES ('t', 1, 'h', x'', 0)",
            Denied,
            "belong to the host",
        ),
        (
            "UPDATE anchorhold_applied SET result = x''",
            Denied,
            "belong to the host",
        ),
        (
            "UPDATE t SET a = s.seq FROM anchorhold_applied AS s",
            Denied,
            "belong to the host",
        ),
        (
            "CREATE TABLE x AS SELECT * FROM anchorhold_applied",
            Denied,
            "belong to the host",
        ),
        (
            "CREATE TRIGGER x AFTER INSERT ON anchorhold_applied BEGIN DELETE FROM t; END",
            Denied,
            "belong to the host",
        ),
        (
            "CREATE TRIGGER x BEFORE DELETE ON main.anchorhold_applied BEGIN SELECT RAISE(FAIL, 'no'); END",
            Denied,
            "belong to the host",
        ),
        (
            "CREATE INDEX x ON anchorhold_applied (turn)",
            Denied,
            "belong to the host",
        ),
        (
            "CREATE INDEX anchorhold_x ON t (a)",
            Denied,
            "belong to the host",
        ),
        (
            "CREATE TABLE anchorhold_more (x)",
            Denied,
            "belong to the host",
        ),
        (
            "CREATE TABLE IF NOT EXISTS anchorhold_applied (x)",
            Denied,
            "belong to the host",
        ),
        (
            "CREATE VIEW anchorhold_v AS SELECT 1",
            Denied,
            "belong to the host",
        ),
        (
            "ALTER TABLE anchorhold_applied RENAME TO mine",
            Denied,
            "belong to the host",
        ),
        (
            "ALTER TABLE anchorhold_applied ADD COLUMN x",
            Denied,
            "belong to the host",
        ),
        (
            "ALTER TABLE anchorhold_applied RENAME COLUMN turn TO x",
            Denied,
            "belong to the host",
        ),
        (
            "ALTER TABLE t RENAME TO anchorhold_applied",
            InvalidInput,
            "already",
        ),
        (
            "INSERT INTO t SELECT load_extension('/tmp/x.so')",
            Denied,
            "load_extension",
        ),
        (
            "INSERT INTO t SELECT fts3_tokenizer('simple')",
            Denied,
            "fts3_tokenizer",
        ),
        (
            "INSERT INTO t SELECT readfile('/etc/passwd')",
            InvalidInput,
            "readfile",
        ),
        (
            "INSERT INTO t SELECT writefile('/tmp/x', 'y')",
            InvalidInput,
            "writefile",
        ),
        ("INSERT INTO t SELECT edit('x')", InvalidInput, "edit"),
        (
            "INSERT INTO t SELECT sqlite_log(1, 'x')",
            Denied,
            "sqlite_log",
        ),
        (
            "UPDATE sqlite_master SET sql = 'x'",
            InvalidInput,
            "may not be modified",
        ),
        (
            "DELETE FROM sqlite_schema",
            InvalidInput,
            "may not be modified",
        ),
        (
            "DROP TABLE sqlite_master",
            InvalidInput,
            "may not be dropped",
        ),
        (
            "INSERT INTO t VALUES (1); DROP TABLE t",
            InvalidInput,
            "one statement",
        ),
        (
            "INSERT INTO t VALUES (1); --\n/**/; BEGIN",
            InvalidInput,
            "one statement",
        ),
        (
            "INSERT INTO t VALUES (1); nonsense",
            InvalidInput,
            "one statement",
        ),
        (
            "INSERT INTO t VALUES (1)\0; DROP TABLE t",
            InvalidInput,
            "NUL",
        ),
    ]
};

#[tokio::test]
async fn what_writes_is_refused_and_changes_nothing() {
    let agent = Agent::new();
    agent
        .batch(&["CREATE TABLE t (a)", "INSERT INTO t VALUES (1)"])
        .await
        .unwrap();
    for (sql, kind, part) in REFUSED {
        let error = agent.execute(sql, &[]).await.expect_err(sql);
        assert_eq!(error.kind, *kind, "{sql}: {}", error.message);
        assert!(error.message.contains(part), "{sql}: {}", error.message);
        assert!(!error.message.contains("databases"), "{}", error.message);
        assert_eq!(
            agent.value("SELECT sum(a) FROM t").await,
            Value::Integer(1),
            "{sql}"
        );
    }
}

#[tokio::test]
async fn what_reads_is_refused_by_query_too() {
    let agent = Agent::new();
    agent
        .batch(&[
            "CREATE TABLE t (a)",
            "CREATE VIEW v AS SELECT * FROM anchorhold_applied",
            "CREATE VIEW w AS SELECT 1 FROM v",
            "CREATE TABLE child (turn TEXT, seq INTEGER, FOREIGN KEY (turn, seq) REFERENCES anchorhold_applied)",
        ])
        .await
        .unwrap();
    let refused = [
        "SELECT * FROM anchorhold_applied",
        "SELECT 1 FROM main.ANCHORHOLD_APPLIED",
        "SELECT count(*) FROM \"anchorhold_applied\"",
        "SELECT * FROM v",
        "SELECT count(*) FROM w",
        "SELECT (SELECT max(seq) FROM [anchorhold_applied])",
        "WITH x AS (SELECT * FROM anchorhold_applied) SELECT 1 FROM x",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM anchorhold_applied)",
        "EXPLAIN SELECT * FROM anchorhold_applied",
        "SELECT 1 UNION SELECT turn FROM anchorhold_applied",
        "SELECT * FROM dbstat",
        "SELECT * FROM sqlite_dbpage",
        "SELECT * FROM pragma_database_list",
        "SELECT * FROM pragma_journal_mode",
        "PRAGMA database_list",
        "PRAGMA compile_options",
        "SELECT load_extension('x')",
        "SELECT json_patch('{}', '{}')",
        "BEGIN",
        "ATTACH ':memory:' AS x",
        "SELECT 1; SELECT 2",
        "VACUUM",
        "VACUUM INTO '/tmp/anchorhold-vacuum-test.db'",
    ];
    for sql in refused {
        let error = agent.query(sql, &[]).await.expect_err(sql);
        let kinds = [ErrorKind::Denied, ErrorKind::InvalidInput];
        assert!(kinds.contains(&error.kind), "{sql}: {error:?}");
        assert!(!error.message.contains(".db"), "{sql}: {}", error.message);
    }
    // A foreign key would say whether a row is there.
    let probe = "INSERT INTO child VALUES ('turn-1', 0)";
    let error = agent.execute(probe, &[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{}", error.message);
}

#[tokio::test]
async fn what_is_harmless_is_allowed() {
    let agent = Agent::new();
    agent
        .batch(&[
            "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT REFERENCES t (b))",
            "CREATE UNIQUE INDEX i ON t (b)",
            "PRAGMA user_version = 7",
            "ANALYZE",
            "REINDEX",
            "ALTER TABLE t RENAME TO u",
            "ALTER TABLE u RENAME COLUMN b TO c",
            "CREATE VIRTUAL TABLE area USING rtree (id, x0, x1)",
        ])
        .await
        .unwrap();
    for sql in [
        "PRAGMA table_info(u)",
        "PRAGMA index_list('u')",
        "PRAGMA foreign_key_list(u)",
        "PRAGMA foreign_keys",
        "SELECT * FROM pragma_table_info('u')",
        "SELECT * FROM sqlite_schema",
        "EXPLAIN QUERY PLAN SELECT * FROM u",
        "SELECT value FROM json_each('[1, 2]')",
        "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 9) SELECT * FROM n",
        "SELECT row_number() OVER (), datetime('now'), random(), zeroblob(10)",
        "VALUES (1), (2)",
        "; ; SELECT 1; ;",
    ] {
        agent.query(sql, &[]).await.expect(sql);
    }
    assert_eq!(agent.value("PRAGMA user_version").await, Value::Integer(7));
    assert_eq!(agent.value("PRAGMA foreign_keys").await, Value::Integer(1));
}

/// Statistics of all tables would show what the host recorded.
#[tokio::test]
async fn analyze_leaves_the_hosts_table_out() {
    let agent = Agent::new();
    agent
        .batch(&["CREATE TABLE t (a)", "CREATE INDEX i ON t (a)"])
        .await
        .unwrap();
    agent
        .execute("INSERT INTO t VALUES (1)", &[])
        .await
        .unwrap();
    agent.execute("ANALYZE", &[]).await.unwrap();
    let seen = agent
        .query("SELECT DISTINCT tbl FROM sqlite_stat1", &[])
        .await
        .unwrap();
    assert_eq!(seen.rows, [[text("t")]]);
    agent
        .execute("ANALYZE anchorhold_applied", &[])
        .await
        .unwrap();
    let seen = agent
        .query("SELECT DISTINCT tbl FROM sqlite_stat4", &[])
        .await
        .unwrap();
    assert_eq!(seen.rows, [[text("t")]]);
}

#[tokio::test]
async fn a_transaction_cannot_be_ended_from_within() {
    let agent = Agent::new();
    agent
        .batch(&[
            "CREATE TABLE t (a INTEGER PRIMARY KEY ON CONFLICT ROLLBACK)",
            "INSERT INTO t VALUES (1)",
        ])
        .await
        .unwrap();
    for last in [
        "INSERT INTO t VALUES (1)",
        "INSERT OR FAIL INTO t VALUES (3), (1)",
        "INSERT OR ROLLBACK INTO t VALUES (1)",
    ] {
        let error = agent
            .batch(&["INSERT INTO t VALUES (2)", last])
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict, "{last}: {}", error.message);
        assert_eq!(
            agent.value("SELECT count(*) FROM t").await,
            Value::Integer(1),
            "{last}"
        );
    }
}

/// Thousands of statements in one text are one sentence, not a stack overflow.
#[tokio::test]
async fn a_long_list_of_statements_is_refused() {
    let agent = Agent::new();
    let many = "SELECT 1;".repeat(25_000);
    let error = agent.query(&many, &[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput, "{}", error.message);
    let empty = ";".repeat(200_000);
    let error = agent.query(&empty, &[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput, "{}", error.message);
}
