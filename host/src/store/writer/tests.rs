//! The one writer: groups, failures, order.

use std::sync::{Arc, Mutex};

use anyhow::bail;

use super::*;

async fn writer(folder: &tempfile::TempDir) -> Writer {
    let path = folder.path().join("test.db");
    let writer = Writer::start(crate::store::sql::open(&path).unwrap(), &path).unwrap();
    insert_sql(&writer, "CREATE TABLE numbers (n INTEGER PRIMARY KEY)")
        .await
        .unwrap();
    writer
}

async fn insert_sql(writer: &Writer, sql: &'static str) -> Result<()> {
    let operation = move |db: &Connection| Ok(db.execute_batch(sql)?);
    writer.write(Durability::Synced, operation, |()| ()).await
}

#[tokio::test]
async fn a_failing_operation_spoils_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Arc::new(writer(&folder).await);
    let writes = (0..50).map(|n| {
        let writer = Arc::clone(&writer);
        tokio::spawn(async move {
            let operation = move |db: &Connection| {
                db.execute("INSERT INTO numbers VALUES (?1)", [n])?;
                if n % 7 == 0 {
                    bail!("no multiples of seven");
                }
                Ok(n)
            };
            writer.write(Durability::Written, operation, |_| ()).await
        })
    });
    let outcomes: Vec<_> = futures_util::future::join_all(writes).await;
    let failed = outcomes
        .iter()
        .filter(|outcome| outcome.as_ref().unwrap().is_err())
        .count();
    assert_eq!(failed, 8);
    let count = writer
        .write(
            Durability::Written,
            |db: &Connection| {
                let count = db.query_row("SELECT count(*) FROM numbers", (), |row| row.get(0))?;
                Ok::<i64, _>(count)
            },
            |_| (),
        )
        .await
        .unwrap();
    assert_eq!(count, 42);
}

#[tokio::test]
async fn committed_runs_in_the_order_of_the_operations() {
    let folder = tempfile::tempdir().unwrap();
    let writer = writer(&folder).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let writes = (0..20).map(|n| {
        let order = Arc::clone(&order);
        writer.write(
            Durability::Synced,
            move |_: &Connection| Ok(n),
            move |n: &i32| order.lock().unwrap().push(*n),
        )
    });
    futures_util::future::join_all(writes).await;
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_closed_writer_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let writer = writer(&folder).await;
    writer.close().await;
    let error = insert_sql(&writer, "INSERT INTO numbers VALUES (1)")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("closed"));
}

#[tokio::test]
async fn what_was_written_is_settled_by_a_sync() {
    let folder = tempfile::tempdir().unwrap();
    let writer = writer(&folder).await;
    assert!(writer.progress.is_settled(), "the table was made synced");
    let insert = |db: &Connection| Ok(db.execute_batch("INSERT INTO numbers VALUES (1)")?);
    writer
        .write(Durability::Written, insert, |()| ())
        .await
        .unwrap();
    assert!(!writer.progress.is_settled());
    writer.settle().await.unwrap();
    assert!(writer.progress.is_settled());
}

#[tokio::test]
async fn a_disk_that_fails_takes_in_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    // A database without a log, so that there is nothing to sync.
    let path = folder.path().join("other.db");
    let broken = Writer::start(Connection::open(&path).unwrap(), &path).unwrap();
    let error = insert_sql(&broken, "CREATE TABLE numbers (n INTEGER)")
        .await
        .unwrap_err();
    assert!(format!("{error:#}").contains("-wal"), "{error:#}");
    let error = insert_sql(&broken, "INSERT INTO numbers VALUES (1)")
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("start the host again"),
        "{error:#}"
    );
}

#[test]
fn another_process_may_hold_the_database_for_half_a_minute() {
    let attempts = u32::try_from(PAUSES.len()).unwrap() + 1;
    let patience = crate::store::sql::BUSY_TIMEOUT * attempts + PAUSES.iter().sum();
    assert!(patience >= Duration::from_secs(30), "{patience:?}");
}
