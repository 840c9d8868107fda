//! Many messages at once, again and in another order, while the host is killed: each
//! is one turn.
//!
//! `ANCHORHOLD_BURST=1000` makes it larger.

use anchorhold_tests::{TestHost, TestSlack};
use futures_util::future::join_all;
use serde_json::{Value, json};

const DIRECT: &str = "D0ALICE";

/// All turns, page by page.
async fn turns(host: &TestHost) -> Vec<Value> {
    let mut turns = Vec::new();
    let mut from = String::new();
    loop {
        let page = host
            .get(&format!("/api/v1/turns?limit=200{from}"))
            .await
            .body;
        turns.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => from = format!("&cursor={next}"),
            None => return turns,
        }
    }
}

#[tokio::test]
async fn a_burst_is_one_turn_each_whatever_happens() {
    let messages = std::env::var("ANCHORHOLD_BURST");
    let messages: usize = messages.map_or(200, |text| text.parse().expect("a number"));
    let slack = TestSlack::http().await;
    let host = slack.host().plugin("probe").set("slack.agent", "probe");
    let host = host.start().await;
    slack.calls("auth.test", 1).await;
    slack
        .set(json!({"retry_delays_ms": [300, 1_000, 3_000, 9_000]}))
        .await;
    let faults = [
        json!({"kind": "duplicate", "times": messages / 5}),
        json!({"kind": "reverse", "times": 20}),
    ];
    for fault in faults {
        slack.event_fault(fault).await;
    }
    // An empty answer says nothing, which Slack would take one of a second.
    let say = async |count: usize| {
        let said = (0..count).map(|_| slack.say("U0ALICE", DIRECT, "echo"));
        join_all(said).await;
    };
    say(messages / 2).await;
    let host = host.crash().await;
    say(messages - messages / 2).await;
    let host = host.start().await;
    slack.deliveries("acked", messages).await;
    let turns = host
        .wait_for("every message is answered", async || {
            let turns = turns(&host).await;
            let is_over = turns.iter().all(|turn| turn["status"] == "completed");
            (is_over && turns.len() >= messages).then_some(turns)
        })
        .await;
    let mut conversations: Vec<_> = turns.iter().map(|turn| &turn["conversation"]).collect();
    conversations.sort_by_key(|conversation| conversation.to_string());
    conversations.dedup();
    assert_eq!((turns.len(), conversations.len()), (messages, messages));
    host.stop().await;
}
