//! How much of events the host takes: by source, by how many led to one
//! another, by subscriber.

use anchorhold_tests::TestHost;
use serde_json::json;

use super::{probe_that_receives, publish, published, received_by};

#[tokio::test]
async fn a_source_publishes_so_many_events_a_minute() {
    let host = TestHost::new()
        .plugin("probe")
        .set("events.per_source_per_minute", 3)
        .start()
        .await;
    for _ in 0..3 {
        publish(&host, "probe.api", json!({}), None).await;
    }
    let body = json!({ "topic": "probe.api", "data": {} });
    let refused = host.post("/api/v1/events", &body).await;
    assert_eq!((refused.status, refused.code()), (429, "rate-limited"));
    let detail = refused.detail();
    assert!(
        detail.contains("[events] per_source_per_minute"),
        "{detail}"
    );
    let seconds: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=61).contains(&seconds), "{seconds}");

    // The agent counts for itself, and its refusal is in its journal.
    let answer = host
        .ask("probe", &["publish probe.agent {}"; 4].join("\n"))
        .await;
    let lines: Vec<&str> = answer.text().lines().collect();
    assert!(
        lines[..3].iter().all(|line| !line.starts_with("error")),
        "{lines:?}"
    );
    assert!(
        lines[3].starts_with("error limit-exceeded: agent:probe has published 3"),
        "{lines:?}"
    );
    let replayed = host.replay(&answer.turn()).await;
    assert_eq!(replayed.body["same"], true, "{:#}", replayed.body);
    assert_eq!(published(&host, "probe.agent").await.len(), 3);
    let metrics = host.get("/metrics").await.body;
    let refused = "anchorhold_events_refused_total{why=\"rate\"} 2";
    assert!(metrics.as_str().unwrap().contains(refused), "{metrics}");
}

#[tokio::test]
async fn agents_that_answer_each_others_events_are_stopped() {
    let host = TestHost::new()
        .plugin_as("probe", "ping")
        .manifest("ping", &probe_that_receives("'probe.ping'"))
        .plugin_as("probe", "pong")
        .manifest("pong", &probe_that_receives("'probe.pong'"))
        .set("events.max_hops", 5)
        .set("events.max_attempts", 1)
        .start()
        .await;
    publish(&host, "probe.ping", json!({ "to": "probe.pong" }), None).await;
    let dead = host
        .wait_for("the end of the loop", async || {
            let dead = host.get("/api/v1/events/dead").await.body;
            dead["items"].as_array()?.first().cloned()
        })
        .await;
    assert_eq!((&dead["hops"], &dead["agent"]), (&json!(5), &json!("pong")));
    let said = dead["error"]["message"].as_str().unwrap();
    assert!(said.contains("[events] max_hops"), "{said}");
    let (pings, pongs) = (
        published(&host, "probe.ping").await,
        published(&host, "probe.pong").await,
    );
    let hops = |events: &[serde_json::Value]| -> Vec<i64> {
        events
            .iter()
            .map(|event| event["hops"].as_i64().unwrap())
            .collect()
    };
    assert_eq!((hops(&pings), hops(&pongs)), (vec![0, 2, 4], vec![1, 3, 5]));
    // A person begins anew.
    let answer = host.ask("ping", "publish probe.other {}").await;
    assert!(!answer.text().starts_with("error"), "{}", answer.text());
    assert_eq!(published(&host, "probe.other").await[0]["hops"], 0);
}

#[tokio::test]
async fn a_subscriber_that_hangs_or_fails_hinders_no_other() {
    let host = TestHost::new()
        .plugin_as("probe", "hangs")
        .manifest("hangs", &probe_that_receives("'probe.slow'"))
        .plugin_as("probe", "fails")
        .manifest("fails", &probe_that_receives("'probe.bad', 'probe.all'"))
        .plugin_as("probe", "works")
        .manifest("works", &probe_that_receives("'probe.all'"))
        .set("events.concurrent", 4)
        .set("events.concurrent_per_agent", 2)
        .start()
        .await;
    for _ in 0..8 {
        publish(&host, "probe.slow", json!({ "sleep": 25_000 }), None).await;
        publish(&host, "probe.bad", json!({ "fail": 99 }), None).await;
    }
    let all = publish(&host, "probe.all", json!({}), None).await;
    for agent in ["works", "fails"] {
        host.wait_for("the event", async || {
            received_by(&host, agent, "-")
                .await
                .contains(&all)
                .then_some(())
        })
        .await;
    }
    assert!(received_by(&host, "hangs", "-").await.is_empty());
}
