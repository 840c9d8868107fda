//! Messages in, answers out.

use anchorhold_tests::{Answer, TestHost};
use serde_json::json;

#[tokio::test]
async fn a_message_is_answered_and_stored() {
    let host = TestHost::new().plugin("probe").start().await;
    let answer = host.ask("probe", "echo hello").await;
    assert_eq!(answer.text(), "hello");
    assert_eq!(answer.body["agent"], "probe");
    let receipt = &answer.body["receipt"];
    assert!(receipt["fuel"].as_u64().unwrap() > 1_000);
    assert!(receipt["memory_peak_bytes"].as_u64().unwrap() >= 65_536);
    assert_eq!(receipt["cost_micro_usd"], 0);
    assert!(receipt["timing"]["guest_us"].is_u64());

    let conversation = answer.body["conversation"].as_str().unwrap();
    let messages = host
        .get(&format!("/api/v1/conversations/{conversation}/messages"))
        .await
        .body;
    let told: Vec<_> = messages["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            (
                item["role"].as_str().unwrap(),
                item["text"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, [("user", "echo hello"), ("assistant", "hello")]);
    let turn = host
        .get(&format!("/api/v1/turns/{}", answer.turn()))
        .await
        .body;
    assert_eq!(turn["status"], "completed");
    assert_eq!(turn["text"], "hello");
}

#[tokio::test]
async fn the_second_message_sees_the_first() {
    let host = TestHost::new().plugin("probe").start().await;
    host.ask_in("thread", "probe", "echo one").await.text();
    host.ask_in("thread", "probe", "echo two").await.text();
    let answer = host.ask_in("thread", "probe", "history").await;
    assert_eq!(answer.text(), "echo one|one|echo two|two");
    assert_eq!(host.ask_in("another", "probe", "history").await.text(), "");
}

#[tokio::test]
async fn messages_of_a_conversation_are_answered_in_order() {
    let host = TestHost::new().plugin("probe").start().await;
    let requests = (0..20).map(|n| {
        let host = &host;
        async move {
            host.ask_in("thread", "probe", &format!("sleep 5\necho {n}"))
                .await
        }
    });
    let answers = futures_util::future::join_all(requests).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let messages = host
        .get("/api/v1/conversations/thread/messages?limit=100")
        .await
        .body;
    let items = messages["items"].as_array().unwrap();
    assert_eq!(items.len(), 40);
    for pair in items.chunks(2) {
        assert_eq!(pair[0]["role"], "user");
        let asked = pair[0]["text"]
            .as_str()
            .unwrap()
            .replace("sleep 5\necho", "slept\n")
            .replace("\n ", "\n");
        assert_eq!(pair[1]["text"], asked.as_str());
        assert_eq!(pair[0]["turn"], pair[1]["turn"]);
    }
    let mut turns: Vec<_> = items
        .iter()
        .step_by(2)
        .map(|item| item["turn"].as_str().unwrap().to_owned())
        .collect();
    let mut ended = Vec::new();
    for turn in &turns {
        ended.push(
            host.get(&format!("/api/v1/turns/{turn}")).await.body["finished_at"]
                .as_i64()
                .unwrap(),
        );
    }
    assert!(ended.is_sorted(), "{ended:?}");
    turns.dedup();
    assert_eq!(turns.len(), 20);
}

#[tokio::test]
async fn an_answer_is_streamed_as_it_is_made() {
    let script = "[fallback]\ntext = \"one two three\"\n";
    let host = TestHost::new().plugin("probe").script(script).start().await;
    let events = host.ask_streaming("probe", "forward tell").await;
    let names: Vec<&str> = events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(names.first(), Some(&"turn.started"));
    assert_eq!(names.last(), Some(&"turn.completed"));
    let text: String = events
        .iter()
        .filter(|event| event.event == "text.delta")
        .map(|event| event.data["text"].as_str().unwrap())
        .collect();
    assert_eq!(text, "one two three");
    assert!(
        events
            .iter()
            .enumerate()
            .all(|(index, event)| event.id == (index + 1).to_string())
    );
    assert_eq!(events.last().unwrap().data["text"], "one two three");

    let turn = events[0].data["turn"].as_str().unwrap();
    let again = host
        .request("GET", &format!("/api/v1/turns/{turn}/events"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(again.contains("event: turn.completed"), "{again}");
    assert!(again.contains("one two three"), "{again}");
}

#[tokio::test]
async fn what_was_shown_and_is_not_the_answer_is_taken_back() {
    let host = TestHost::new().plugin("probe").start().await;
    let events = host.ask_streaming("probe", "send a;;b\necho c").await;
    let shown = events
        .iter()
        .fold(String::new(), |shown, event| match event.event.as_str() {
            "text.delta" => shown + event.data["text"].as_str().unwrap(),
            "text.reset" => String::new(),
            _ => shown,
        });
    assert_eq!(shown, "ab\nc");
    let events = host.ask_streaming("probe", "progress").await;
    let names: Vec<&str> = events.iter().map(|event| event.event.as_str()).collect();
    assert!(
        names.contains(&"tool.started") && names.contains(&"tool.completed"),
        "{names:?}"
    );
}

#[tokio::test]
async fn the_same_request_is_one_turn() {
    let host = TestHost::new().plugin("probe").start().await;
    let send = async |text: &str| {
        let request = host.request("POST", "/api/v1/agents/probe/messages");
        let request = request
            .header("idempotency-key", "k1")
            .json(&json!({ "text": text }));
        Answer::read(request.send().await.unwrap()).await
    };
    let (first, second) = tokio::join!(send("echo once"), send("echo once"));
    assert_eq!(first.text(), "once");
    assert_eq!(second.text(), "once");
    assert_eq!(first.turn(), second.turn());
    assert_eq!(send("echo once").await.turn(), first.turn());
    let other = send("echo twice").await;
    assert_eq!((other.status, other.code()), (422, "idempotency-mismatch"));
    let turns = host.get("/api/v1/turns").await.body;
    assert_eq!(turns["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn who_does_not_wait_gets_a_turn_to_ask_for() {
    let host = TestHost::new().plugin("probe").start().await;
    let answer = host.ask_async("probe", "sleep 50\necho later").await;
    assert_eq!(answer.status, 202);
    assert_eq!(host.ended(&answer.turn()).await["text"], "slept\nlater");
}

#[tokio::test]
async fn a_running_turn_is_cancelled() {
    let host = TestHost::new()
        .plugin("hog")
        .limit("fuel", 1 << 50)
        .start()
        .await;
    for text in ["loop", "sleep-forever"] {
        let answer = host.ask_async("hog", text).await;
        let turn = answer.turn();
        host.wait_for("the turn runs", async || {
            (host.get(&format!("/api/v1/turns/{turn}")).await.body["status"] == "running")
                .then_some(())
        })
        .await;
        assert_eq!(
            host.post(&format!("/api/v1/turns/{turn}/cancel"), &json!({}))
                .await
                .status,
            202
        );
        assert_eq!(host.ended(&turn).await["status"], "cancelled");
        let again = host
            .post(&format!("/api/v1/turns/{turn}/cancel"), &json!({}))
            .await;
        assert_eq!(again.status, 409);
    }
}

#[tokio::test]
async fn beyond_the_queue_the_answer_is_busy() {
    let host = TestHost::new()
        .plugin("hog")
        .plugin("probe")
        .set("turns.concurrent", 1)
        .set("turns.queue", 2)
        .start()
        .await;
    let blocker = host.ask_async("hog", "sleep-forever").await;
    host.wait_for("the first turn runs", async || {
        (host
            .get(&format!("/api/v1/turns/{}", blocker.turn()))
            .await
            .body["status"]
            == "running")
            .then_some(())
    })
    .await;
    let waiting = [
        host.ask_async("probe", "echo 1").await,
        host.ask_async("probe", "echo 2").await,
    ];
    let refused = host.ask_async("probe", "echo 3").await;
    assert_eq!((refused.status, refused.code()), (429, "busy"));
    assert!(refused.header("retry-after").is_some());
    host.post(
        &format!("/api/v1/turns/{}/cancel", blocker.turn()),
        &json!({}),
    )
    .await;
    for turn in waiting {
        assert_eq!(host.ended(&turn.turn()).await["status"], "completed");
    }
}

#[tokio::test]
async fn an_agent_runs_only_as_many_turns_as_it_may() {
    let manifest = "[wants]\nstate = 'x'\n[limits]\nconcurrent_turns = 1\n";
    let host = TestHost::new()
        .plugin_as("hog", "one")
        .manifest("one", manifest)
        .plugin("probe")
        .start()
        .await;
    let first = host.ask_async("one", "sleep-forever").await;
    host.wait_for("the first turn runs", async || {
        (host
            .get(&format!("/api/v1/turns/{}", first.turn()))
            .await
            .body["status"]
            == "running")
            .then_some(())
    })
    .await;
    let second = host.ask_async("one", "hello").await;
    assert_eq!(host.ask("probe", "echo beside").await.text(), "beside");
    assert_eq!(
        host.get(&format!("/api/v1/turns/{}", second.turn()))
            .await
            .body["status"],
        "queued"
    );
    host.post(
        &format!("/api/v1/turns/{}/cancel", first.turn()),
        &json!({}),
    )
    .await;
    assert_eq!(host.ended(&second.turn()).await["text"], "hello");
}
