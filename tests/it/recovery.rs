//! A turn that a crash cut off goes on from its journal: what was done is not
//! done again, and what nobody knows of is said to be so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anchorhold_tests::TestHost;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A model that takes its time over some words.
const SCRIPT: &str = r#"
[[rules]]
when = { last = { contains = "for ever" } }
reply = { text = "never", delay_ms = 600000 }

[[rules]]
when = { last = { contains = "slowly" } }
reply = { text = "at last", delay_ms = 1500 }

[fallback]
text = "You said: {last}"
"#;

/// Waits until a turn is in the middle of a call of this kind.
async fn in_the_middle(host: &TestHost, turn: &str, kind: &str) {
    host.wait_for(kind, async || {
        host.journal(turn)
            .await
            .iter()
            .any(|entry| entry["kind"] == kind && entry["status"] == "begun")
            .then_some(())
    })
    .await;
}

async fn calls(host: &TestHost) -> i64 {
    let usage = host.get("/api/v1/usage").await.body;
    let groups = usage["items"].as_array().unwrap().clone();
    groups
        .iter()
        .map(|group| group["calls"].as_i64().unwrap())
        .sum()
}

fn kinds(journal: &[Value]) -> Vec<&str> {
    journal
        .iter()
        .map(|entry| entry["kind"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_turn_goes_on_where_a_crash_cut_it_off() {
    let host = TestHost::new().plugin("probe").script(SCRIPT).start().await;
    let text = "clock\nrandom\npublish probe.once {}\nstate cas agent k - v\n\
                sql execute CREATE TABLE t (a)\nsql execute INSERT INTO t VALUES (1)\n\
                generate slowly\nsql query SELECT count(*) FROM t\nclock\necho done";
    let turn = host.ask_async("probe", text).await.turn();
    in_the_middle(&host, &turn, "llm.generate").await;
    let host = host.crash().await.start().await;

    let ended = host.ended(&turn).await;
    let answer = ended["text"].as_str().unwrap();
    assert!(
        answer.contains("at last") && answer.contains("[[1]]") && answer.ends_with("done"),
        "{ended:#}"
    );
    assert_eq!(ended["attempts"], 2, "{ended:#}");
    let events = host.get("/api/v1/events?topic=probe.once").await.body;
    assert_eq!(
        events["items"].as_array().unwrap().len(),
        1,
        "published once"
    );
    assert_eq!(
        calls(&host).await,
        2,
        "the call that was cut off is on the bill too"
    );
    let journal = host.journal(&turn).await;
    assert_eq!(
        kinds(&journal),
        [
            "events.publish",
            "state.compare-and-set",
            "database.execute",
            "database.execute",
            "llm.generate",
            "database.query"
        ]
    );
    assert!(journal.iter().all(|entry| entry["status"] != "begun"));
    assert_eq!(host.replay(&turn).await.body["same"], true);
}

#[tokio::test]
async fn generations_that_nobody_read_begin_again() {
    let host = TestHost::new().plugin("probe").script(SCRIPT).start().await;
    let turn = host
        .ask_async("probe", "wait-any slowly one;;slowly two")
        .await
        .turn();
    host.wait_for("the second is asked", async || {
        let journal = host.journal(&turn).await;
        (kinds(&journal) == ["llm.start", "llm.start"]).then_some(())
    })
    .await;
    let host = host.crash().await.start().await;
    let ended = host.ended(&turn).await;
    assert_eq!(
        ended["text"].as_str().unwrap().matches("at last").count(),
        2,
        "{ended:#}"
    );
    assert_eq!(calls(&host).await, 4, "two were lost, two answered");
    assert_eq!(host.replay(&turn).await.body["same"], true);
}

/// A server on loopback that answers nothing and counts requests.
async fn hanging(requests: Arc<AtomicUsize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let requests = Arc::clone(&requests);
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let _ = socket.read(&mut request).await;
                let earlier = requests.fetch_add(1, Ordering::SeqCst);
                if earlier > 0 {
                    let answer = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                    let _ = socket.write_all(answer.as_bytes()).await;
                } else {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    port
}

async fn cut_off_request(method: &str) -> (usize, Value) {
    let requests = Arc::new(AtomicUsize::new(0));
    let port = hanging(Arc::clone(&requests)).await;
    let host = TestHost::new()
        .plugin("probe")
        .manifest(
            "probe",
            "name = \"probe\"\n[wants]\nhttp = \"a test\"\nhosts = [\"localhost\"]\n",
        )
        .grants(&["http:localhost"])
        .set("limits.http.allow_private", vec!["localhost"])
        .start()
        .await;
    let turn = host
        .ask_async("probe", &format!("http {method} http://localhost:{port}/"))
        .await
        .turn();
    host.wait_for("the request", async || {
        (requests.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    let host = host.crash().await.start().await;
    let ended = host.ended(&turn).await;
    assert_eq!(host.replay(&turn).await.body["same"], true);
    (requests.load(Ordering::SeqCst), ended)
}

#[tokio::test]
async fn a_request_that_may_have_happened_is_not_sent_again() {
    let (requests, ended) = cut_off_request("POST").await;
    assert_eq!(requests, 1, "{ended:#}");
    let text = ended["text"].as_str().unwrap();
    assert!(text.contains("nobody knows whether it happened"), "{text}");
}

#[tokio::test]
async fn a_request_that_comes_to_the_same_is_sent_again() {
    for method in ["GET", "PUT"] {
        let (requests, ended) = cut_off_request(method).await;
        assert_eq!(requests, 2, "{ended:#}");
        assert!(ended["text"].as_str().unwrap().contains("204"), "{ended:#}");
    }
}

#[tokio::test]
async fn only_the_model_call_that_was_cut_off_is_billed_again() {
    let requests = Arc::new(AtomicUsize::new(0));
    let port = hanging(Arc::clone(&requests)).await;
    let manifest = "name = \"probe\"\n[wants]\nllm = \"a test\"\nmodels = [\"default\"]\nhttp = \"a test\"\nhosts = [\"localhost\"]\n";
    let host = TestHost::new()
        .plugin("probe")
        .manifest("probe", manifest)
        .script(SCRIPT)
        .grants(&["llm:default", "http:localhost"])
        .set("limits.http.allow_private", vec!["localhost"])
        .start()
        .await;
    let text = format!("http PUT http://localhost:{port}/\ngenerate hello");
    let turn = host.ask_async("probe", &text).await.turn();
    host.wait_for("the request", async || {
        (requests.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    let host = host.crash().await.start().await;
    let ended = host.ended(&turn).await;
    assert!(
        ended["text"].as_str().unwrap().contains("You said: hello"),
        "{ended:#}"
    );
    assert_eq!(calls(&host).await, 1, "the request is no model call");
}

#[tokio::test]
async fn a_turn_that_never_ends_is_not_started_for_ever() {
    let mut host = TestHost::new().plugin("probe").script(SCRIPT).start().await;
    let turn = host.ask_async("probe", "generate for ever").await.turn();
    let other = host.ask_async("probe", "echo me").await.turn();
    for starts in 1..=5 {
        in_the_middle(&host, &turn, "llm.generate").await;
        host.wait_for("the start is counted", async || {
            let shown = host.get(&format!("/api/v1/turns/{turn}")).await.body;
            (shown["attempts"] == starts).then_some(())
        })
        .await;
        host = host.crash().await.start().await;
    }
    let ended = host.ended(&turn).await;
    assert_eq!(ended["error"]["code"], "interrupted", "{ended:#}");
    assert_eq!(host.ended(&other).await["text"], "me");
}

#[tokio::test]
async fn messages_of_a_conversation_stay_in_order_across_a_crash() {
    let host = TestHost::new().plugin("probe").script(SCRIPT).start().await;
    let mut turns = Vec::new();
    for text in ["generate slowly", "echo two", "history"] {
        let body = serde_json::json!({"text": text, "conversation": "c"});
        let asked = host
            .request("POST", "/api/v1/agents/probe/messages")
            .header("prefer", "respond-async")
            .json(&body)
            .send()
            .await
            .unwrap();
        turns.push(anchorhold_tests::Answer::read(asked).await.turn());
    }
    in_the_middle(&host, &turns[0], "llm.generate").await;
    let host = host.crash().await.start().await;
    let history = host.ended(&turns[2]).await;
    let text = history["text"].as_str().unwrap();
    assert!(
        text.starts_with("generate slowly|") && text.ends_with("|echo two|two"),
        "{text}"
    );
}

#[tokio::test]
async fn who_followed_a_turn_is_told_to_forget_what_he_saw() {
    let host = TestHost::new().plugin("probe").script(SCRIPT).start().await;
    let turn = host
        .ask_async("probe", "send one;;two\ngenerate slowly")
        .await
        .turn();
    in_the_middle(&host, &turn, "llm.generate").await;
    let host = host.crash().await.start().await;
    let events = host
        .request("GET", &format!("/api/v1/turns/{turn}/events"))
        .header("last-event-id", "3")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let reset = events.find("event: text.reset").expect(&events);
    let text = events
        .find("\"onetwo")
        .or(events.find("\"one\""))
        .expect(&events);
    assert!(reset < text, "{events}");
    assert!(events.contains("event: turn.completed"), "{events}");
}

#[tokio::test]
async fn an_event_whose_turn_a_crash_cut_off_is_received_once() {
    let host = TestHost::new()
        .plugin("probe")
        .script(SCRIPT)
        .set("turns.concurrent", 1)
        .start()
        .await;
    let turn = host
        .ask_async("probe", "publish probe.later {}\ngenerate slowly")
        .await
        .turn();
    let of_events = async |host: &TestHost| {
        let turns = host.get("/api/v1/turns?limit=500").await.body;
        let turns = turns["items"].as_array().unwrap().clone();
        turns.iter().filter(|turn| turn["kind"] == "event").count()
    };
    host.wait_for("the event waits for its place", async || {
        (of_events(&host).await == 1).then_some(())
    })
    .await;
    let host = host.crash().await.start().await;
    host.ended(&turn).await;
    host.wait_for("the event is received", async || {
        let log = host.ask("probe", "state get agent log:-").await;
        (log.text() != "absent").then_some(())
    })
    .await;
    assert_eq!(of_events(&host).await, 1);
    let dead = host.get("/api/v1/events/dead").await.body;
    assert_eq!(dead["items"], serde_json::json!([]), "{dead:#}");
}
