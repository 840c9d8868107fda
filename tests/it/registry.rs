//! The plugins folder and uploads.

use anchorhold_tests::{TestHost, component, component_from_wat};
use serde_json::json;

#[tokio::test]
async fn a_dropped_file_answers_and_a_replaced_one_is_a_new_version() {
    let host = TestHost::new().start().await;
    std::fs::write(host.plugins_dir().join("one.wasm"), component("probe")).unwrap();
    host.wait_for_version("one", 1).await;
    assert_eq!(host.ask("one", "echo hi").await.text(), "hi");

    std::fs::write(host.plugins_dir().join("one.wasm"), component("hog")).unwrap();
    host.wait_for_version("one", 2).await;
    assert_eq!(
        host.ask("one", "echo hi").await.text(),
        "echo hi",
        "the hog repeats what it does not know"
    );

    std::fs::remove_file(host.plugins_dir().join("one.wasm")).unwrap();
    host.wait_for("the agent is disabled", async || {
        (host.get("/api/v1/agents/one").await.body["status"] == "disabled").then_some(())
    })
    .await;
    assert_eq!(host.ask("one", "echo hi").await.status, 404);
}

#[tokio::test]
async fn a_running_turn_ends_on_the_version_it_began_with() {
    let host = TestHost::new().plugin("probe").start().await;
    let turn = host.ask_async("probe", "sleep 3000\necho old").await.turn();
    host.wait_for("the turn runs", async || {
        (host.get(&format!("/api/v1/turns/{turn}")).await.body["status"] == "running").then_some(())
    })
    .await;
    std::fs::write(host.plugins_dir().join("probe.wasm"), component("hog")).unwrap();
    host.wait_for_version("probe", 2).await;
    let ended = host.ended(&turn).await;
    assert_eq!(ended["text"], "slept\nold");
    assert_eq!(ended["version"], 1);
    assert_eq!(host.ask("probe", "new").await.body["version"], 2);
}

#[tokio::test]
async fn broken_files_are_reported_and_change_nothing_for_others() {
    let whole = component("probe");
    let host = TestHost::new()
        .plugin("probe")
        .wasm("empty", b"")
        .wasm("text", b"hello")
        .wasm("truncated", &whole[..whole.len() / 2])
        .wasm("core", &component_from_wat("core-module"))
        .wasm("version", &component_from_wat("wrong-version"))
        .wasm("exports", &component_from_wat("no-exports"))
        .wasm("import", &component_from_wat("unknown-import"))
        .wasm("manifest", &whole)
        .manifest("manifest", "nonsense = true\n")
        .start()
        .await;
    for (agent, part) in [
        ("empty", "empty"),
        ("text", "text"),
        ("core", "wasm32-wasip2"),
        ("version", "9.0.0"),
        ("exports", "chat"),
        ("manifest", "nonsense"),
    ] {
        let found = host
            .wait_for(&format!("the reason of {agent}"), async || {
                let found = host.get(&format!("/api/v1/agents/{agent}")).await.body;
                found["reason"].is_string().then_some(found)
            })
            .await;
        assert_eq!(found["status"], "broken", "{found:#}");
        assert!(
            found["reason"].as_str().unwrap().contains(part),
            "{agent}: {found:#}"
        );
        assert_eq!(host.ask(agent, "hello").await.status, 404);
    }
    for agent in ["truncated", "import"] {
        host.wait_for(&format!("the reason of {agent}"), async || {
            host.get(&format!("/api/v1/agents/{agent}")).await.body["reason"]
                .is_string()
                .then_some(())
        })
        .await;
    }
    assert_eq!(host.ask("probe", "echo fine").await.text(), "fine");
    let (code, listed, _) = host.run_cli(&["agents", "list"]).await;
    assert_eq!(code, 0);
    assert!(
        listed.contains("version") && listed.contains("9.0.0"),
        "{listed}"
    );
}

#[tokio::test]
async fn a_broken_replacement_leaves_the_working_version() {
    let host = TestHost::new().plugin("probe").start().await;
    std::fs::write(host.plugins_dir().join("probe.wasm"), b"\0asm broken").unwrap();
    host.wait_for("the reason", async || {
        host.get("/api/v1/agents/probe").await.body["reason"]
            .is_string()
            .then_some(())
    })
    .await;
    assert_eq!(host.ask("probe", "echo fine").await.text(), "fine");
}

#[tokio::test]
async fn an_oversized_component_is_refused_by_folder_and_upload() {
    let host = TestHost::new()
        .set("registry.max_component_bytes", 10_000)
        .wasm("big", &component("probe"))
        .start()
        .await;
    host.wait_for("the reason", async || {
        host.get("/api/v1/agents/big").await.body["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("10000") || reason.contains("10,000"))
            .then_some(())
    })
    .await;
    assert_eq!(host.upload(component("probe")).await.status, 413);
}

#[tokio::test]
async fn a_component_is_uploaded_and_named() {
    let host = TestHost::new().start().await;
    let uploaded = host.upload(component("probe")).await;
    assert!(uploaded.status < 300, "{:#}", uploaded.body);
    let digest = uploaded.body["digest"].clone();
    let made = host
        .put("/api/v1/agents/mine", &json!({ "component": digest }))
        .await;
    assert!(made.status < 300, "{:#}", made.body);
    assert_eq!(host.ask("mine", "echo hi").await.text(), "hi");

    let bad = host.upload(component_from_wat("core-module")).await;
    assert_eq!(bad.status / 100, 4, "{:#}", bad.body);
    assert!(bad.detail().contains("wasm32-wasip2"), "{}", bad.detail());
    let unknown = host
        .put(
            "/api/v1/agents/other",
            &json!({ "component": "0".repeat(64) }),
        )
        .await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn a_label_rolls_back() {
    let host = TestHost::new().plugin("probe").start().await;
    host.put(
        "/api/v1/agents/probe",
        &json!({ "config": { "greeting": "new" } }),
    )
    .await;
    host.wait_for_version("probe", 2).await;
    assert_eq!(host.ask("probe", "config greeting").await.text(), "\"new\"");
    let rolled = host
        .put(
            "/api/v1/agents/probe",
            &json!({ "labels": { "production": 1 } }),
        )
        .await;
    assert!(rolled.status < 300, "{:#}", rolled.body);
    assert_eq!(
        host.ask("probe", "config greeting").await.text(),
        "\"hello\""
    );
}

#[tokio::test]
async fn agents_are_loaded_lazily_and_evicted_beyond_the_cap() {
    let mut builder = TestHost::new().set("registry.max_resolved_agents", 2);
    for agent in ["a", "b", "c"] {
        builder = builder.plugin_as("probe", agent);
    }
    let host = builder.start().await;
    host.wait_for_version("a", 1).await;
    host.wait_for_version("b", 1).await;
    host.wait_for_version("c", 1).await;
    let counts = async || host.get("/api/v1/status").await.body["cache"].clone();
    let start = counts().await;
    assert_eq!(
        (&start["loads"], &start["resolved_agents"]),
        (&json!(0), &json!(0)),
        "{start:#}"
    );
    for agent in ["a", "b", "a", "c", "a", "b"] {
        host.ask(agent, "echo x").await.text();
    }
    let end = counts().await;
    assert_eq!(end["misses"], 4, "{end:#}");
    assert_eq!(end["hits"], 2, "{end:#}");
    assert_eq!(end["evicted_count"], 2, "{end:#}");
    assert_eq!(end["resolved_agents"], 2, "{end:#}");
    assert_eq!(end["loads"], 1, "the three share one component: {end:#}");
    assert_eq!(
        end["compiles"], 0,
        "compiled when it was installed: {end:#}"
    );
}

#[tokio::test]
async fn corrupt_compiled_code_is_compiled_again() {
    let host = TestHost::new().plugin("probe").start().await;
    host.wait_for_version("probe", 1).await;
    let again = host.stop().await;
    let mut found = 0;
    let compiled = again.folder().join("data/compiled");
    for folder in std::fs::read_dir(&compiled).unwrap().flatten() {
        for file in std::fs::read_dir(folder.path()).unwrap().flatten() {
            if file
                .path()
                .extension()
                .is_some_and(|extension| extension == "cwasm")
            {
                let mut bytes = std::fs::read(file.path()).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0xff;
                std::fs::write(file.path(), bytes).unwrap();
                found += 1;
            }
        }
    }
    assert_eq!(found, 1);
    let host = again.start().await;
    assert_eq!(host.ask("probe", "echo fine").await.text(), "fine");
    assert_eq!(
        host.get("/api/v1/status").await.body["cache"]["compiles"],
        1
    );
}
