//! Tools: the host's own, other agents, and those of MCP servers, good and bad.

mod faulty;
mod foreign;

use anchorhold_tests::{HostBuilder, TestHost};
use serde_json::{Value, json};

/// A probe with these grants and no others.
fn probe(grants: &[&str]) -> HostBuilder {
    TestHost::new().plugin("probe").grants(grants)
}

/// Sets a key of a tool server.
fn server(host: HostBuilder, name: &str, key: &str, value: impl Into<toml::Value>) -> HostBuilder {
    host.set(&format!("tools.servers.{name}.{key}"), value)
}

async fn names(host: &TestHost) -> Vec<String> {
    let listed = host.ask("probe", "tools").await.json_text();
    listed.as_object().unwrap().keys().cloned().collect()
}

fn kinds(journal: &[Value]) -> Vec<&str> {
    let kinds = journal.iter().map(|entry| entry["kind"].as_str().unwrap());
    kinds.collect()
}

#[tokio::test]
async fn the_hosts_own_tools_are_granted_one_by_one() {
    let host = probe(&["tools:calculator", "tools:time"]).start().await;
    assert_eq!(names(&host).await, ["calculator", "time"]);
    let text = "call calculator {\"expression\": \"2 ** 10 + sqrt(16)\"}\n\
                call calculator {\"expression\": \"2 +\"}\n\
                call calculator {}\n\
                call time {\"zone\": \"Europe/Oslo\"}\n\
                call fetch {\"url\": \"https://example.com/\"}\n\
                call nothing/at-all {}";
    let answer = host.ask("probe", text).await;
    let lines: Vec<&str> = answer.text().lines().collect();
    assert_eq!(lines[0], "1028.0");
    assert!(
        lines[1].starts_with("failed \"2 +\" has no value"),
        "{}",
        lines[1]
    );
    assert!(
        lines[2].starts_with("failed The arguments do not fit"),
        "{}",
        lines[2]
    );
    assert!(
        lines[3].contains("\"zone\":\"Europe/Oslo\""),
        "{}",
        lines[3]
    );
    for line in &lines[4..] {
        assert!(
            line.starts_with("error denied") && line.contains("grant tools:"),
            "{line}"
        );
    }
    let replayed = host.replay(&answer.turn()).await;
    assert_eq!(replayed.body["same"], true, "{:#}", replayed.body);
}

#[tokio::test]
async fn a_turn_calls_so_many_tools() {
    let host = probe(&["tools"]).limit("tool_calls", 2).start().await;
    let text = "call time {}\ncall time {}\ncall time {}";
    let answer = host.ask("probe", text).await;
    let last = answer.text().lines().last().unwrap();
    assert!(
        last.starts_with("error limit-exceeded") && last.contains("at most 2 times"),
        "{last}"
    );
    let again = host.ask("probe", "call time {}").await;
    assert!(again.text().contains("utc"), "{}", again.text());
}

#[tokio::test]
async fn a_page_is_fetched_by_the_grants_for_its_host() {
    let host = probe(&["tools:fetch", "http:other.example.com"])
        .start()
        .await;
    let answer = host
        .ask("probe", "call fetch {\"url\": \"https://example.com/\"}")
        .await;
    assert!(
        answer.text().starts_with("error denied") && answer.text().contains("http:example.com"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn agents_are_tools_where_both_grants_are_there() {
    let host = TestHost::new()
        .plugin("probe")
        .plugin_as("probe", "other")
        .grants(&["tools:agent/*", "agents:other"])
        .start()
        .await;
    host.wait_for_version("other", 1).await;
    assert_eq!(names(&host).await, ["agent/other"]);
    let answer = host
        .ask("probe", "call agent/other {\"text\": \"echo hello\"}")
        .await;
    assert_eq!(answer.text(), "hello");
    assert_eq!(
        kinds(&host.journal(&answer.turn()).await),
        ["tools.find", "agents.ask"]
    );
    let misfit = host.ask("probe", "call agent/other {\"txt\": 1}").await;
    assert!(
        misfit.text().starts_with("failed An agent takes"),
        "{}",
        misfit.text()
    );
    let denied = host
        .ask("probe", "call agent/third {\"text\": \"x\"}")
        .await;
    assert!(
        denied.text().contains("lacks the grant agents:third"),
        "{}",
        denied.text()
    );

    let host = host
        .stop()
        .await
        .grants(&["agents", "tools:time"])
        .start()
        .await;
    assert_eq!(names(&host).await, ["time"]);
}

#[tokio::test]
async fn agents_that_are_tools_of_each_other_go_only_so_deep() {
    let host = probe(&["tools", "agents"])
        .plugin_as("probe", "other")
        .set("turns.max_hops", 1)
        .start()
        .await;
    host.wait_for_version("other", 1).await;
    let inner = json!({"text": "echo x"}).to_string();
    let outer = json!({"text": format!("call agent/probe {inner}")});
    let answer = host
        .ask("probe", &format!("call agent/other {outer}"))
        .await;
    assert!(
        answer.text().starts_with("error limit-exceeded"),
        "{}",
        answer.text()
    );
}

const SCRIPT: &str = r#"
[[rules]]
when = { last = { contains = ["add"] }, has_tool_result = false }
reply = { tool_calls = [{ name = "calculator", arguments = { expression = "40 + 2" } }] }

[fallback]
text = "It said {tool_result}"
"#;

#[tokio::test]
async fn a_model_calls_tools_and_people_see_it() {
    let host = probe(&["llm", "tools:calculator"])
        .script(SCRIPT)
        .start()
        .await;
    let events = host.ask_streaming("probe", "run-tools please add").await;
    let names: Vec<&str> = events.iter().map(|event| event.event.as_str()).collect();
    let started = names.iter().position(|name| *name == "tool.started");
    let completed = names.iter().position(|name| *name == "tool.completed");
    assert!(started.is_some() && started < completed, "{names:?}");
    let last = &events.last().unwrap().data;
    assert_eq!(last["text"], "It said 42", "{last:#}");
    let replayed = host.replay(last["turn"].as_str().unwrap()).await;
    assert_eq!(replayed.body["same"], true, "{:#}", replayed.body);
}

#[tokio::test]
async fn the_assistant_uses_what_is_granted_by_default() {
    let host = TestHost::new()
        .plugin("assistant")
        .script(SCRIPT)
        .start()
        .await;
    let answer = host.ask("assistant", "please add").await;
    assert_eq!(answer.text(), "It said 42");
    let metrics = host.client().get(format!("{}/metrics", host.url)).send();
    let metrics = metrics.await.unwrap().text().await.unwrap();
    assert!(
        metrics.contains("anchorhold_tool_calls_total{tool=\"calculator\",outcome=\"answered\"} 1"),
        "{metrics}"
    );
}
