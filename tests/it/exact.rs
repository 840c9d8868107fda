//! A turn is exact: run again from its journal it gives the same output by the
//! same calls.

use anchorhold_tests::{Answer, TestHost};

const SCRIPT: &str = r#"
[[rules]]
when = { last = { contains = ["weather"] } }
reply = { tool_calls = [{ name = "weather", arguments = { city = "Oslo" } }] }

[fallback]
text = "You said: {last}"
chunk_delay_ms = 1
"#;

/// Runs a turn again and compares.
async fn same_again(host: &TestHost, agent: &str, text: &str) {
    let answer = host.ask(agent, text).await;
    let turn = answer.turn();
    let replayed = host.replay(&turn).await;
    assert_eq!(replayed.status, 200, "{agent}: {text}: {:#}", replayed.body);
    assert_eq!(
        replayed.body["same"], true,
        "{agent}: {text}: {:#}",
        replayed.body
    );
}

#[tokio::test]
async fn every_kind_of_call_is_answered_from_the_record() {
    let host = TestHost::new().plugin("probe").script(SCRIPT).start().await;
    for text in [
        "clock\nsleep 3\nclock",
        "random\nrandom",
        "state set agent k v\nstate get agent k\nstate cas agent k - x\nstate keys agent k\nstate remove agent k",
        "sql execute CREATE TABLE t (a)\nsql batch INSERT INTO t VALUES (1);;INSERT INTO t VALUES (random())\nsql query SELECT * FROM t",
        "generate hello\nstream hello\nforward hello\ncancel hello\ntool weather",
        "wait-any one;;two",
        "embed a;;b\nmodels\njson Oslo",
        "publish probe.x {\"a\":1}",
        "http GET http://localhost/",
        "log info x\nstdout y\nprogress\nsend a;;b\nconfig",
        "calls 300",
        "exact-integers\nenvironment\nmessage",
        "nonsense",
    ] {
        same_again(&host, "probe", text).await;
    }
}

#[tokio::test]
async fn a_failed_turn_fails_again_in_the_same_way() {
    let host = TestHost::new()
        .plugin("hog")
        .limit("fuel", 100_000_000)
        .start()
        .await;
    for text in ["loop", "recurse", "memory 1024", "panic", "calls 100000"] {
        same_again(&host, "hog", text).await;
    }
    let answer = host.ask_async("hog", "sleep-forever").await;
    host.post(
        &format!("/api/v1/turns/{}/cancel", answer.turn()),
        &serde_json::json!({}),
    )
    .await;
    host.ended(&answer.turn()).await;
    assert_eq!(
        host.replay(&answer.turn()).await.status,
        409,
        "what was stopped from outside has nothing to compare with"
    );
}

#[tokio::test]
async fn the_sample_agents_are_exact() {
    let host = TestHost::new()
        .plugin("assistant")
        .plugin("notes")
        .plugin("herald")
        .plugin("webhook")
        .start()
        .await;
    for text in [
        "hello",
        "remember that I like tea",
        "what do you remember",
        "what can you do",
    ] {
        same_again(&host, "assistant", text).await;
    }
    for text in [
        "help",
        "add buy milk #home",
        "list",
        "find milk",
        "done 1",
        "list #home",
    ] {
        same_again(&host, "notes", text).await;
    }
    same_again(&host, "herald", "what's new").await;
    let hook = reqwest::Client::new();
    let url = format!("{}/agents/webhook/orders", host.url);
    for request in [
        hook.post(&url).body(r#"{"n":1}"#),
        hook.get(&url),
        hook.get(format!("{}/agents/webhook/", host.url)),
        hook.delete(&url),
    ] {
        let answer = Answer::read(request.send().await.unwrap()).await;
        let turn = answer.header("anchorhold-turn").expect("a turn").to_owned();
        let replayed = host.replay(&turn).await;
        assert_eq!(replayed.body["same"], true, "{:#}", replayed.body);
    }
}

#[tokio::test]
async fn a_replay_reaches_nothing_outside() {
    let host = TestHost::new().plugin("probe").start().await;
    let answer = host
        .ask(
            "probe",
            "state set agent n 1\npublish probe.once {}\nsql execute CREATE TABLE once (a)",
        )
        .await;
    let events = async || {
        host.get("/api/v1/events").await.body["items"]
            .as_array()
            .unwrap()
            .len()
    };
    let before = events().await;
    for _ in 0..3 {
        assert_eq!(host.replay(&answer.turn()).await.body["same"], true);
    }
    assert_eq!(events().await, before);
    assert_eq!(host.journal(&answer.turn()).await.len(), 3);
}

#[tokio::test]
async fn guests_see_a_clock_that_only_moves_on() {
    let host = TestHost::new().plugin("probe").start().await;
    let clock = host.ask("probe", "clock").await.json_text();
    for kind in ["wall_ns", "elapsed_ns"] {
        let reads: Vec<u64> = clock[kind]
            .as_array()
            .unwrap()
            .iter()
            .map(|read| read.as_str().unwrap().parse().unwrap())
            .collect();
        assert!(
            reads.is_sorted() && reads[0] < reads[2],
            "{kind}: {reads:?}"
        );
    }
    let a = host.ask("probe", "random").await.text().to_owned();
    let b = host.ask("probe", "random").await.text().to_owned();
    assert_ne!(a, b, "each turn has randomness of its own");
}

#[tokio::test]
async fn another_version_is_compared_without_doing_anything() {
    let host = TestHost::new().plugin("probe").script(SCRIPT).start().await;
    let first = host.ask("probe", "echo hi\ngenerate hello").await.turn();
    let second = host
        .ask("probe", "state set agent k v\nconfig greeting")
        .await
        .turn();
    let settings = serde_json::json!({"config": {"greeting": "good day"}});
    host.put("/api/v1/agents/probe", &settings).await;
    host.wait_for_version("probe", 2).await;
    let by = async |turn: &str, version: i64| {
        let path = format!("/api/v1/turns/{turn}/replay");
        host.post(&path, &serde_json::json!({"version": version}))
            .await
    };
    let same = by(&first, 2).await;
    assert_eq!(same.body["same"], true, "{:#}", same.body);
    assert_eq!(same.body["version"], 2);
    let differs = by(&second, 2).await;
    assert_eq!(differs.body["same"], false);
    let text = differs.body["differences"].to_string();
    assert!(text.contains("good day"), "{text}");
    let unknown = by(&first, 9).await;
    assert_eq!(unknown.status, 409);
    assert!(
        unknown.detail().contains("no version 9"),
        "{}",
        unknown.detail()
    );
}

#[tokio::test]
async fn calls_of_another_agent_that_were_not_recorded_do_not_happen() {
    let host = TestHost::new().plugin("probe").start().await;
    let turn = host.ask("probe", "state get agent k").await.turn();
    std::fs::write(
        host.plugins_dir().join("probe.wasm"),
        anchorhold_tests::component("assistant"),
    )
    .unwrap();
    host.wait_for_version("probe", 2).await;
    let calls = async || {
        let usage = host.get("/api/v1/usage").await.body;
        usage["items"].as_array().unwrap().len()
    };
    let before = calls().await;
    let replayed = host
        .post(
            &format!("/api/v1/turns/{turn}/replay"),
            &serde_json::json!({"version": 2}),
        )
        .await;
    assert_eq!(replayed.body["same"], false, "{:#}", replayed.body);
    let text = replayed.body["differences"].to_string();
    assert!(
        text.contains("state.get") && text.contains("not asked for"),
        "{text}"
    );
    assert_eq!(calls().await, before, "no model was asked");
}
