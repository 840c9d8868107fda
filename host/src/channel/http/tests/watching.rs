//! Watching turns that have not ended, and have no feed or another one.

use std::sync::Arc;

use serde_json::json;

use super::super::turns::{unless_ended, watched};
use super::super::{Api, Credentials};
use super::{Fixture, credentials};
use crate::inbox::Inbound;
use crate::runtime::Input;
use crate::runtime::bindings::events::Event;
use crate::store::DEFAULT_TENANT;
use crate::store::testing::{accept, finished, new_turn_in};
use crate::turn::FeedEvent;

async fn api(fixture: &Fixture) -> Api {
    let credentials: Credentials = credentials(&fixture.host).await;
    Api::new(Arc::clone(&fixture.host), credentials)
}

#[tokio::test]
async fn a_message_behind_a_waiting_turn_is_watched_until_it_is_answered() {
    let fixture = Fixture::start().await;
    let (api, store) = (api(&fixture).await, &fixture.host.store);
    accept(store, new_turn_in("c", "behind")).await;
    let first = watched(&api, DEFAULT_TENANT, "behind").await.ok().flatten();
    let second = watched(&api, DEFAULT_TENANT, "behind").await.ok().flatten();
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(Arc::ptr_eq(&first, &second));
    first.push(FeedEvent::Cancelled);
    let mut reader = second.read(0);
    assert_eq!(reader.next().await, Some((1, FeedEvent::Waiting)));
    assert_eq!(reader.next().await, Some((2, FeedEvent::Cancelled)));
}

#[tokio::test]
async fn a_turn_that_ended_before_its_feed_was_opened_keeps_nobody_waiting() {
    let fixture = Fixture::start().await;
    let (api, store) = (api(&fixture).await, &fixture.host.store);
    accept(store, new_turn_in("c", "t")).await;
    let feed = fixture.host.feeds.open_at_rest("t", 0, Vec::new());
    let another = fixture.host.feeds.get("t").unwrap();
    store.finish_turn(Arc::new(finished("t"))).await.unwrap();
    assert!(matches!(
        unless_ended(&api, DEFAULT_TENANT, feed).await,
        Ok(None)
    ));
    another.ended().await;
    assert!(fixture.host.feeds.get("t").is_none());
    assert!(matches!(watched(&api, DEFAULT_TENANT, "t").await, Ok(None)));
    let events = fixture.get("/api/v1/turns/t/events").await;
    let text = String::from_utf8(events.body).unwrap();
    assert!(text.contains("turn.completed"), "{text}");
}

#[tokio::test]
async fn what_is_never_stored_leaves_no_feed() {
    let fixture = Fixture::start().await;
    let inbox = &fixture.host.inbox;
    let event = Event {
        id: "e".to_owned(),
        topic: "a.b".to_owned(),
        source: "system".to_owned(),
        data_json: json!({}).to_string(),
        ordering_key: None,
        correlation: None,
        at_ms: 0,
        attempt: 1,
    };
    let inbound = Inbound {
        tenant: DEFAULT_TENANT.to_owned(),
        agent: "a".to_owned(),
        channel: "events".to_owned(),
        user: None,
        token: None,
        input: Input::Event(event),
        idempotency: None,
        delivery: None,
        parent: None,
        callback: None,
        only_if_idle: false,
    };
    let prepared = inbox.prepare(inbound, inbox.seat().unwrap()).unwrap();
    assert!(fixture.host.feeds.get(&prepared.0.id).is_none());
    drop(prepared);
    assert!(fixture.host.feeds.all().is_empty());
}
