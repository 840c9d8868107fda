//! Every limit, biting.

use std::time::{Duration, Instant};

use super::*;

const ENDLESS: &str =
    "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n";

fn limits(change: impl FnOnce(&mut DatabaseLimits)) -> DatabaseLimits {
    let mut limits = DatabaseLimits::default();
    change(&mut limits);
    limits
}

#[tokio::test]
async fn an_endless_statement_times_out_and_the_next_one_runs() {
    let agent = Agent::with(limits(|limits| limits.statement_ms = 50));
    agent.execute("CREATE TABLE t (x)", &[]).await.unwrap();
    let started = Instant::now();
    let error = agent.query(ENDLESS, &[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut, "{}", error.message);
    let insert = format!("INSERT INTO t {ENDLESS}");
    let error = agent.execute(&insert, &[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut, "{}", error.message);
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(
        agent.value("SELECT count(*) FROM t").await,
        Value::Integer(0)
    );
}

#[tokio::test]
async fn a_caller_that_goes_away_stops_its_statement() {
    let agent = Agent::with(limits(|limits| limits.statement_ms = 60_000));
    let started = Instant::now();
    let waited = tokio::time::timeout(Duration::from_millis(50), agent.query(ENDLESS, &[])).await;
    assert!(waited.is_err());
    // The database is used by one call at a time, so this waits for the end.
    assert_eq!(agent.value("SELECT 1").await, Value::Integer(1));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_full_database_says_so_and_can_be_emptied() {
    let agent = Agent::with(limits(|limits| limits.max_bytes = 256 << 10));
    agent.execute("CREATE TABLE t (x)", &[]).await.unwrap();
    let error = loop {
        match agent
            .execute("INSERT INTO t VALUES (zeroblob(20000))", &[])
            .await
        {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind, ErrorKind::LimitExceeded, "{}", error.message);
    let Value::Integer(pages) = agent.value("PRAGMA page_count").await else {
        panic!("not a number");
    };
    assert!(pages * 4096 <= (256 << 10) + 16 * 4096);
    let outcome = agent.execute("DELETE FROM t", &[]).await.unwrap();
    assert!(outcome.rows_affected > 5);
    agent
        .execute("INSERT INTO t VALUES (zeroblob(20000))", &[])
        .await
        .unwrap();
}

#[tokio::test]
async fn rows_are_truncated_and_bytes_refused() {
    let agent = Agent::with(limits(|limits| limits.max_rows = 3));
    let series =
        "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 4) SELECT x";
    let rows = agent.query(&format!("{series} FROM n"), &[]).await.unwrap();
    assert_eq!((rows.rows.len(), rows.truncated), (3, true));
    let rows = agent
        .query(&format!("{series} FROM n WHERE x < 4"), &[])
        .await
        .unwrap();
    assert_eq!((rows.rows.len(), rows.truncated), (3, false));
    let wide = format!("{series}, zeroblob(4000000) FROM n");
    let error = agent.query(&wide, &[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::LimitExceeded, "{}", error.message);
}

#[tokio::test]
async fn what_is_too_big_or_too_deep_is_refused() {
    let agent = Agent::new();
    agent.execute("CREATE TABLE t (x)", &[]).await.unwrap();
    let columns = (0..600).map(|n| format!("c{n}")).collect::<Vec<_>>();
    let cases = [
        "SELECT zeroblob(1000000000)".to_owned(),
        "SELECT length(randomblob(1000000000))".to_owned(),
        "SELECT hex(zeroblob(4000000))".to_owned(),
        "SELECT replace(hex(zeroblob(4000)), '0', hex(zeroblob(4000)))".to_owned(),
        format!("SELECT 'a' LIKE '{}'", "%a".repeat(200)),
        format!("SELECT 'a' GLOB '{}'", "*a".repeat(200)),
        format!("SELECT {}1{}", "abs(".repeat(300), ")".repeat(300)),
        format!("SELECT 1{}", " + 1".repeat(300)),
        format!("SELECT {}", columns.join(", ")),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(300)),
        format!("SELECT max({}1)", "1, ".repeat(70)),
        format!("SELECT '{}'", "x".repeat(300 << 10)),
        "SELECT ?20000".to_owned(),
        "SELECT unhex('00', ' ')".to_owned(),
    ];
    for sql in cases {
        let shown = sql.get(..40).unwrap_or(&sql).to_owned();
        let error = agent.query(&sql, &[]).await.expect_err(&shown);
        let kinds = [ErrorKind::InvalidInput, ErrorKind::LimitExceeded];
        assert!(kinds.contains(&error.kind), "{shown}: {error:?}");
    }
    let table = format!("CREATE TABLE wide ({})", columns.join(", "));
    let error = agent.execute(&table, &[]).await.unwrap_err();
    assert!(error.message.contains("too many columns"), "{error:?}");
}

#[tokio::test]
async fn batches_have_a_length() {
    let agent = Agent::new();
    assert_eq!(
        agent.batch(&[]).await.unwrap_err().kind,
        ErrorKind::InvalidInput
    );
    let many = vec!["SELECT 1"; 1001];
    assert_eq!(
        agent.batch(&many).await.unwrap_err().kind,
        ErrorKind::InvalidInput
    );
}

#[tokio::test]
async fn triggers_that_call_themselves_end() {
    let agent = Agent::new();
    agent
        .batch(&[
            "CREATE TABLE a (x)",
            "CREATE TABLE b (x)",
            "CREATE TRIGGER ab AFTER INSERT ON a BEGIN INSERT INTO b VALUES (new.x); INSERT INTO b VALUES (new.x); END",
            "CREATE TRIGGER ba AFTER INSERT ON b BEGIN INSERT INTO a VALUES (new.x); INSERT INTO a VALUES (new.x); END",
        ])
        .await
        .unwrap();
    let _ = agent.execute("INSERT INTO a VALUES (1)", &[]).await;
    assert_eq!(agent.value("SELECT 1").await, Value::Integer(1));
}

/// Memory that grows without an end is noticed although no row is answered.
#[tokio::test]
async fn a_statement_that_eats_memory_is_stopped() {
    let agent = Agent::with(limits(|limits| limits.statement_ms = 60_000));
    let eat = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) \
               SELECT json_group_array(hex(zeroblob(1000000))) FROM n";
    let error = agent.query(eat, &[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::LimitExceeded, "{}", error.message);
    let sort = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) \
                SELECT randomblob(100000) AS b FROM n ORDER BY b";
    let error = agent.query(sort, &[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::LimitExceeded, "{}", error.message);
}

/// Views that multiply, so that compiling would never end.
#[tokio::test]
async fn compiling_is_limited_too() {
    let agent = Agent::new();
    let mut statements = vec!["CREATE VIEW v0 AS SELECT 1 AS x".to_owned()];
    for level in 1..20 {
        let below = level - 1;
        statements.push(format!(
            "CREATE VIEW v{level} AS SELECT a.x FROM v{below} AS a, v{below} AS b, v{below} AS c"
        ));
    }
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    agent.batch(&statements).await.unwrap();
    let started = Instant::now();
    let error = agent.query("SELECT * FROM v19", &[]).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(10), "{error:?}");
    assert_eq!(agent.value("SELECT 1").await, Value::Integer(1));
}

/// Searching long text for long text must not take the product of both.
#[tokio::test]
async fn functions_take_linear_time() {
    let agent = Agent::new();
    let started = Instant::now();
    for sql in [
        "SELECT instr(zeroblob(4000000), zeroblob(1900000) || x'01')",
        "SELECT instr(hex(zeroblob(2000000)), hex(zeroblob(900000)) || 'x')",
        "SELECT length(replace(hex(zeroblob(2000000)), hex(zeroblob(900000)) || 'x', ''))",
        "SELECT trim(hex(zeroblob(2000000)), hex(randomblob(1000000)))",
    ] {
        agent.query(sql, &[]).await.expect(sql);
    }
    assert!(started.elapsed() < Duration::from_secs(5));
}
