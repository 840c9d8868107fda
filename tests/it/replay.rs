//! A recorded turn is run again by another version, component or configuration:
//! what differs is said, and nothing outside happens but model calls that were
//! paid for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anchorhold_tests::{Answer, HostBuilder, TestHost, component};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server on loopback that counts requests and answers each by its number.
async fn counting(answer: fn(usize) -> &'static str) -> (u16, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let mut request = vec![0; 1 << 16];
                let _ = socket.read(&mut request).await;
                let body = answer(count.fetch_add(1, Ordering::SeqCst));
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                let _ = socket.write_all(format!("{head}{body}").as_bytes()).await;
            });
        }
    });
    (port, requests)
}

/// A model's answer as OpenAI's chat completions stream it.
const SAID: &str = concat!(
    "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"live words\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1000,\"completion_tokens\":10,\"total_tokens\":1010}}\n\n",
    "data: [DONE]\n\n",
);

async fn replay(host: &TestHost, turn: &str, how: &Value) -> Answer {
    host.post(&format!("/api/v1/turns/{turn}/replay"), how)
        .await
}

/// What differs, by what it is.
fn of<'a>(replayed: &'a Answer, what: &str) -> Vec<&'a Value> {
    assert_eq!(replayed.status, 200, "{:#}", replayed.body);
    let differences = replayed.body["differences"].as_array().unwrap();
    differences
        .iter()
        .filter(|difference| difference["what"] == what)
        .collect()
}

#[tokio::test]
async fn another_configuration_is_compared_for_one_run_only() {
    let host = TestHost::new().plugin("probe").start().await;
    let turn = host.ask("probe", "config greeting\necho x").await.turn();
    let how = json!({"config": {"greeting": "good day"}});
    let replayed = replay(&host, &turn, &how).await;
    let text = of(&replayed, "text");
    assert_eq!(text[0]["before"], "\"hello\"\nx");
    assert_eq!(text[0]["after"], "\"good day\"\nx");
    assert!(of(&replayed, "output").is_empty(), "{:#}", replayed.body);
    assert_eq!(replayed.body["same"], false);
    assert_eq!(
        host.ask("probe", "config greeting").await.text(),
        "\"hello\""
    );
    assert_eq!(replay(&host, &turn, &json!({})).await.body["same"], true);
}

#[tokio::test]
async fn another_component_is_compared_by_its_digest() {
    let host = TestHost::new().plugin("probe").start().await;
    let turn = host.ask("probe", "state get agent k").await.turn();
    let digest = host.upload(component("notes")).await.body["digest"].clone();
    let replayed = replay(&host, &turn, &json!({"component": digest})).await;
    assert_eq!(replayed.body["same"], false, "{:#}", replayed.body);
    assert_eq!(replayed.body["component"], digest);
    let outcome = of(&replayed, "outcome");
    assert_eq!(outcome[0]["before"], "completed", "{:#}", replayed.body);
    assert_eq!(of(&replayed, "calls").len(), 2, "{:#}", replayed.body);
    let unknown = json!({"component": "0".repeat(64)});
    let refused = replay(&host, &turn, &unknown).await;
    assert_eq!(refused.status, 404);
    assert!(refused.detail().contains("upload"), "{}", refused.detail());
    for bad in [
        json!({"component": digest, "version": 1}),
        json!({"live": {"max_cost_micro_usd": 0}}),
        json!({"config": "text"}),
    ] {
        let status = replay(&host, &turn, &bad).await.status;
        assert!((400..500).contains(&status), "{bad}: {status}");
    }
}

#[tokio::test]
async fn grants_of_now_are_compared() {
    let host = TestHost::new().plugin("probe").start().await;
    let turn = host
        .ask("probe", "state set agent k v\nsql query SELECT 1")
        .await
        .turn();
    let all = host.get("/api/v1/agents/probe").await.body["granted"].clone();
    let fewer: Vec<&Value> = all
        .as_array()
        .unwrap()
        .iter()
        .filter(|grant| *grant != "state")
        .collect();
    host.put("/api/v1/agents/probe", &json!({"grants": fewer}))
        .await;
    let replayed = replay(&host, &turn, &json!({"config": {}})).await;
    let lost = of(&replayed, "grants");
    assert_eq!(lost.len(), 1, "{:#}", replayed.body);
    assert!(lost[0]["before"].as_str().unwrap().starts_with("state.set"));
    assert!(lost[0]["after"].as_str().unwrap().contains("lacks"));
    assert_eq!(replayed.body["same"], false);
    // What ran is run again whatever is granted now.
    assert_eq!(replay(&host, &turn, &json!({})).await.body["same"], true);
}

#[tokio::test]
async fn a_grant_that_was_taken_away_does_not_come_back_with_an_old_version() {
    let host = TestHost::new().plugin("probe").start().await;
    host.put("/api/v1/agents/probe", &json!({"grants": []}))
        .await;
    host.wait_for_version("probe", 2).await;
    host.put(
        "/api/v1/agents/probe",
        &json!({"labels": {"production": 1}}),
    )
    .await;
    let answer = host.ask("probe", "state get agent k").await;
    assert!(
        answer.text().starts_with("error denied"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn a_comparison_changes_nothing_however_much_it_asks_for() {
    let host = TestHost::new().plugin("probe").start().await;
    let turn = host.ask("probe", "config calls").await.turn();
    let many = host.ask("probe", "calls 300").await.turn();
    let before = host.journal(&many).await;
    host.put("/api/v1/agents/probe", &json!({"config": {"x": 1}}))
        .await;
    // The state that the first run read 300 times is asked for under a name
    // that nothing was recorded for.
    let digest = host.upload(component("hog")).await.body["digest"].clone();
    for turn in [&turn, &many] {
        replay(&host, turn, &json!({"component": digest})).await;
        replay(&host, turn, &json!({"version": 2})).await;
    }
    assert_eq!(host.journal(&many).await, before);
    let turns = host.get("/api/v1/turns?agent=probe").await.body;
    assert_eq!(turns["items"].as_array().unwrap().len(), 2);
}

/// A host whose `default` model is the server on this port.
fn modelled(host: HostBuilder, port: u16, free: bool) -> HostBuilder {
    host.set("llm.providers.fake.kind", "openai")
        .set(
            "llm.providers.fake.base_url",
            format!("http://127.0.0.1:{port}/v1/"),
        )
        .set("llm.providers.fake.api_key", "k")
        .set("llm.providers.fake.free", free)
        .set("llm.max_output_tokens", 10)
        .set("llm.models.default.provider", "fake")
        .set("llm.models.default.model", "m")
}

const WANTS: &str = "name = \"probe\"\n[wants]\nllm = \"a test\"\nmodels = [\"*\"]\nstate = \"a test\"\n\
    events = \"a test\"\nhttp = \"a test\"\nhosts = [\"localhost\"]\n";

#[tokio::test]
async fn model_calls_that_were_not_recorded_are_made_for_money_and_nothing_else_is() {
    let (models, asked) = counting(|_| SAID).await;
    let (outside, reached) = counting(|_| "hello").await;
    let probe = TestHost::new()
        .plugin("probe")
        .manifest("probe", WANTS)
        .grants(&["llm", "http", "state", "events"])
        .set("limits.http.allow_private", vec!["localhost"]);
    let host = modelled(probe, models, false).start().await;
    let digest = host.upload(component("assistant")).await.body["digest"].clone();
    let text =
        format!("state set agent n 1\npublish probe.x {{}}\nhttp GET http://localhost:{outside}/");
    let turn = host.ask("probe", &text).await.turn();
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    assert_eq!(reached.load(Ordering::SeqCst), 1);
    let state = host
        .ask("probe", "state get agent n")
        .await
        .text()
        .to_owned();
    let without = replay(&host, &turn, &json!({"component": digest})).await;
    assert_eq!(asked.load(Ordering::SeqCst), 0, "{:#}", without.body);
    let how = json!({"component": digest, "live": {"max_cost_micro_usd": 500_000}});
    let replayed = replay(&host, &turn, &how).await;
    assert_eq!(asked.load(Ordering::SeqCst), 1, "{:#}", replayed.body);
    let text = of(&replayed, "text");
    assert_eq!(text[0]["after"], "live words", "{:#}", replayed.body);
    assert_eq!(of(&replayed, "cost")[0]["after"], "not known");
    assert_eq!(
        reached.load(Ordering::SeqCst),
        1,
        "nothing else was reached"
    );
    assert_eq!(host.ask("probe", "state get agent n").await.text(), state);
    let events = host.get("/api/v1/events?topic=probe.x").await.body;
    assert_eq!(events["items"].as_array().unwrap().len(), 1);
    let usage = host.get("/api/v1/usage").await.body;
    assert_eq!(usage["items"][0]["calls"], 1, "it is on the bill: {usage}");
    let budgets = host.get("/api/v1/budgets").await.body;
    for budget in budgets["items"].as_array().unwrap() {
        assert_eq!(budget["reserved"]["cost_micro_usd"], 0, "{budgets:#}");
        assert!(
            budget["used"]["cost_micro_usd"].as_i64() > Some(0),
            "{budgets:#}"
        );
    }
}

/// Words at first, and then a tool to call, again and again.
fn then_tools(number: usize) -> &'static str {
    if number == 0 { SAID } else { CALLED }
}

const CALLED: &str = concat!(
    "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"remember\",\"arguments\":\"{\\\"fact\\\":\\\"x\\\"}\"}}]},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}],\"usage\":{\"prompt_tokens\":1000,\"completion_tokens\":10,\"total_tokens\":1010}}\n\n",
    "data: [DONE]\n\n",
);

#[tokio::test]
async fn a_replay_stops_asking_when_its_money_is_spent() {
    // A call of unknown price counts as 1,000 * 15 + 10 * 75, though less was
    // to be expected.
    for (free, limit, made) in [(false, 1, 0), (false, 16_000, 1), (true, 1, 3)] {
        let (models, asked) = counting(then_tools).await;
        let host = modelled(TestHost::new().plugin("assistant"), models, free)
            .start()
            .await;
        let turn = host.ask("assistant", "hello").await.turn();
        let how = json!({
            "config": {"prompt": "Be brief.", "tools": ["remember"], "max_steps": 3},
            "live": {"max_cost_micro_usd": limit},
        });
        let replayed = replay(&host, &turn, &how).await;
        assert_eq!(
            asked.load(Ordering::SeqCst),
            1 + made,
            "{:#}",
            replayed.body
        );
        let is_spent = replayed
            .body
            .to_string()
            .contains("is left for model calls");
        assert_eq!(is_spent, made < 3, "{:#}", replayed.body);
        let kept = host.get("/api/v1/usage").await.body;
        assert_eq!(kept["items"][0]["calls"], 1 + made, "{kept:#}");
    }
}

#[tokio::test]
async fn sets_are_run_again_and_differences_fail_the_command() {
    let host = TestHost::new().plugin("probe").start().await;
    for text in ["echo a", "config greeting", "error denied no"] {
        host.ask("probe", text).await;
    }
    let (code, out, err) = host
        .run_cli(&["turns", "replay", "--agent", "probe", "--since", "1h"])
        .await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(err.contains("2 turns: 2 the same"), "{err}");
    let settings = host.data_dir().join("settings.toml");
    std::fs::write(&settings, "greeting = \"hi\"\n").unwrap();
    let file = settings.to_str().unwrap();
    let set = [
        "--json",
        "turns",
        "replay",
        "--agent",
        "probe",
        "--agent-config",
        file,
    ];
    let (code, out, _) = host.run_cli(&set).await;
    assert_eq!(code, 1, "{out}");
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (
            &found["differing"],
            found["items"].as_array().unwrap().len()
        ),
        (&json!(1), 2)
    );
    let failed = ["turns", "replay", "--agent", "probe", "--status", "failed"];
    let (code, _, err) = host.run_cli(&failed).await;
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("1 turns: 1 the same"), "{err}");
    rated_down(&host).await;
    let none = ["turns", "replay", "--agent", "probe", "--until", "1h"];
    let (_, _, err) = host.run_cli(&none).await;
    assert!(err.contains("0 turns"), "{err}");
}

/// A turn that somebody rated is a set.
async fn rated_down(host: &TestHost) {
    let turn = host.ask("probe", "echo bad").await.turn();
    let rate = ["turns", "feedback", &turn, "down", "--comment", "too short"];
    let (code, _, err) = host.run_cli(&rate).await;
    assert_eq!(code, 0, "{err}");
    let (_, out, _) = host.run_cli(&["turns", "show", &turn]).await;
    assert!(out.contains("says down  too short"), "{out}");
    let set = ["turns", "replay", "--agent", "probe", "--feedback", "down"];
    let (code, _, err) = host.run_cli(&set).await;
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("1 turns: 1 the same"), "{err}");
}

#[tokio::test]
async fn what_cannot_be_run_again_says_why() {
    let host = TestHost::new()
        .plugin("probe")
        .set("retention.turns_days", 1)
        .start()
        .await;
    let turn = host.ask("probe", "state get agent k").await.turn();
    let bad = host.data_dir().join("bad.toml");
    std::fs::write(&bad, "greeting = \n").unwrap();
    let (code, _, err) = host
        .run_cli(&[
            "turns",
            "replay",
            &turn,
            "--agent-config",
            bad.to_str().unwrap(),
        ])
        .await;
    assert!(code == 2 && err.contains("is not TOML"), "{code} {err}");
    let (code, _, err) = host.run_cli(&["turns", "replay", "nothing"]).await;
    assert!(
        code == 1 && err.contains("there is no turn"),
        "{code} {err}"
    );
    let old = "0190c5a0-0000-7000-8000-000000000001";
    let (code, _, err) = host.run_cli(&["turns", "replay", old]).await;
    assert!(code == 1 && err.contains("turns_days"), "{code} {err}");
    let host = {
        let folder = host.data_dir();
        let stopped = host.stop().await;
        let db = rusqlite::Connection::open(folder.join("anchorhold.db")).unwrap();
        db.execute("UPDATE journal SET result = x'c10280'", [])
            .unwrap();
        drop(db);
        stopped.start().await
    };
    let newer = replay(&host, &turn, &json!({})).await;
    assert_eq!(newer.status, 409);
    assert!(
        newer.detail().contains("a newer anchorhold"),
        "{}",
        newer.detail()
    );
}
