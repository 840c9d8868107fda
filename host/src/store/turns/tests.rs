//! Turns and the clock: what was accepted first goes first, whatever time it
//! was then.

use super::*;
use crate::store::DEFAULT_TENANT;
use crate::store::testing::{accept, new_turn, open};

fn turn(id: &str, created_at: i64) -> NewTurn {
    NewTurn {
        created_at,
        ..new_turn(id)
    }
}

#[tokio::test]
async fn turns_go_on_in_the_order_of_acceptance_when_the_clock_was_set_back() {
    let (_folder, store) = open();
    for (id, at) in [("b", 3_000_000), ("c", 1_000), ("a", 2_000_000)] {
        accept(&store, turn(id, at)).await;
    }
    let rows = store.unfinished_turns().await.unwrap();
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["b", "c", "a"]);
}

#[tokio::test]
async fn turns_are_listed_by_when_they_were_accepted() {
    let (_folder, store) = open();
    for (id, at) in [("a", 10), ("b", 20), ("c", 30)] {
        accept(&store, turn(id, at)).await;
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
