//! The one writer: groups, failures, order.

use std::sync::{Arc, Mutex};

use anyhow::bail;
use sqlx::Row;

use super::*;

async fn writer(folder: &tempfile::TempDir) -> Writer {
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("test.db"))
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
    let writer = Writer::start(&options).await.unwrap();
    insert_sql(&writer, "CREATE TABLE numbers (n INTEGER PRIMARY KEY)")
        .await
        .unwrap();
    writer
}

async fn insert_sql(writer: &Writer, sql: &'static str) -> Result<()> {
    let operation = async move |db: &mut SqliteConnection| {
        db.execute(sql).await?;
        Ok(())
    };
    writer.write(Durability::Synced, operation, |()| ()).await
}

#[tokio::test]
async fn a_failing_operation_spoils_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Arc::new(writer(&folder).await);
    let writes = (0..50).map(|n| {
        let writer = Arc::clone(&writer);
        tokio::spawn(async move {
            let operation = async move |db: &mut SqliteConnection| {
                sqlx::query("INSERT INTO numbers VALUES ($1)")
                    .bind(n)
                    .execute(&mut *db)
                    .await?;
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
            async |db: &mut SqliteConnection| {
                let row = sqlx::query("SELECT count(*) FROM numbers")
                    .fetch_one(&mut *db)
                    .await?;
                Ok(row.get::<i64, _>(0))
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
            async move |_: &mut SqliteConnection| Ok(n),
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
    let insert = async |db: &mut SqliteConnection| {
        db.execute("INSERT INTO numbers VALUES (1)").await?;
        Ok(())
    };
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
    let other = SqliteConnectOptions::new()
        .filename(folder.path().join("other.db"))
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Delete);
    let broken = Writer::start(&other).await.unwrap();
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
