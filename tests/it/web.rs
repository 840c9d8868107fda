//! Agents that answer HTTP requests themselves.

use anchorhold_tests::{Answer, TestHost};
use serde_json::json;

#[tokio::test]
async fn a_request_reaches_the_component_as_it_came() {
    let host = TestHost::new().plugin("probe").start().await;
    let client = reqwest::Client::new();
    let response = client
        .post(format!("{}/agents/probe/a%20b/c?x=1&y=%2F", host.url))
        .header("x-mine", "yes")
        .header("cookie", "session=secret")
        .body("hello")
        .send()
        .await
        .unwrap();
    let answer = Answer::read(response).await;
    assert_eq!(answer.status, 200, "{:#}", answer.body);
    let id = answer.header("anchorhold-turn").unwrap();
    let turn = host.get(&format!("/api/v1/turns/{id}")).await.body;
    assert_eq!(turn["kind"], "web", "{turn:#}");
    let events = host.get(&format!("/api/v1/turns/{id}/events")).await;
    assert_eq!(events.header("anchorhold-turn"), Some(id));
    assert_eq!(answer.body["method"], "POST");
    assert_eq!(answer.body["path"], "/a%20b/c");
    assert_eq!(answer.body["query"], "x=1&y=%2F");
    assert_eq!(answer.body["body"], "hello");
    let shown = answer.body.to_string();
    assert!(
        shown.contains("x-mine") && !shown.contains("secret"),
        "{shown}"
    );
}

#[tokio::test]
async fn the_webhook_keeps_what_it_is_sent() {
    let host = TestHost::new().plugin("webhook").start().await;
    let url = format!("{}/agents/webhook/orders", host.url);
    let client = reqwest::Client::new();
    let sent = client
        .post(&url)
        .json(&json!({ "n": 1 }))
        .send()
        .await
        .unwrap();
    assert!(sent.status().is_success(), "{}", sent.status());
    let got = Answer::read(client.get(&url).send().await.unwrap()).await;
    assert_eq!(got.body["n"], 1, "{:#}", got.body);
    assert_eq!(
        client
            .get(format!("{}/agents/webhook/never", host.url))
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
    let events = host.get("/api/v1/events?topic=webhook.orders").await.body;
    assert_eq!(events["items"].as_array().unwrap().len(), 1, "{events:#}");
}

#[tokio::test]
async fn an_agent_without_web_and_an_unknown_one_say_so() {
    let host = TestHost::new().plugin("notes").start().await;
    let client = reqwest::Client::new();
    for path in ["/agents/notes/", "/agents/nobody/x"] {
        let response = client
            .get(format!("{}{path}", host.url))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 404, "{path}");
    }
}
