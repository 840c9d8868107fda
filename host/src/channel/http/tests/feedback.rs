//! What people think of answers, by the API.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::Fixture;
use crate::feedback::MAX_COMMENT_BYTES;
use crate::store::testing::{accept, new_turn};

async fn give(fixture: &Fixture, body: &Value) -> super::Answer {
    let line = "POST /api/v1/feedback";
    fixture.call(line, &body.to_string()).await
}

async fn listed(fixture: &Fixture, query: &str) -> Vec<String> {
    let page = fixture.get(&format!("/api/v1/feedback{query}")).await;
    let page = page.json();
    let items = page["items"].as_array().unwrap().iter();
    let line = |item: &Value| format!("{} {} {}", item["turn"], item["user"], item["rating"]);
    items.map(|item| line(item).replace('"', "")).collect()
}

#[tokio::test]
async fn answers_are_rated_and_the_ratings_listed() {
    let fixture = Fixture::start().await;
    for turn in ["one", "two"] {
        accept(&fixture.host.store, new_turn(turn)).await;
    }
    for (turn, user, rating) in [
        ("one", "ada", "up"),
        ("two", "ada", "down"),
        ("one", "bob", "down"),
        ("one", "ada", "down"),
    ] {
        let body = json!({"turn": turn, "user": user, "rating": rating, "comment": "so"});
        let given = give(&fixture, &body).await;
        assert_eq!(given.status, 200, "{}", given.json());
        assert_eq!(given.json()["user"], format!("http:{user}"));
    }
    let all = [
        "one http:ada down",
        "one http:bob down",
        "two http:ada down",
    ];
    assert_eq!(listed(&fixture, "").await, all);
    assert_eq!(
        listed(&fixture, "?rating=down&agent=a&since_ms=1").await,
        all
    );
    for query in ["?rating=up", "?agent=b", "?since_ms=4102444800000"] {
        assert_eq!(listed(&fixture, query).await, Vec::<String>::new());
    }
    let page = fixture.get("/api/v1/feedback?limit=2").await.json();
    let next = page["next"].as_str().unwrap();
    let rest = format!("?limit=2&cursor={next}");
    assert_eq!(listed(&fixture, &rest).await, ["two http:ada down"]);
    let turn = fixture.get("/api/v1/turns/two").await.json();
    assert_eq!(turn["feedback"][0]["comment"], "so");
    let turns = fixture.get("/api/v1/turns?feedback=down").await.json();
    assert_eq!(turns["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn feedback_that_cannot_be_is_refused() {
    let fixture = Fixture::start().await;
    accept(&fixture.host.store, new_turn("t")).await;
    let comment = "x".repeat(MAX_COMMENT_BYTES + 1);
    for (body, status, code) in [
        (json!({"turn": "gone", "rating": "up"}), 404, "not-found"),
        (
            json!({"turn": "t", "rating": "so-so"}),
            400,
            "invalid-request",
        ),
        (json!({"turn": "t"}), 400, "invalid-request"),
        (
            json!({"turn": "t", "rating": "up", "user": ""}),
            400,
            "invalid-request",
        ),
        (
            json!({"turn": "t", "rating": "up", "comment": comment}),
            413,
            "too-large",
        ),
    ] {
        give(&fixture, &body).await.problem(status, code);
    }
    assert_eq!(listed(&fixture, "").await, Vec::<String>::new());
    // Who only talks rates the answers to itself, and reads no ratings.
    let chats = fixture.token("chat").await;
    let request = Request::post("/api/v1/feedback")
        .header("authorization", format!("Bearer {chats}"))
        .header("content-type", "application/json")
        .body(Body::from(r#"{"turn": "t", "rating": "up"}"#));
    let refused = fixture.send(request.unwrap()).await;
    refused.problem(404, "not-found");
    let refused = fixture.get_as(&chats, "/api/v1/feedback").await;
    refused.problem(403, "forbidden");
}
