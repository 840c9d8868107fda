//! A server that hangs, dies, lies, floods, and lists what cannot be: what is bad
//! ends with its own call, and nothing happens twice.

use std::path::{Path, PathBuf};

use anchorhold_tests::{HostBuilder, TestHost};
use serde_json::{Value, json};

use super::{kinds, names, probe, server};

/// The file in which the server counts calls.
fn calls(folder: &Path) -> PathBuf {
    folder.join("calls")
}

fn counted(folder: &Path, tool: &str) -> usize {
    let text = std::fs::read_to_string(calls(folder)).unwrap_or_default();
    text.lines().filter(|line| *line == tool).count()
}

/// A probe with every tool of the server.
fn faulty(mode: &str) -> HostBuilder {
    let host = probe(&["tools:faulty/*"]);
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/faulty.py");
    let mut args = vec![program, calls(host.folder())];
    args.push(mode.into());
    let args: Vec<_> = args.iter().map(|arg| arg.to_str().unwrap()).collect();
    let host = server(host, "faulty", "command", "/usr/bin/python3");
    server(host, "faulty", "args", args)
}

async fn ask(host: &TestHost, text: &str) -> String {
    host.ask("probe", text).await.text().to_owned()
}

async fn state(host: &TestHost) -> Value {
    let listed = host.get("/api/v1/tools").await.body;
    listed["servers"][0].clone()
}

#[tokio::test]
async fn a_call_is_checked_made_recorded_and_replayed() {
    let host = faulty("");
    let folder = host.folder().to_owned();
    let host = host.env("SECRET_OF_THE_HOST", "x").start().await;
    let answer = host
        .ask("probe", "call faulty/echo {\"text\": \"hello\"}")
        .await;
    assert_eq!(answer.text(), "hello");
    assert_eq!(
        kinds(&host.journal(&answer.turn()).await),
        ["tools.find", "tools.call"]
    );
    let replayed = host.replay(&answer.turn()).await;
    assert_eq!(replayed.body["same"], true, "{:#}", replayed.body);
    assert_eq!(counted(&folder, "echo"), 1, "a replay calls nobody");

    let misfit = ask(&host, "call faulty/echo {\"text\": 1}").await;
    assert!(
        misfit.starts_with("failed The arguments do not fit"),
        "{misfit}"
    );
    assert_eq!(counted(&folder, "echo"), 1, "what does not fit is not sent");
    assert_eq!(
        ask(&host, "call faulty/refuse {}").await,
        "failed I will not"
    );
    let unknown = ask(&host, "call faulty/none {}").await;
    assert!(unknown.starts_with("error not-found"), "{unknown}");

    let environment = ask(&host, "call faulty/environment {}").await;
    assert!(environment.contains("\"PATH\""), "{environment}");
    assert!(!environment.contains("SECRET_OF_THE_HOST"), "{environment}");
    assert!(!environment.contains("ANCHORHOLD"), "{environment}");
}

#[tokio::test]
async fn what_is_long_is_cut_and_garbage_is_passed_over() {
    let host = server(faulty(""), "faulty", "max_output_bytes", 1_000)
        .start()
        .await;
    let big = ask(&host, "call faulty/big {}").await;
    assert!(
        big.starts_with("cut ää") && big.len() < 1_200,
        "{}",
        big.len()
    );
    assert!(big.ends_with("1000 of 10000000 bytes are shown]"), "{big}");
    assert_eq!(ask(&host, "call faulty/garbage {}").await, "after garbage");
    assert_eq!(ask(&host, "echo still here").await, "still here");
}

#[tokio::test]
async fn a_server_that_dies_or_hangs_ends_its_own_call_only() {
    let host = server(faulty(""), "faulty", "timeout_ms", 3_000)
        .start()
        .await;
    let died = ask(&host, "call faulty/die {}").await;
    assert!(died.starts_with("error unavailable"), "{died}");
    let again = ask(&host, "call faulty/echo {\"text\": \"back\"}").await;
    assert_eq!(again, "back", "it is started again: {}", host.log());
    let nonsense = ask(&host, "call faulty/nonsense {}").await;
    assert!(nonsense.starts_with("error "), "{nonsense}");
    let hung = ask(&host, "call faulty/hang {}").await;
    assert!(
        hung.starts_with("error timed-out") && hung.contains("timeout_ms"),
        "{hung}"
    );
}

#[tokio::test]
async fn a_server_that_never_answers_or_ends_is_a_failed_one() {
    for mode in ["mute", "gone"] {
        let host = server(faulty(mode), "faulty", "timeout_ms", 1_000)
            .start()
            .await;
        let answer = ask(&host, "call faulty/echo {\"text\": \"x\"}").await;
        assert!(answer.starts_with("error unavailable"), "{mode}: {answer}");
        assert_eq!(ask(&host, "tools").await, "{}", "{mode}");
        let state = state(&host).await;
        assert_eq!(state["state"], "failed", "{mode}: {state:#}");
        let (code, _, said) = host.run_cli(&["tools", "list"]).await;
        assert_eq!(code, 0);
        assert!(said.contains("Server faulty: failed"), "{said}");
    }
    let host = server(probe(&["tools"]), "absent", "command", "/nowhere/at-all");
    let host = host.start().await;
    let answer = ask(&host, "call absent/x {}").await;
    assert!(answer.contains("cannot be started"), "{answer}");
}

#[tokio::test]
async fn lists_that_are_too_long_and_schemas_that_are_bombs_are_left_out() {
    let host = faulty("many").start().await;
    assert_eq!(names(&host).await.len(), 1_000);
    assert_eq!(state(&host).await["left_out"], 1_000);

    let host = faulty("endless").start().await;
    assert_eq!(names(&host).await.len(), 100);

    let host = faulty("bombs").start().await;
    assert_eq!(names(&host).await, ["faulty/harmless"]);
    for why in [
        "deep: its schema is nested",
        "refers to",
        "references are followed",
    ] {
        assert!(host.log().contains(why), "{why}: {}", host.log());
    }
    assert_eq!(ask(&host, "call faulty/harmless {}").await, "done");
}

#[tokio::test]
async fn a_call_that_changes_something_is_not_made_twice() {
    for (tool, times, told) in [("slow", 1, "error unavailable"), ("slow-reader", 2, "done")] {
        let host = faulty("");
        let folder = host.folder().to_owned();
        let host = host.start().await;
        let turn = host
            .ask_async("probe", &format!("call faulty/{tool} {{}}"))
            .await
            .turn();
        host.wait_for("the call is made", async || {
            (counted(&folder, tool) == 1).then_some(())
        })
        .await;
        let host = host.crash().await.start().await;
        let ended = host.ended(&turn).await;
        let text = ended["text"].as_str().unwrap();
        assert!(text.starts_with(told), "{tool}: {text}");
        assert_eq!(counted(&folder, tool), times, "{tool}");
    }
}

/// Waits until a turn asks for an approval.
async fn asking(host: &TestHost, turn: &str) -> Value {
    host.wait_for("the turn asks", async || {
        let view = host.get(&format!("/api/v1/turns/{turn}")).await.body;
        view["question"].is_object().then_some(view)
    })
    .await
}

#[tokio::test]
async fn a_person_approves_or_refuses_what_the_operator_says() {
    let host = server(faulty(""), "faulty", "approve", "destructive");
    let host = server(host, "faulty", "read_only", vec!["slow"]);
    let folder = host.folder().to_owned();
    let mut host = host.start().await;
    let listed = host.ask("probe", "tools").await.json_text();
    assert_eq!(listed["faulty/count"]["needs_approval"], true);
    for free in ["echo", "add", "slow"] {
        let tool = &listed[format!("faulty/{free}")];
        assert_eq!(tool["needs_approval"], false, "{free}: {tool}");
    }
    for (verdict, told, times) in [
        (
            json!({"approve": false, "text": "not today"}),
            "error denied",
            0,
        ),
        (json!({"approve": true}), "done", 1),
    ] {
        let text = "call faulty/count {\"path\": \"/tmp/x\"}";
        let turn = host.ask_async("probe", text).await.turn();
        let view = asking(&host, &turn).await;
        let asked = view["question"]["text"].as_str().unwrap();
        assert!(
            asked.contains("faulty/count") && asked.contains("/tmp/x"),
            "{asked}"
        );
        assert_eq!(counted(&folder, "count"), 0, "it waits");
        host = host.crash().await.start().await;
        let who = view["question"]["who"][0].as_str().unwrap();
        let mut verdict = verdict;
        verdict["user"] = json!(who.strip_prefix("http:").unwrap());
        let said = host
            .post(&format!("/api/v1/turns/{turn}/answer"), &verdict)
            .await;
        assert_eq!(said.status, 202, "{:#}", said.body);
        let ended = host.ended(&turn).await;
        let text = ended["text"].as_str().unwrap();
        assert!(text.starts_with(told), "{text}");
        assert_eq!(text.contains("not today"), times == 0, "{text}");
        assert_eq!(counted(&folder, "count"), times);
        let journal = host.journal(&turn).await;
        assert_eq!(
            kinds(&journal)[..2],
            ["tools.find", "tools.approve"],
            "{journal:#?}"
        );
        let replayed = host.replay(&turn).await;
        assert_eq!(replayed.body["same"], true, "{:#}", replayed.body);
    }
}
