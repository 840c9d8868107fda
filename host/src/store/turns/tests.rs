//! Turns and the clock: what was accepted first goes first, whatever time it
//! was then.

use super::*;
use crate::store::DEFAULT_TENANT;

fn turn(id: &str, created_at: i64) -> NewTurn {
    NewTurn {
        tenant: DEFAULT_TENANT.to_owned(),
        id: id.to_owned(),
        kind: TurnKind::Chat,
        agent: "a".to_owned(),
        channel: "http".to_owned(),
        user: None,
        token: None,
        seed: [0; 32],
        input: Vec::new(),
        message: None,
        idempotency: None,
        delivery: None,
        parent: None,
        callback: None,
        only_if_idle: false,
        created_at,
    }
}

#[tokio::test]
async fn turns_go_on_in_the_order_of_acceptance_when_the_clock_was_set_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), 1).unwrap();
    for (id, at) in [("b", 3_000_000), ("c", 1_000), ("a", 2_000_000)] {
        let accepted = store.accept_turn(turn(id, at), Durability::Written, |_| ());
        accepted.await.unwrap();
    }
    let rows = store.unfinished_turns().await.unwrap();
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["b", "c", "a"]);
}

#[tokio::test]
async fn turns_are_listed_by_when_they_were_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), 1).unwrap();
    for (id, at) in [("a", 10), ("b", 20), ("c", 30)] {
        let accepted = store.accept_turn(turn(id, at), Durability::Written, |_| ());
        accepted.await.unwrap();
    }
    let filter = TurnFilter {
        since: Some(20),
        until: Some(30),
        limit: 10,
        ..TurnFilter::default()
    };
    let found = store.turns(DEFAULT_TENANT, &filter).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].id, "b");
}
