//! The event bus: stored, delivered in order, tried again, dead in the end.

mod bounds;
mod following;
mod replay;
mod schedules;
mod standard;
mod subscriptions;

use anchorhold_tests::TestHost;
use serde_json::{Value, json};

/// A manifest of the probe that receives these topics.
fn probe_that_receives(topics: &str) -> String {
    format!(
        "[wants]\nstate = 'x'\nevents = 'x'\ntopics = ['probe.*']\n[triggers]\ntopics = [{topics}]"
    )
}

/// The events of a topic.
async fn published(host: &TestHost, topic: &str) -> Vec<Value> {
    let path = format!("/api/v1/events?limit=500&topic={topic}");
    let body = host.get(&path).await.body;
    body["items"].as_array().unwrap().clone()
}

async fn publish(host: &TestHost, topic: &str, data: Value, key: Option<&str>) -> String {
    let mut body = json!({ "topic": topic, "data": data });
    if let Some(key) = key {
        body["ordering_key"] = key.into();
    }
    let answer = host.post("/api/v1/events", &body).await;
    assert!(answer.status < 300, "{:#}", answer.body);
    answer.body["event"].as_str().unwrap().to_owned()
}

/// What the probe received for a key, in order.
async fn received(host: &TestHost, key: &str) -> Vec<String> {
    received_by(host, "probe", key).await
}

/// The same of a probe by another name.
async fn received_by(host: &TestHost, agent: &str, key: &str) -> Vec<String> {
    let log = host.ask(agent, &format!("state get agent log:{key}")).await;
    if log.text() == "absent" {
        return Vec::new();
    }
    let value = log.json_text()["value"].clone();
    let list: Value = serde_json::from_str(value.as_str().unwrap()).unwrap();
    list.as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn an_event_reaches_who_subscribes() {
    let host = TestHost::new().plugin("probe").start().await;
    let id = publish(&host, "probe.hello", json!({ "n": 1 }), None).await;
    publish(&host, "other.hello", json!({}), None).await;
    host.wait_for("the event", async || {
        received(&host, "-").await.contains(&id).then_some(())
    })
    .await;
    let listed = host.get("/api/v1/events?topic=probe.hello").await.body;
    assert_eq!(listed["items"][0]["event"], id.as_str());
    assert!(
        listed["items"][0]["source"]
            .as_str()
            .unwrap()
            .starts_with("api:")
    );
    let turns = host.get("/api/v1/turns?agent=probe").await.body;
    assert!(
        turns["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|turn| turn["kind"] == "event")
    );
}

#[tokio::test]
async fn events_of_a_key_arrive_in_order_even_when_one_must_be_tried_again() {
    let host = TestHost::new()
        .plugin("probe")
        .set("events.backoff_ms", 20)
        .start()
        .await;
    let mut expected = Vec::new();
    for n in 0..8 {
        let data = if n == 2 {
            json!({ "fail": 2 })
        } else {
            json!({ "n": n })
        };
        expected.push(publish(&host, "probe.order", data, Some("k")).await);
    }
    host.wait_for("all events", async || {
        (received(&host, "k").await.len() == 8).then_some(())
    })
    .await;
    assert_eq!(received(&host, "k").await, expected);
}

#[tokio::test]
async fn what_fails_for_good_becomes_a_dead_letter_and_holds_up_nobody() {
    let host = TestHost::new()
        .plugin("probe")
        .set("events.backoff_ms", 10)
        .set("events.max_attempts", 3)
        .start()
        .await;
    let bad = publish(&host, "probe.bad", json!({ "fail": 99 }), Some("k")).await;
    let good = publish(&host, "probe.good", json!({}), Some("k")).await;
    let dead = host
        .wait_for("the dead letter", async || {
            let dead = host.get("/api/v1/events/dead").await.body;
            dead["items"]
                .as_array()
                .is_some_and(|items| !items.is_empty())
                .then_some(dead)
        })
        .await;
    assert_eq!(dead["items"][0]["attempts"], 3, "{dead:#}");
    assert!(dead.to_string().contains(&bad), "{dead:#}");
    host.wait_for("the next event of the key", async || {
        received(&host, "k").await.contains(&good).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_an_agent_publishes_survives_a_crash() {
    let host = TestHost::new().plugin("probe").start().await;
    let later = anchorhold_tests::now_ms() + 3_000;
    let body = json!({ "topic": "probe.later", "data": {}, "deliver_at_ms": later });
    let id = host.post("/api/v1/events", &body).await.body["event"]
        .as_str()
        .unwrap()
        .to_owned();
    let host = host.crash().await.start().await;
    host.wait_for("the event", async || {
        received(&host, "-").await.contains(&id).then_some(())
    })
    .await;
}

#[tokio::test]
async fn malformed_events_are_refused() {
    let host = TestHost::new().plugin("probe").start().await;
    for body in [
        json!({ "topic": "Not A Topic", "data": {} }),
        json!({ "topic": "a.*", "data": {} }),
        json!({ "topic": "a", "data": {}, "priority": 11 }),
        json!({ "data": {} }),
    ] {
        let answer = host.post("/api/v1/events", &body).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "invalid-request"),
            "{body}: {:#}",
            answer.body
        );
    }
    for text in ["publish Bad {}", "publish probe.x {not json"] {
        let answer = host.ask("probe", text).await;
        assert!(
            answer.text().starts_with("error"),
            "{text}: {}",
            answer.text()
        );
    }
}
