//! Events that are delivered again.

use anchorhold_tests::TestHost;
use serde_json::{Value, json};

use super::{publish, received};

async fn replay(host: &TestHost, body: Value) -> Value {
    let answer = host.post("/api/v1/events/replay", &body).await;
    assert_eq!(answer.status, 200, "{:#}", answer.body);
    answer.body
}

#[tokio::test]
async fn what_an_agent_had_and_what_it_missed_comes_again() {
    let host = TestHost::new()
        .plugin("probe")
        .set("events.max_attempts", 1)
        .start()
        .await;
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(publish(&host, "probe.had", json!({ "n": n }), Some("k")).await);
    }
    let dead = publish(&host, "probe.dead", json!({ "fail": 1 }), Some("k")).await;
    host.wait_for("the dead letter", async || {
        let dead = host.get("/api/v1/events/dead").await.body;
        dead["items"].as_array()?.first().cloned()
    })
    .await;
    let missed = publish(&host, "other.topic", json!({}), Some("k")).await;

    let from = json!({ "event": ids[1] });
    let made = replay(&host, json!({ "agent": "probe", "from": from })).await;
    assert_eq!(made, json!({ "deliveries": 3, "next": null }));
    let made = replay(
        &host,
        json!({ "agent": "probe", "from": { "time": 0 }, "topic": "other.*" }),
    )
    .await;
    assert_eq!(made["deliveries"], 1);
    let expected = [&ids[0], &ids[1], &ids[2], &ids[1], &ids[2], &missed];
    host.wait_for("all of them", async || {
        (received(&host, "k").await.len() == expected.len()).then_some(())
    })
    .await;
    assert_eq!(
        received(&host, "k").await.iter().collect::<Vec<_>>(),
        expected
    );
    // What failed is tried from the first attempt on, and fails again.
    let dead_again = async || {
        let dead = host.get("/api/v1/events/dead").await.body;
        dead["items"][0].clone()
    };
    let letter = dead_again().await;
    assert_eq!(
        (&letter["event"], &letter["attempts"]),
        (&json!(dead), &json!(1))
    );

    let some = json!({ "agent": "probe", "from": { "time": 0 }, "topic": "probe.had", "limit": 2 });
    let made = replay(&host, some).await;
    assert_eq!(made, json!({ "deliveries": 2, "next": ids[2] }));
    let (code, text, _) = host
        .run_cli(&[
            "--json", "events", "replay", "--agent", "probe", "--since", "1h", "--topic",
            "other.**",
        ])
        .await;
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &told["deliveries"]), (0, &json!(1)));
}

#[tokio::test]
async fn what_cannot_be_replayed_is_refused() {
    let host = TestHost::new()
        .plugin("probe")
        .plugin("assistant")
        .start()
        .await;
    for (body, status, part) in [
        (
            json!({ "agent": "nobody", "from": { "time": 0 } }),
            404,
            "no agent nobody",
        ),
        (
            json!({ "agent": "assistant", "from": { "time": 0 } }),
            400,
            "no subscriber",
        ),
        (
            json!({ "agent": "probe", "from": { "event": "x" } }),
            404,
            "no event",
        ),
        (
            json!({ "agent": "probe", "from": { "time": 0 }, "topic": "a b" }),
            400,
            "not a topic pattern",
        ),
        (json!({ "agent": "probe", "from": {} }), 400, ""),
        (json!({ "agent": "probe" }), 400, "from"),
    ] {
        let answer = host.post("/api/v1/events/replay", &body).await;
        assert_eq!(answer.status, status, "{body}: {:#}", answer.body);
        assert!(
            answer.detail().contains(part),
            "{body}: {}",
            answer.detail()
        );
    }
    let (code, _, errors) = host
        .run_cli(&["events", "replay", "--agent", "probe", "--from", "x"])
        .await;
    assert!(code == 1 && errors.contains("no event"), "{errors}");
    let (code, ..) = host
        .run_cli(&["events", "replay", "--agent", "probe"])
        .await;
    assert_eq!(code, 2);
}
