//! Agents, components, events and tokens, from making them to removing them.

use serde_json::{Value, json};

use super::{Fixture, component};
use crate::turn::FeedEvent;

async fn upload(fixture: &Fixture, bytes: Vec<u8>) -> super::Answer {
    fixture
        .call_with("POST /api/v1/components", "application/wasm", bytes)
        .await
}

#[tokio::test]
async fn a_component_is_uploaded_and_listed() {
    let fixture = Fixture::start().await;
    let answer = upload(&fixture, component("chat")).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    let made = answer.json();
    let digest = made["digest"].as_str().unwrap();
    assert_eq!(
        answer.headers["location"],
        format!("/api/v1/components/{digest}")
    );
    assert_eq!(
        (&made["contract"], &made["exports"]),
        (&json!("0.1.0"), &json!(["chat"]))
    );
    let shown = fixture
        .get(&format!("/api/v1/components/{digest}"))
        .await
        .json();
    assert_eq!(shown, made);
    assert_eq!(upload(&fixture, component("chat")).await.json(), made);
    let listed = fixture.get("/api/v1/components").await.json();
    assert_eq!(listed, json!({"items": [made], "next": null}));
    fixture
        .get("/api/v1/components/none")
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn what_is_no_component_is_refused_with_a_sentence() {
    let fixture = Fixture::with(|config| config.registry.max_component_bytes = 10_000).await;
    for (bytes, part) in [
        (Vec::new(), "empty"),
        (b"(component)".to_vec(), "text"),
        (b"\0asm\x01\0\0\0".to_vec(), "core module"),
        (component("chat")[..30].to_vec(), "cut short"),
        (vec![0xff; 100], "not WebAssembly"),
    ] {
        let detail = upload(&fixture, bytes)
            .await
            .problem(422, "invalid-component");
        assert!(detail.contains(part), "{detail}");
    }
    let detail = upload(&fixture, vec![0; 10_001])
        .await
        .problem(413, "too-large");
    assert!(detail.contains("max_component_bytes"), "{detail}");
    let listed = fixture.get("/api/v1/components").await.json();
    assert_eq!(listed["items"], json!([]));
}

#[tokio::test]
async fn an_upload_may_be_larger_than_other_bodies() {
    let fixture = Fixture::with(|config| config.server.max_body_bytes = 10).await;
    assert_eq!(upload(&fixture, component("chat")).await.status, 201);
}

/// Makes an agent of an uploaded component; answers it.
async fn make(fixture: &Fixture, name: &str) -> Value {
    let digest = upload(fixture, component("chat")).await.json()["digest"].clone();
    let body = json!({"component": digest}).to_string();
    let made = fixture
        .call(&format!("PUT /api/v1/agents/{name}"), &body)
        .await;
    assert_eq!(made.status, 200, "{}", made.json());
    made.json()
}

#[tokio::test]
async fn an_agent_is_made_and_removed() {
    let fixture = Fixture::start().await;
    let made = make(&fixture, "helper").await;
    assert_eq!(
        (&made["version"], &made["source"]),
        (&json!(1), &json!("api"))
    );
    assert_eq!(fixture.get("/api/v1/agents/helper").await.json(), made);
    let removed = fixture.call("DELETE /api/v1/agents/helper", "").await;
    assert_eq!(removed.status, 204);
    fixture
        .get("/api/v1/agents/helper")
        .await
        .problem(404, "not-found");
    let again = fixture.call("DELETE /api/v1/agents/helper", "").await;
    again.problem(404, "not-found");
}

#[tokio::test]
async fn a_change_is_a_version_that_can_be_taken_back() {
    let fixture = Fixture::start().await;
    make(&fixture, "helper").await;
    let line = "PUT /api/v1/agents/helper";
    let change = json!({"config": {"prompt": "x"}, "grants": ["llm"], "limits": {"fuel": 5}});
    let changed = fixture.call(line, &change.to_string()).await.json();
    assert_eq!(
        (&changed["version"], &changed["config"]),
        (&json!(2), &change["config"])
    );
    assert_eq!(
        (&changed["granted"], &changed["limits"]),
        (&change["grants"], &change["limits"])
    );
    let back = fixture
        .call(line, r#"{"labels": {"production": 1}}"#)
        .await
        .json();
    assert_eq!((&back["version"], &back["config"]), (&json!(1), &json!({})));
    let versions = "/api/v1/agents/helper/versions?limit=1";
    let first = fixture.get(versions).await.json();
    assert_eq!(
        (&first["items"][0]["version"], &first["next"]),
        (&json!(2), &json!("2"))
    );
    let second = fixture.get(&format!("{versions}&cursor=2")).await.json();
    assert_eq!(second["items"][0]["version"], 1);
    let none = fixture.call(line, r#"{"labels": {"production": 9}}"#).await;
    none.problem(404, "not-found");
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused() {
    let fixture = Fixture::start().await;
    let none = "0".repeat(64);
    for (name, body, status, code, part) in [
        ("helper", json!({}), 404, "not-found", "component"),
        (
            "helper",
            json!({"component": none}),
            404,
            "not-found",
            "upload it first",
        ),
        (
            "Big",
            json!({}),
            400,
            "invalid-request",
            "not an agent name",
        ),
        (
            "helper",
            json!({"grants": ["fly"]}),
            400,
            "invalid-request",
            "fly",
        ),
        (
            "helper",
            json!({"limits": {"full": 1}}),
            400,
            "invalid-request",
            "full",
        ),
        (
            "helper",
            json!({"colour": 1}),
            400,
            "invalid-request",
            "colour",
        ),
    ] {
        let answer = fixture
            .call(&format!("PUT /api/v1/agents/{name}"), &body.to_string())
            .await;
        let detail = answer.problem(status, code);
        assert!(detail.contains(part), "{body}: {detail}");
    }
}

#[tokio::test]
async fn lists_are_given_page_by_page() {
    let fixture = Fixture::start().await;
    for name in ["a", "b", "c"] {
        make(&fixture, name).await;
    }
    let names = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = fixture.get("/api/v1/agents?limit=2").await.json();
    assert_eq!(
        (names(&first), &first["next"]),
        (vec!["a".into(), "b".into()], &json!("b"))
    );
    let second = fixture.get("/api/v1/agents?limit=2&cursor=b").await.json();
    assert_eq!(
        (names(&second), &second["next"]),
        (vec!["c".into()], &json!(null))
    );
}

#[tokio::test]
async fn an_event_is_published_as_it_was_given() {
    let fixture = Fixture::start().await;
    let event = r#"{"topic": "note.added", "data": {"z": 1, "a": 1.50}, "ordering_key": "k", "priority": 2}"#;
    let answer = fixture.call("POST /api/v1/events", event).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    let published = answer.json();
    assert_eq!(published["subscribers"], 0);
    let stored = fixture
        .host
        .store
        .events("default", Some("note.added"), 0, 10)
        .await
        .unwrap();
    assert_eq!(stored[0].data, r#"{"z": 1, "a": 1.50}"#);
    fixture
        .call("POST /api/v1/events", r#"{"topic": "other", "data": null}"#)
        .await;
    let listed = fixture.get("/api/v1/events?topic=note.added").await.json();
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["event"], published["event"]);
    assert_eq!(
        (&items[0]["source"], &items[0]["priority"]),
        (&json!("api:administrator"), &json!(2))
    );
    let page = fixture.get("/api/v1/events?limit=2").await.json();
    assert_eq!(page["items"][0]["topic"], "system.started");
    let next = page["next"].as_str().unwrap();
    let page = fixture
        .get(&format!("/api/v1/events?limit=2&cursor={next}"))
        .await
        .json();
    assert_eq!(page["items"][0]["topic"], "other");
}

#[tokio::test]
async fn events_that_cannot_be_are_refused() {
    let fixture = Fixture::start().await;
    let large = format!(r#"{{"topic": "a", "data": "{}"}}"#, "x".repeat(257 << 10));
    fixture
        .call("POST /api/v1/events", &large)
        .await
        .problem(413, "too-large");
    for body in [
        r#"{"topic": "A B", "data": 1}"#,
        r#"{"topic": "a"}"#,
        r#"{"topic": "a", "data": 1, "priority": 0}"#,
        r#"{"topic": "a", "data": 1, "priority": 256}"#,
        r#"{"topic": "a", "data": 1, "ttl_ms": -1}"#,
    ] {
        fixture
            .call("POST /api/v1/events", body)
            .await
            .problem(400, "invalid-request");
    }
    let retry = fixture.call("POST /api/v1/events/dead/e/a/retry", "").await;
    retry.problem(404, "not-found");
}

#[tokio::test]
async fn a_token_is_shown_once_and_ends_when_revoked() {
    let fixture = Fixture::start().await;
    let body = r#"{"name": "a dashboard", "scopes": ["read", "read"]}"#;
    let made = fixture.call("POST /api/v1/tokens", body).await;
    assert_eq!(made.status, 201);
    let made = made.json();
    assert_eq!(made["scopes"], json!(["read"]));
    let token = made["token"].as_str().unwrap();
    assert_eq!(fixture.get_as(token, "/api/v1/usage").await.status, 200);
    let listed = fixture.get("/api/v1/tokens").await;
    assert!(!String::from_utf8_lossy(&listed.body).contains(token));
    let id = made["id"].as_str().unwrap();
    assert!(
        listed.json()["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|item| item["id"] == id)
    );
    assert_eq!(
        fixture
            .call(&format!("DELETE /api/v1/tokens/{id}"), "")
            .await
            .status,
        204
    );
    fixture
        .get_as(token, "/api/v1/usage")
        .await
        .problem(401, "unauthenticated");
    fixture
        .call(&format!("DELETE /api/v1/tokens/{id}"), "")
        .await
        .problem(404, "not-found");
    for body in [
        r#"{"name": "", "scopes": ["read"]}"#,
        r#"{"name": "x", "scopes": []}"#,
        r#"{"name": "x", "scopes": ["fly"]}"#,
    ] {
        fixture
            .call("POST /api/v1/tokens", body)
            .await
            .problem(400, "invalid-request");
    }
}

#[tokio::test]
async fn only_administrators_see_where_the_host_keeps_things() {
    let fixture = Fixture::start().await;
    let status = fixture.get("/api/v1/status").await.json();
    assert!(status["data_dir"].is_string());
    assert_eq!(status["cache"]["resolved_agents"], 0);
    let read = fixture.token("read").await;
    let status = fixture.get_as(&read, "/api/v1/status").await.json();
    assert_eq!(status.get("data_dir"), None);
    assert_eq!(status["turns_in_progress"], 0);
}

#[tokio::test]
async fn a_turn_that_has_ended_is_not_cancelled_although_it_is_still_watched() {
    let fixture = Fixture::start().await;
    make(&fixture, "a").await;
    let failed = fixture
        .call("POST /api/v1/agents/a/messages", r#"{"text": "hello"}"#)
        .await;
    let turn = failed.headers["anchorhold-turn"].to_str().unwrap();
    let feed = fixture.host.feeds.open_again(turn, 0);
    feed.push(FeedEvent::Completed);
    let line = format!("POST /api/v1/turns/{turn}/cancel");
    fixture.call(&line, "").await.problem(409, "conflict");
    assert!(!feed.kill.is_pulled());
}
