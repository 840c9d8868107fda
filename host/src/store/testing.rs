//! What tests share that store turns.

use super::{
    Accepted, DEFAULT_TENANT, Durability, FinishedTurn, JournalPart, NewMessage, NewTurn, Store,
    TurnKind, TurnStatus,
};

/// A store in a folder of its own.
pub(crate) fn open() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), 1).unwrap();
    (folder, store)
}

/// A turn of the agent `a` that answers nobody.
pub(crate) fn new_turn(id: &str) -> NewTurn {
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
        created_at: 1,
    }
}

/// A turn of a conversation.
pub(crate) fn new_turn_in(conversation: &str, id: &str) -> NewTurn {
    NewTurn {
        message: Some(NewMessage {
            id: format!("m-{id}"),
            conversation: conversation.to_owned(),
            author_name: None,
            text: "hello".to_owned(),
        }),
        ..new_turn(id)
    }
}

/// The end of a turn that went well.
pub(crate) fn finished(id: &str) -> FinishedTurn {
    FinishedTurn {
        tenant: DEFAULT_TENANT.to_owned(),
        id: id.to_owned(),
        status: TurnStatus::Completed,
        output: None,
        text: None,
        error: None,
        receipt: "{}".to_owned(),
        journal: JournalPart::default(),
        for_parent: None,
        callback: None,
        went_on: false,
        finished_at: 2,
    }
}

/// Stores a turn that is new.
pub(crate) async fn accept(store: &Store, turn: NewTurn) {
    let accepted = store.accept_turn(turn, Durability::Written, |_| ()).await;
    assert!(matches!(accepted.unwrap(), Accepted::New { .. }));
}
