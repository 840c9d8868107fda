//! Every limit bites, with its reason, while a well-behaved agent answers
//! beside it.

use anchorhold_tests::{TestHost, component_from_wat};

/// Asks the hog and, at the same time, the probe.
async fn beside(host: &TestHost, agent: &str, text: &str) -> anchorhold_tests::Answer {
    let (answer, good) = tokio::join!(host.ask(agent, text), host.ask("probe", "echo fine"));
    assert_eq!(good.text(), "fine", "beside {text}");
    let again = host.ask("probe", "echo still").await;
    assert_eq!(again.text(), "still", "after {text}");
    answer
}

async fn fails(host: &TestHost, agent: &str, text: &str, status: u16, code: &str) {
    let answer = beside(host, agent, text).await;
    assert_eq!(
        (answer.status, answer.code()),
        (status, code),
        "{text}: {:#}",
        answer.body
    );
    assert!(
        !answer.body.to_string().contains("wasm backtrace"),
        "users see no internals: {:#}",
        answer.body
    );
}

#[tokio::test]
async fn an_endless_loop_runs_out_of_fuel() {
    let host = TestHost::new()
        .plugin("hog")
        .plugin("probe")
        .limit("fuel", 50_000_000)
        .start()
        .await;
    fails(&host, "hog", "loop", 502, "out-of-fuel").await;
}

#[tokio::test]
async fn an_endless_loop_and_an_endless_wait_meet_the_deadline() {
    let host = TestHost::new()
        .plugin("hog")
        .plugin("probe")
        .limit("wall_ms", 300)
        .start()
        .await;
    fails(&host, "hog", "loop", 504, "deadline").await;
    fails(&host, "hog", "sleep-forever", 504, "deadline").await;
}

#[tokio::test]
async fn memory_and_stack_and_traps() {
    let host = TestHost::new().plugin("hog").plugin("probe").start().await;
    fails(&host, "hog", "recurse", 502, "stack-overflow").await;
    let refused = beside(&host, "hog", "memory 1024").await;
    assert!(
        refused.text().starts_with("refused after"),
        "{}",
        refused.text()
    );
    assert!(
        refused.body["receipt"]["memory_peak_bytes"]
            .as_u64()
            .unwrap()
            <= 128 << 20
    );
    fails(&host, "hog", "panic", 502, "trap").await;
    fails(&host, "hog", "trap", 502, "trap").await;
    fails(&host, "hog", "exit", 502, "trap").await;
    fails(&host, "hog", "random 100", 502, "trap").await;
    fails(&host, "hog", "poll-empty", 502, "trap").await;
}

#[tokio::test]
async fn all_memories_count_together() {
    let host = TestHost::new()
        .wasm("two", &component_from_wat("two-memories"))
        .plugin("probe")
        .limit("memory_bytes", 4 << 20)
        .start()
        .await;
    let answer = beside(&host, "two", "grow").await;
    assert!(
        answer.code() == "memory-limit"
            || answer.body["text"]
                .as_str()
                .is_some_and(|text| text.contains("refused")),
        "{:#}",
        answer.body
    );
    let peak =
        host.get("/api/v1/turns?agent=two").await.body["items"][0]["receipt"]["memory_peak_bytes"]
            .clone();
    assert!(peak.as_u64().unwrap() <= 4 << 20, "{peak}");
}

#[tokio::test]
async fn tables_stop_growing() {
    let host = TestHost::new()
        .wasm("table", &component_from_wat("table-growth"))
        .plugin("probe")
        .limit("table_elements", 1_000)
        .start()
        .await;
    let answer = beside(&host, "table", "grow").await;
    assert!(
        answer.code() == "table-limit"
            || answer.body["text"]
                .as_str()
                .is_some_and(|text| text.contains("refused")),
        "{:#}",
        answer.body
    );
}

#[tokio::test]
async fn host_calls_and_their_bytes_are_counted() {
    let host = TestHost::new()
        .plugin("hog")
        .plugin("probe")
        .limit("host_calls", 500)
        .start()
        .await;
    fails(&host, "hog", "calls 1000000", 502, "host-call-limit").await;
    fails(&host, "hog", "log 100", 502, "host-call-bytes").await;
    let answer = beside(&host, "hog", "state 2").await;
    assert!(
        answer.text().starts_with("error limit-exceeded"),
        "{}",
        answer.text()
    );
    let answer = beside(&host, "hog", "publish 1").await;
    assert!(
        answer.text().starts_with("error limit-exceeded"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn what_an_agent_says_is_bounded() {
    let host = TestHost::new()
        .plugin("hog")
        .plugin("probe")
        .limit("output_bytes", 100_000)
        .start()
        .await;
    fails(&host, "hog", "reply 1", 502, "output-limit").await;
    fails(&host, "hog", "reply 100", 502, "host-call-bytes").await;
    let answer = beside(&host, "hog", "send 1").await;
    assert!(
        answer.text().starts_with("error limit-exceeded"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn logs_are_cut_off_and_counted() {
    let host = TestHost::new()
        .plugin("hog")
        .plugin("probe")
        .limit("log_bytes", 1_000)
        .start()
        .await;
    for text in ["log 1", "stdout 1"] {
        let answer = beside(&host, "hog", text).await;
        assert_eq!(answer.text(), "done");
        let log = host
            .get(&format!("/api/v1/turns/{}/log", answer.turn()))
            .await
            .body;
        let bytes: usize = log["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line["message"].as_str().unwrap().len())
            .sum();
        assert!(bytes <= 1_000, "{text}: {bytes}");
    }
    let answer = host.ask("hog", "log 1").await;
    assert!(
        answer.body["receipt"]["log_bytes_dropped"]
            .as_u64()
            .unwrap()
            > 1_000_000
    );
}

#[tokio::test]
async fn generations_are_bounded_and_closed() {
    let host = TestHost::new().plugin("hog").plugin("probe").start().await;
    let answer = beside(&host, "hog", "generations 100").await;
    assert!(answer.text().starts_with("8 open"), "{}", answer.text());
}

#[tokio::test]
async fn an_agent_that_traps_at_its_start_fails_alone() {
    let host = TestHost::new()
        .wasm("start", &component_from_wat("start-trap"))
        .plugin("probe")
        .start()
        .await;
    fails(&host, "start", "hello", 502, "trap").await;
}

#[tokio::test]
async fn a_manifest_lowers_limits_and_the_operator_raises_them() {
    let host = TestHost::new()
        .plugin("hog")
        .manifest("hog", "[limits]\nfuel = 10000000\n")
        .plugin("probe")
        .limit("fuel", 1_000_000_000)
        .start()
        .await;
    let low = host.ask("hog", "loop").await;
    let used = |turn: serde_json::Value| turn["receipt"]["fuel"].as_u64().unwrap();
    assert_eq!(used(host.ended(&low.turn()).await), 10_000_000);
    let version = host.get("/api/v1/agents/hog").await.body["version"]
        .as_i64()
        .unwrap();
    host.put(
        "/api/v1/agents/hog",
        &serde_json::json!({ "limits": { "fuel": 20_000_000 } }),
    )
    .await;
    host.wait_for_version("hog", version + 1).await;
    let high = host.ask("hog", "loop").await;
    assert_eq!(used(host.ended(&high.turn()).await), 20_000_000);
}
