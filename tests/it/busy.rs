//! A message that comes while an earlier one of its conversation is answered: it
//! waits, steers the turn that runs, or is refused, as the agent's manifest says.

use anchorhold_tests::{Answer, HostBuilder, TestHost};
use serde_json::json;

/// A probe that does so with messages that come while it is busy.
fn probe_that(when_busy: &str) -> HostBuilder {
    let manifest = format!(
        "[wants]\nstate = \"tests\"\n[triggers]\nchat = {{ when_busy = \"{when_busy}\" }}\n"
    );
    TestHost::new().plugin("probe").manifest("probe", &manifest)
}

async fn say(host: &TestHost, text: &str) -> Answer {
    let body = json!({"text": text, "conversation": "c"});
    let request = host.request("POST", "/api/v1/agents/probe/messages");
    let request = request.json(&body).header("prefer", "respond-async");
    Answer::read(request.send().await.unwrap()).await
}

async fn running(host: &TestHost, turn: &str) {
    host.wait_for("the turn runs", async || {
        let turn = host.get(&format!("/api/v1/turns/{turn}")).await.body;
        (turn["status"] == "running").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_message_waits_with_a_receipt() {
    let host = TestHost::new().plugin("probe").start().await;
    let first = say(&host, "sleep 3000\necho 1").await.turn();
    running(&host, &first).await;
    let body = json!({"text": "echo 2", "conversation": "c"});
    let request = host.request("POST", "/api/v1/agents/probe/messages");
    let request = request.json(&body).header("accept", "text/event-stream");
    let events = request.send().await.unwrap().text().await.unwrap();
    let events = anchorhold_tests::SseEvent::parse_all(&events);
    assert_eq!(
        (events[0].event.as_str(), &events[0].data["ahead"]),
        ("turn.queued", &json!(1))
    );
    assert_eq!(events.last().unwrap().data["text"], "2");
}

#[tokio::test]
async fn a_message_is_refused_while_another_is_answered() {
    let host = probe_that("refuse").start().await;
    let first = say(&host, "sleep 3000\necho 1").await.turn();
    let refused = say(&host, "echo 2").await;
    assert_eq!(
        (refused.status, refused.code()),
        (409, "conflict"),
        "{:#}",
        refused.body
    );
    assert_eq!(refused.turn(), first, "it says for what");
    let elsewhere = host.ask("probe", "echo other").await;
    assert_eq!(
        elsewhere.text(),
        "other",
        "conversations do not wait for each other"
    );
    assert_eq!(host.ended(&first).await["text"], "slept\n1");
    let later = say(&host, "echo 3").await;
    assert_eq!(host.ended(&later.turn()).await["text"], "3");
    let messages = host.get("/api/v1/conversations/c/messages").await.body;
    assert_eq!(
        messages["items"].as_array().unwrap().len(),
        4,
        "what was refused is not kept"
    );
}

#[tokio::test]
async fn a_message_steers_the_turn_that_runs() {
    let host = probe_that("steer").start().await;
    let first = say(&host, "sleep 3000\ninterjections\ninterjections")
        .await
        .turn();
    running(&host, &first).await;
    let second = say(&host, "rather blue").await.turn();
    let third = say(&host, "and round").await.turn();
    assert_eq!(
        host.ended(&first).await["text"],
        "slept\nrather blue|and round\n"
    );
    for turn in [&second, &third] {
        let steered = host.ended(turn).await;
        assert_eq!(steered["status"], "completed", "{steered:#}");
        assert_eq!(steered["steered"], first.as_str());
    }
    assert_eq!(host.replay(&first).await.body["same"], true);
    // What is not taken up is answered afterwards.
    let fourth = say(&host, "sleep 300\necho 4").await.turn();
    let fifth = say(&host, "interjections\necho 5").await.turn();
    assert_eq!(host.ended(&fourth).await["text"], "slept\n4");
    assert_eq!(host.ended(&fifth).await["text"], "\n5");
}
