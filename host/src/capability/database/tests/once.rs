//! A call of a turn is done once, however often the turn runs.

use super::*;

#[tokio::test]
async fn the_recorded_outcome_is_answered_again() {
    let agent = Agent::new();
    agent
        .execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)", &[])
        .await
        .unwrap();
    let insert = || statement("INSERT INTO t (x) VALUES (?1)", &[text("a")]);
    let run = |hash: &str| {
        agent
            .databases
            .execute(&agent.owner, &agent.limits, call(100, hash), insert())
    };
    let first = run("same").await.unwrap();
    let again = run("same").await.unwrap();
    assert_eq!(first, again);
    assert_eq!(
        agent.value("SELECT count(*) FROM t").await,
        Value::Integer(1)
    );
    let error = run("other").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Internal);
    assert!(error.message.starts_with("diverged"), "{}", error.message);
}

#[tokio::test]
async fn it_is_remembered_when_the_database_is_opened_again() {
    let agent = Agent::new();
    let create = || statement("CREATE TABLE t (x)", &[]);
    let owner = agent.owner.clone();
    agent
        .databases
        .execute(&owner, &agent.limits, call(0, "hash"), create())
        .await
        .unwrap();
    let reopened = Databases::new(agent.folder.path().join("databases"), 1);
    reopened
        .execute(&owner, &agent.limits, call(0, "hash"), create())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_batch_is_all_or_none() {
    let agent = Agent::new();
    agent
        .execute("CREATE TABLE t (x UNIQUE)", &[])
        .await
        .unwrap();
    let error = agent
        .batch(&[
            "INSERT INTO t VALUES (1)",
            "CREATE TABLE u (x)",
            "INSERT INTO t VALUES (1)",
        ])
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'u'";
    assert_eq!(agent.value(tables).await, Value::Integer(0));
    assert_eq!(
        agent.value("SELECT count(*) FROM t").await,
        Value::Integer(0)
    );
    let outcomes = agent
        .batch(&["INSERT INTO t VALUES (1), (2)", "DELETE FROM t WHERE x = 1"])
        .await
        .unwrap();
    assert_eq!(outcomes.len(), 2);
    assert_eq!(outcomes[1].rows_affected, 1);
}

/// A deferred foreign key fails at the commit, which undoes the batch.
#[tokio::test]
async fn a_commit_that_fails_leaves_nothing() {
    let agent = Agent::new();
    agent
        .batch(&[
            "CREATE TABLE p (id INTEGER PRIMARY KEY)",
            "CREATE TABLE c (p INTEGER REFERENCES p DEFERRABLE INITIALLY DEFERRED)",
        ])
        .await
        .unwrap();
    let error = agent
        .execute("INSERT INTO c VALUES (1)", &[])
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{}", error.message);
    assert_eq!(
        agent.value("SELECT count(*) FROM c").await,
        Value::Integer(0)
    );
    agent
        .batch(&["INSERT INTO c VALUES (1)", "INSERT INTO p VALUES (1)"])
        .await
        .unwrap();
}

#[tokio::test]
async fn syncing_works_whether_there_is_a_log_or_not() {
    let agent = Agent::new();
    agent.databases.sync(&agent.owner).await.unwrap();
    agent.execute("CREATE TABLE t (x)", &[]).await.unwrap();
    agent.databases.sync(&agent.owner).await.unwrap();
}
