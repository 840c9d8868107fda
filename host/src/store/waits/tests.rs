//! Messages that a running turn takes up.

use super::*;
use crate::store::DEFAULT_TENANT;
use crate::store::testing::{accept, new_turn_in, open};

async fn take(store: &Store, is_to_stop: fn(&str) -> bool) -> Vec<String> {
    let taker = Taker {
        tenant: DEFAULT_TENANT.to_owned(),
        turn: "taker".to_owned(),
        agent: "a".to_owned(),
        conversation: "c".to_owned(),
    };
    let nothing = |_: &[TurnRow]| Ok(JournalPart::default());
    let taken = store.take_interjections(taker, is_to_stop, nothing);
    taken.await.unwrap().into_iter().map(|row| row.id).collect()
}

#[tokio::test]
async fn a_message_that_is_cancelled_is_not_taken_up() {
    let (_folder, store) = open();
    for id in ["one", "cancelled", "two"] {
        accept(&store, new_turn_in("c", id)).await;
    }
    assert_eq!(take(&store, |id| id == "cancelled").await, ["one", "two"]);
    let row = store.turn(DEFAULT_TENANT, "cancelled").await.unwrap();
    assert_eq!(row.unwrap().status, TurnStatus::Queued);
}

#[tokio::test]
async fn who_wants_a_callback_is_told_that_the_message_was_taken_up() {
    let (_folder, store) = open();
    let target = "https://example.com/answers";
    let called_back = NewTurn {
        callback: Some(target.to_owned()),
        ..new_turn_in("c", "called-back")
    };
    accept(&store, called_back).await;
    accept(&store, new_turn_in("c", "silent")).await;
    assert_eq!(take(&store, |_| false).await, ["called-back", "silent"]);
    let outgoing = store.outgoing(DEFAULT_TENANT, None, 0, 9).await.unwrap();
    let outgoing: Vec<(&str, &str)> = outgoing
        .iter()
        .map(|row| (row.turn.as_str(), row.target.as_str()))
        .collect();
    assert_eq!(outgoing, [("called-back", target)]);
}
