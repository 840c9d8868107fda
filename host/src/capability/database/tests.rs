//! Agents' own databases, driven as the view drives them.

mod hostile;
mod limits;
mod once;
mod values;

use std::sync::atomic::{AtomicI64, Ordering};

use super::{Call, Databases, Owner};
use crate::config::DatabaseLimits;
use crate::runtime::bindings::database::{Outcome, RowSet, Statement, Value};
use crate::runtime::bindings::types::{Error, ErrorKind};

/// One agent with a database.
struct Agent {
    databases: Databases,
    owner: Owner,
    limits: DatabaseLimits,
    seq: AtomicI64,
    folder: tempfile::TempDir,
}

impl Agent {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            databases: Databases::new(folder.path().join("databases"), 4),
            owner: owner("notes"),
            limits: DatabaseLimits::default(),
            seq: AtomicI64::new(0),
            folder,
        }
    }

    fn with(limits: DatabaseLimits) -> Self {
        Self {
            limits,
            ..Self::new()
        }
    }

    fn next_call(&self) -> Call {
        call(self.seq.fetch_add(1, Ordering::Relaxed), "hash")
    }

    async fn query(&self, sql: &str, params: &[Value]) -> Result<RowSet, Error> {
        self.databases
            .query(&self.owner, &self.limits, sql.to_owned(), params.to_vec())
            .await
    }

    async fn execute(&self, sql: &str, params: &[Value]) -> Result<Outcome, Error> {
        self.databases
            .execute(
                &self.owner,
                &self.limits,
                self.next_call(),
                statement(sql, params),
            )
            .await
    }

    async fn batch(&self, statements: &[&str]) -> Result<Vec<Outcome>, Error> {
        let statements = statements.iter().map(|sql| statement(sql, &[])).collect();
        self.databases
            .batch(&self.owner, &self.limits, self.next_call(), statements)
            .await
    }

    /// The one value that a query answers.
    async fn value(&self, sql: &str) -> Value {
        self.query(sql, &[]).await.unwrap().rows[0][0].clone()
    }
}

fn owner(agent: &str) -> Owner {
    Owner {
        tenant: "default".into(),
        agent: agent.into(),
    }
}

fn call(seq: i64, args_hash: &str) -> Call {
    Call {
        turn: "turn-1".into(),
        seq,
        args_hash: args_hash.into(),
    }
}

fn statement(sql: &str, params: &[Value]) -> Statement {
    Statement {
        sql: sql.into(),
        params: params.to_vec(),
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

#[tokio::test]
async fn rows_go_in_and_come_out() {
    let agent = Agent::new();
    agent
        .execute(
            "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)",
            &[],
        )
        .await
        .unwrap();
    let outcome = agent
        .execute(
            "INSERT INTO note (text) VALUES (?1), (?2); -- two",
            &[text("a"), text("b")],
        )
        .await
        .unwrap();
    assert_eq!(outcome.rows_affected, 2);
    assert_eq!(outcome.last_insert_id.as_deref(), Some("2"));
    let rows = agent
        .query(
            "SELECT id, text FROM note WHERE text > ? ORDER BY id",
            &[text("a")],
        )
        .await
        .unwrap();
    assert_eq!(rows.columns, ["id", "text"]);
    assert_eq!(rows.rows, [[Value::Integer(2), text("b")]]);
    assert!(!rows.truncated);
}

#[tokio::test]
async fn only_an_insertion_has_a_row_id() {
    let agent = Agent::new();
    agent
        .batch(&[
            "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)",
            "CREATE TABLE log (id INTEGER PRIMARY KEY, n INTEGER)",
            "CREATE TABLE w (k TEXT PRIMARY KEY) WITHOUT ROWID",
            "CREATE TRIGGER audit AFTER UPDATE ON t BEGIN INSERT INTO log (n) VALUES (new.n); END",
            "INSERT INTO t VALUES (5, 1)",
        ])
        .await
        .unwrap();
    let cases = [
        ("UPDATE t SET n = 2", 1, None),
        ("INSERT INTO w VALUES ('k')", 1, None),
        ("INSERT OR IGNORE INTO t VALUES (5, 9)", 0, None),
        ("INSERT INTO t VALUES (7, 1) RETURNING id", 1, Some("7")),
        (
            "WITH x AS (SELECT 8 AS n) INSERT INTO t SELECT n, n FROM x",
            1,
            Some("8"),
        ),
        ("CREATE TABLE other (x)", 0, None),
        ("DELETE FROM t", 3, None),
    ];
    for (sql, affected, rowid) in cases {
        let outcome = agent.execute(sql, &[]).await.unwrap();
        assert_eq!(outcome.rows_affected, affected, "{sql}");
        assert_eq!(outcome.last_insert_id.as_deref(), rowid, "{sql}");
    }
}

#[tokio::test]
async fn mistakes_are_sentences() {
    let agent = Agent::new();
    agent
        .execute(
            "CREATE TABLE t (a TEXT UNIQUE, b INTEGER CHECK (b > 0))",
            &[],
        )
        .await
        .unwrap();
    agent
        .execute("INSERT INTO t VALUES ('a', 1)", &[])
        .await
        .unwrap();
    let cases = [
        ("INSERT INTO t VALUES ('a', 1)", ErrorKind::Conflict, "t.a"),
        (
            "INSERT INTO t VALUES ('b', 0)",
            ErrorKind::Conflict,
            "CHECK",
        ),
        (
            "INSERT INTO nowhere VALUES (1)",
            ErrorKind::InvalidInput,
            "no such table: nowhere",
        ),
        (
            "INSRT INTO t VALUES (1)",
            ErrorKind::InvalidInput,
            "syntax error",
        ),
        (
            "INSERT INTO t VALUES (?, 1)",
            ErrorKind::InvalidInput,
            "1 parameters, 0 values",
        ),
        ("SELECT 1", ErrorKind::InvalidInput, "use `query`"),
        ("", ErrorKind::InvalidInput, "no statement"),
        ("-- nothing", ErrorKind::InvalidInput, "no statement"),
        (
            "INSERT INTO t VALUES (\"b\", 1)",
            ErrorKind::InvalidInput,
            "b",
        ),
    ];
    for (sql, kind, part) in cases {
        let error = agent.execute(sql, &[]).await.unwrap_err();
        assert_eq!(error.kind, kind, "{sql}: {}", error.message);
        assert!(error.message.contains(part), "{sql}: {}", error.message);
    }
    let error = agent.query("DELETE FROM t", &[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput, "{}", error.message);
    assert_eq!(
        agent.value("SELECT count(*) FROM t").await,
        Value::Integer(1)
    );
}

#[tokio::test]
async fn full_text_search_works_and_follows_its_table() {
    let agent = Agent::new();
    agent
        .batch(&[
            "CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT)",
            "CREATE VIRTUAL TABLE search USING fts5 (body, content = 'note', content_rowid = 'id')",
            "CREATE TRIGGER note_in AFTER INSERT ON note BEGIN INSERT INTO search (rowid, body) VALUES (new.id, new.body); END",
            "INSERT INTO note (body) VALUES ('a walled cell'), ('one small window')",
        ])
        .await
        .unwrap();
    let found = agent
        .value("SELECT rowid FROM search WHERE search MATCH 'window' ORDER BY rank")
        .await;
    assert_eq!(found, Value::Integer(2));
}

#[tokio::test]
async fn databases_stay_apart_and_few_stay_open() {
    let agent = Agent::new();
    for index in 0..10 {
        let owner = owner(&format!("agent-{index}"));
        let create = statement("CREATE TABLE t AS SELECT 1 AS x", &[]);
        agent
            .databases
            .execute(&owner, &agent.limits, call(0, "hash"), create)
            .await
            .unwrap();
        assert!(agent.databases.open_count() <= 4);
    }
    let again = agent
        .databases
        .query(
            &owner("agent-0"),
            &agent.limits,
            "SELECT x FROM t".into(),
            vec![],
        )
        .await
        .unwrap();
    assert_eq!(again.rows, [[Value::Integer(1)]]);
    let error = agent.query("SELECT x FROM t", &[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
}

#[tokio::test]
async fn names_stay_in_the_folder() {
    let agent = Agent::new();
    let owner = Owner {
        tenant: "../up".into(),
        agent: "/etc/x".into(),
    };
    agent
        .databases
        .query(&owner, &agent.limits, "SELECT 1".into(), vec![])
        .await
        .unwrap();
    let file = agent
        .folder
        .path()
        .join("databases/%2E%2E%2Fup/%2Fetc%2Fx.db");
    assert!(file.exists());
}

#[tokio::test]
async fn what_is_not_a_database_is_reported_without_its_path() {
    let agent = Agent::new();
    let folder = agent.folder.path().join("databases/default");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("notes.db"), vec![7; 8192]).unwrap();
    let error = agent.query("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Internal);
    assert!(!error.message.contains("notes.db"), "{}", error.message);
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    let error = agent.query("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(!error.message.contains("notes.db"), "{}", error.message);
}
