//! Events that the host itself publishes, and topics that are kept for it.

use anchorhold_tests::TestHost;
use serde_json::{Value, json};

use super::{probe_that_receives, publish, published};

async fn wait_for(host: &TestHost, topic: &str, count: usize) -> Vec<Value> {
    host.wait_for(topic, async || {
        let events = published(host, topic).await;
        (events.len() >= count).then_some(events)
    })
    .await
}

#[tokio::test]
async fn what_happens_to_agents_is_published() {
    let host = TestHost::new().plugin("probe").start().await;
    let registered = &wait_for(&host, "agent.registered", 1).await[0];
    assert_eq!(registered["source"], "system");
    assert_eq!(registered["data"]["agent"], "probe");
    assert_eq!(registered["data"]["version"], 1);
    let limits = json!({ "limits": { "fuel": 1_000_000 } });
    assert_eq!(host.put("/api/v1/agents/probe", &limits).await.status, 200);
    let updated = &wait_for(&host, "agent.updated", 1).await[0];
    assert_eq!(updated["data"], json!({ "agent": "probe", "version": 2 }));
    std::fs::write(host.plugins_dir().join("bad.wasm"), b"nothing").unwrap();
    let broken = &wait_for(&host, "agent.broken", 1).await[0];
    assert_eq!(broken["data"], json!({ "agent": "bad" }));
    std::fs::remove_file(host.plugins_dir().join("probe.wasm")).unwrap();
    let removed = &wait_for(&host, "agent.removed", 1).await[0];
    assert_eq!(removed["data"], json!({ "agent": "probe" }));

    let host = host.stop().await.start_now().await;
    assert_eq!(wait_for(&host, "system.started", 2).await.len(), 2);
    assert_eq!(published(&host, "system.stopping").await.len(), 1);
    assert_eq!(published(&host, "agent.broken").await.len(), 1);
}

#[tokio::test]
async fn a_dead_letter_is_an_event_and_its_own_is_not() {
    let host = TestHost::new()
        .plugin("probe")
        .plugin_as("probe", "fails")
        .manifest("fails", &probe_that_receives("'system.dead-letter'"))
        .limit("host_calls", 2)
        .set("events.max_attempts", 2)
        .set("events.backoff_ms", 1)
        .start()
        .await;
    let id = publish(&host, "probe.bad", json!({ "fail": 9 }), None).await;
    let letter = &wait_for(&host, "system.dead-letter", 1).await[0];
    assert_eq!(letter["data"]["event"], id.as_str());
    assert_eq!(letter["data"]["agent"], "probe");
    assert_eq!(letter["data"]["attempts"], 2);
    assert_eq!(letter["data"]["code"], "agent-error");
    // Whoever is told fails as well: too few host calls for what it does.
    host.wait_for("both dead letters", async || {
        let dead = host.get("/api/v1/events/dead").await.body;
        (dead["items"].as_array()?.len() == 2).then_some(())
    })
    .await;
    assert_eq!(published(&host, "system.dead-letter").await.len(), 1);
}

#[tokio::test]
async fn only_the_host_publishes_its_topics() {
    let host = TestHost::new().plugin("probe").start().await;
    for topic in [
        "system.x",
        "agent.x",
        "workflow.x",
        "improvement.x",
        "user.x",
    ] {
        let body = json!({ "topic": topic, "data": {} });
        let answer = host.post("/api/v1/events", &body).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid-request"));
        assert!(
            answer.detail().contains("only the host"),
            "{}",
            answer.detail()
        );
        let answer = host.ask("probe", &format!("publish {topic} {{}}")).await;
        let refused = answer.text().starts_with("error invalid-input");
        let denied = answer.text().starts_with("error denied");
        assert!(refused || denied, "{}", answer.text());
    }
}
