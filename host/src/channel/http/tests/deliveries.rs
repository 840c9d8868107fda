//! Turns that fail, as those see it who began them from outside.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Answer, Fixture, component_with};

/// Makes an agent that is there and cannot run.
async fn make_broken(fixture: &Fixture, interface: &str, manifest: &str) {
    let bytes = component_with(interface, manifest);
    let line = "POST /api/v1/components";
    let digest = fixture
        .call_with(line, "application/wasm", bytes)
        .await
        .json()["digest"]
        .clone();
    let body = json!({"component": digest}).to_string();
    let made = fixture.call("PUT /api/v1/agents/broken", &body).await;
    assert_eq!(made.status, 200, "{}", made.json());
}

/// The one dead letter, when it has been tried `attempts` times.
async fn dead_letter(fixture: &Fixture, attempts: i64) -> Value {
    for _ in 0..200 {
        let page = fixture.get("/api/v1/events/dead").await.json();
        let items = page["items"].as_array().unwrap();
        if let [letter] = items.as_slice()
            && letter["attempts"] == attempts
        {
            return letter.clone();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no dead letter after {attempts} attempts");
}

async fn ask_broken(fixture: &Fixture) -> Answer {
    fixture.get_as_nobody("/agents/broken/page?x=1").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_listed_and_tried_again() {
    let fixture = Fixture::with(|config| config.events.max_attempts = 1).await;
    make_broken(&fixture, "subscriber", "[triggers]\ntopics = ['note.*']").await;
    let event = r#"{"topic": "note.added", "data": {"a": 1}}"#;
    let published = fixture.call("POST /api/v1/events", event).await.json();
    assert_eq!(published["subscribers"], 1);
    let letter = dead_letter(&fixture, 1).await;
    assert_eq!(
        (&letter["agent"], &letter["topic"]),
        (&json!("broken"), &json!("note.added"))
    );
    assert_eq!(
        (&letter["event"], &letter["data"]),
        (&published["event"], &json!({"a": 1}))
    );
    assert_eq!(letter["error"]["code"], "agent-unavailable");
    assert_eq!(letter["error"].get("detail"), None);
    let retry = format!(
        "POST /api/v1/events/dead/{}/broken/retry",
        published["event"].as_str().unwrap()
    );
    assert_eq!(fixture.call(&retry, "").await.status, 202);
    dead_letter(&fixture, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_learns_of_a_failed_request_that_it_failed() {
    let fixture = Fixture::start().await;
    make_broken(&fixture, "web", "").await;
    let answer = ask_broken(&fixture).await;
    let detail = answer.problem(404, "agent-unavailable");
    assert!(detail.contains("operators"), "{detail}");
    let turn = answer.json()["turn"].as_str().unwrap().to_owned();
    let turn = fixture.get(&format!("/api/v1/turns/{turn}")).await.json();
    assert_eq!(
        (&turn["kind"], &turn["status"]),
        (&json!("web"), &json!("failed"))
    );
    assert_eq!(turn["error"].get("detail"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_stored_when_all_places_are_taken() {
    let fixture = Fixture::with(|config| config.turns.queue = 1).await;
    make_broken(&fixture, "web", "").await;
    let seat = fixture.host.inbox.seat();
    let answer = ask_broken(&fixture).await;
    answer.problem(429, "busy");
    assert_eq!(answer.headers["retry-after"], "1");
    drop(seat);
    assert_eq!(ask_broken(&fixture).await.status, 404);
    let turns = fixture.get("/api/v1/turns").await.json();
    assert_eq!(turns["items"].as_array().unwrap().len(), 1);
}
