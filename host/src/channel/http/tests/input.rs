//! Bad input gets a problem document, whatever it is.

use axum::body::Body;
use axum::http::Request;
use secrecy::SecretString;
use serde_json::json;

use super::Fixture;
use crate::config::{Alias, Provider, ProviderKind};

const MESSAGE: &str = "POST /api/v1/messages";

#[tokio::test]
async fn a_message_that_cannot_be_read_is_refused() {
    let fixture = Fixture::start().await;
    for (body, part) in [
        (&b"{"[..], "EOF"),
        (b"", "EOF"),
        (b"[]", "invalid length"),
        (b"{\"text\": \"a\xff\"}", "unicode"),
        (b"{\"text\": \"\\ud800\"}", "hex escape"),
        (b"{}", "text"),
        (b"{\"text\": 1}", "text"),
        (b"{\"text\": \"a\", \"colour\": 1}", "colour"),
        (b"{\"text\": \" \"}", "empty"),
        (b"{\"text\": \"a\", \"conversation\": \"\"}", "conversation"),
        (b"{\"text\": \"a\", \"user\": \"a\\nb\"}", "user"),
    ] {
        let answer = fixture
            .call_with(MESSAGE, "application/json", body.to_vec())
            .await;
        let detail = answer.problem(400, "invalid-request");
        assert!(
            detail.contains(part),
            "{}: {detail}",
            String::from_utf8_lossy(body)
        );
    }
    let deep = "[".repeat(200_000);
    fixture
        .call(MESSAGE, &deep)
        .await
        .problem(400, "invalid-request");
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let fixture = Fixture::with(|config| config.server.max_body_bytes = 300 << 10).await;
    let long = format!("{{\"text\": \"{}\"}}", "x".repeat(257 << 10));
    fixture.call(MESSAGE, &long).await.problem(413, "too-large");
    let body = "x".repeat(301 << 10);
    let detail = fixture.call(MESSAGE, &body).await.problem(413, "too-large");
    assert!(detail.contains("max_body_bytes"), "{detail}");
    let web = fixture.call("POST /agents/nobody/", &body).await;
    web.problem(413, "too-large");
}

#[tokio::test]
async fn other_content_types_are_refused() {
    let fixture = Fixture::start().await;
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "nonsense",
    ] {
        let answer = fixture.call_with(MESSAGE, kind, "{\"text\": \"a\"}").await;
        let detail = answer.problem(415, "invalid-request");
        assert!(detail.contains("application/json"), "{detail}");
    }
    let upload = fixture.call("POST /api/v1/components", "{}").await;
    let detail = upload.problem(415, "invalid-request");
    assert!(detail.contains("application/wasm"), "{detail}");
}

#[tokio::test]
async fn addresses_and_methods_that_are_not_there_are_refused() {
    let fixture = Fixture::start().await;
    for path in [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/nothing",
        "/api/v2/agents",
        "/agents",
        "/agents/",
    ] {
        fixture.get(path).await.problem(404, "not-found");
    }
    for line in [
        "PUT /api/v1/messages",
        "DELETE /api/v1/usage",
        "POST /health/live",
        "PATCH /api/v1/agents/a",
    ] {
        let answer = fixture.call(line, "").await;
        answer.problem(405, "invalid-request");
        assert!(answer.headers.contains_key("allow"), "{line}");
    }
}

#[tokio::test]
async fn malformed_addresses_and_queries_are_refused() {
    let fixture = Fixture::start().await;
    fixture
        .get("/api/v1/agents/%ff")
        .await
        .problem(400, "invalid-request");
    fixture
        .get("/api/v1/turns/%f0%28%8c%28/journal")
        .await
        .problem(400, "invalid-request");
    fixture
        .get("/api/v1/agents/%zz")
        .await
        .problem(404, "not-found");
    fixture
        .get("/api/v1/agents/%00")
        .await
        .problem(404, "not-found");
    fixture
        .get("/api/v1/agents/..%2f..%2fetc")
        .await
        .problem(404, "not-found");
    for query in ["limit=many", "limit=-1", "colour=red", "limit=1&limit=2"] {
        let answer = fixture.get(&format!("/api/v1/agents?{query}")).await;
        answer.problem(400, "invalid-request");
    }
    for path in [
        "events?cursor=x",
        "events/dead?cursor=1",
        "agents/a/versions?cursor=x",
        "turns?status=odd",
    ] {
        let answer = fixture.get(&format!("/api/v1/{path}")).await;
        assert!(answer.status == 400 || answer.status == 404, "{path}");
    }
    fixture
        .get("/api/v1/events?topic=A*")
        .await
        .problem(400, "invalid-request");
}

#[tokio::test]
async fn tokens_are_checked() {
    let fixture = Fixture::start().await;
    let answer = fixture.get_as_nobody("/api/v1/agents").await;
    answer.problem(401, "unauthenticated");
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    for token in ["wrong", "", "ah_0000", &"x".repeat(10_000)] {
        let answer = fixture.get_as(token, "/api/v1/agents").await;
        answer.problem(401, "unauthenticated");
    }
    let basic = Request::get("/api/v1/agents").header("authorization", "Basic YTpi");
    let answer = fixture.send(basic.body(Body::empty()).unwrap()).await;
    answer.problem(401, "unauthenticated");
}

#[tokio::test]
async fn scopes_are_checked() {
    let fixture = Fixture::start().await;
    let chat = fixture.token("chat").await;
    let read = fixture.token("read").await;
    let write = fixture.token("write").await;
    for path in [
        "agents",
        "components",
        "events",
        "events/dead",
        "usage",
        "status",
        "turns",
        "plugin-files",
    ] {
        let path = format!("/api/v1/{path}");
        assert_eq!(fixture.get_as(&read, &path).await.status, 200, "{path}");
        let detail = fixture.get_as(&chat, &path).await.problem(403, "forbidden");
        assert!(detail.contains("read"), "{detail}");
    }
    for token in [&chat, &read, &write] {
        let detail = fixture
            .get_as(token, "/api/v1/tokens")
            .await
            .problem(403, "forbidden");
        assert!(detail.contains("admin"), "{detail}");
    }
}

#[tokio::test]
async fn who_may_not_send_something_is_told_so_before_it_is_read() {
    let fixture = Fixture::start().await;
    let read = fixture.token("read").await;
    for line in [
        "POST events",
        "PUT agents/a",
        "POST tokens",
        "POST components",
    ] {
        let (method, path) = line.split_once(' ').unwrap();
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/{path}"))
            .header("authorization", format!("Bearer {read}"))
            .body(Body::from("no JSON"));
        let answer = fixture.send(request.unwrap()).await;
        answer.problem(403, "forbidden");
    }
}

#[tokio::test]
async fn the_status_says_which_models_there_are_and_no_keys() {
    let openai = Provider {
        kind: ProviderKind::Openai,
        base_url: None,
        api_key: Some(SecretString::from("sk-hidden")),
        model: None,
        free: None,
    };
    let alias = Alias::one("mine".to_owned(), "m".to_owned());
    let fixture = Fixture::with(|config| {
        config.llm.providers.insert("mine".to_owned(), openai);
        config.llm.models.insert("default".to_owned(), alias);
    });
    let status = fixture.await.get("/api/v1/status").await;
    let model = json!({"alias": "default", "provider": "mine", "kind": "openai", "model": "m"});
    assert_eq!(status.json()["models"], json!([model]));
    assert!(!String::from_utf8_lossy(&status.body).contains("hidden"));
}

#[tokio::test]
async fn answers_are_neither_stored_nor_sniffed() {
    let fixture = Fixture::start().await;
    for path in ["/api/v1/status", "/api/v1/openapi.json", "/health/live"] {
        let answer = fixture.get(path).await;
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
        assert_eq!(
            answer.headers["x-content-type-options"], "nosniff",
            "{path}"
        );
    }
    let nothing = fixture.get("/nothing").await;
    assert_eq!(nothing.headers["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn an_agent_that_is_not_there_or_does_not_answer_requests_is_told_apart() {
    let fixture = Fixture::start().await;
    let missing = fixture.get_as_nobody("/agents/nobody/page").await;
    let detail = missing.problem(404, "not-found");
    assert!(detail.contains("nobody"), "{detail}");
    let refused = fixture.get_as("wrong", "/agents/nobody/page").await;
    refused.problem(401, "unauthenticated");
    let installed = fixture.call_with(
        "POST /api/v1/components",
        "application/wasm",
        super::component("chat"),
    );
    let digest = installed.await.json()["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    fixture
        .call(
            "PUT /api/v1/agents/talker",
            &format!("{{\"component\": {digest:?}}}"),
        )
        .await;
    let talker = fixture.get_as_nobody("/agents/talker").await;
    let detail = talker.problem(404, "not-found");
    assert!(detail.contains("does not export web"), "{detail}");
    let turns = fixture.get("/api/v1/turns").await.json();
    assert_eq!(turns["items"].as_array().unwrap().len(), 0);
}
