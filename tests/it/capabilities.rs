//! What the host lends, called by a guest.

use anchorhold_tests::TestHost;
use serde_json::json;

#[tokio::test]
async fn state_has_scopes_and_revisions() {
    let host = TestHost::new().plugin("probe").start().await;
    let revision = host
        .ask_in("t", "probe", "state set conversation k one")
        .await
        .text()
        .to_owned();
    assert_eq!(
        host.ask_in("t", "probe", "state get conversation k")
            .await
            .json_text()["value"],
        "one"
    );
    assert_eq!(
        host.ask_in("other", "probe", "state get conversation k")
            .await
            .text(),
        "absent"
    );
    let conflict = host
        .ask_in("t", "probe", "state cas conversation k - two")
        .await;
    assert!(
        conflict.text().starts_with("error conflict"),
        "{}",
        conflict.text()
    );
    let swapped = host
        .ask_in(
            "t",
            "probe",
            &format!("state cas conversation k {revision} two"),
        )
        .await;
    assert!(!swapped.text().starts_with("error"), "{}", swapped.text());
    assert_eq!(
        host.ask_in("t", "probe", "state get conversation k")
            .await
            .json_text()["value"],
        "two"
    );
    assert_eq!(
        host.ask_in(
            "t",
            "probe",
            "state remove conversation k\nstate remove conversation k"
        )
        .await
        .text(),
        "true\nfalse"
    );
}

#[tokio::test]
async fn state_is_listed_and_expires() {
    let host = TestHost::new().plugin("probe").start().await;
    host.ask(
        "probe",
        "state set agent a/1 x\nstate set agent a/2 x\nstate set agent b x",
    )
    .await
    .text();
    assert_eq!(
        host.ask("probe", "state keys agent a/").await.json_text(),
        json!(["a/1", "a/2"])
    );
    host.ask("probe", "state set user brief x ttl=1")
        .await
        .text();
    assert_eq!(
        host.ask("probe", "sleep 20\nstate get user brief")
            .await
            .text(),
        "slept\nabsent"
    );
}

#[tokio::test]
async fn agents_do_not_see_each_others_state_or_rows() {
    let host = TestHost::new()
        .plugin("probe")
        .plugin_as("probe", "twin")
        .start()
        .await;
    host.ask(
        "probe",
        "state set agent k mine\nsql execute CREATE TABLE mine (a)",
    )
    .await
    .text();
    let twin = host
        .ask("twin", "state get agent k\nsql query SELECT * FROM mine")
        .await;
    assert!(
        twin.text().starts_with("absent\nerror invalid-input"),
        "{}",
        twin.text()
    );
}

#[tokio::test]
async fn the_database_keeps_rows_and_whole_batches() {
    let host = TestHost::new().plugin("probe").start().await;
    host.ask(
        "probe",
        "sql execute CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE)",
    )
    .await
    .text();
    let outcome = host
        .ask(
            "probe",
            "sql execute INSERT INTO t (v) VALUES (?1) ## [\"a\"]",
        )
        .await
        .json_text();
    assert_eq!(outcome["rows_affected"], 1);
    assert_eq!(outcome["last_insert_id"], "1");
    let failed = host
        .ask(
            "probe",
            "sql batch INSERT INTO t (v) VALUES ('b');;INSERT INTO t (v) VALUES ('a')",
        )
        .await;
    assert!(
        failed.text().starts_with("error conflict"),
        "{}",
        failed.text()
    );
    let rows = host
        .ask("probe", "sql query SELECT v FROM t")
        .await
        .json_text();
    assert_eq!(rows["rows"], json!([["a"]]));
    let integers = host.ask("probe", "exact-integers").await;
    let integers = integers.json_text();
    assert!(
        integers["biggest"]
            .as_str()
            .unwrap()
            .contains("9223372036854775807"),
        "{integers}"
    );
    assert!(
        integers["largest"]
            .as_str()
            .unwrap()
            .contains("9007199254740991"),
        "{integers}"
    );
}

#[tokio::test]
async fn hostile_sql_is_refused() {
    let host = TestHost::new().plugin("hog").plugin("probe").start().await;
    for sql in [
        "ATTACH DATABASE '/tmp/x.db' AS x",
        "ATTACH ':memory:' AS x",
        "PRAGMA writable_schema = 1",
        "PRAGMA journal_mode = DELETE",
        "SELECT load_extension('x')",
        "VACUUM INTO '/tmp/x.db'",
        "DROP TABLE anchorhold_applied",
        "INSERT INTO anchorhold_applied VALUES (1, 2, 3, 4)",
        "BEGIN",
        "SELECT 1; SELECT 2",
    ] {
        let answer = host.ask("hog", &format!("sql {sql}")).await;
        assert!(
            answer.text().starts_with("error "),
            "{sql}: {}",
            answer.text()
        );
        assert!(
            !answer.text().contains(host.data_dir().to_str().unwrap()),
            "{sql}: {}",
            answer.text()
        );
    }
    assert!(!std::path::Path::new("/tmp/x.db").exists());
    assert_eq!(host.ask("probe", "echo fine").await.text(), "fine");
}

#[tokio::test]
async fn statements_and_rows_and_size_are_bounded() {
    let host = TestHost::new()
        .plugin("hog")
        .set("limits.database.statement_ms", 200)
        .set("limits.database.max_rows", 10)
        .set("limits.database.max_bytes", 1 << 20)
        .start()
        .await;
    let endless =
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
    let answer = host.ask("hog", &format!("query {endless}")).await;
    assert!(
        answer.text().starts_with("error timed-out"),
        "{}",
        answer.text()
    );
    let many =
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 100) SELECT x FROM n";
    assert!(
        host.ask("hog", &format!("query {many}"))
            .await
            .text()
            .contains("10")
    );
    host.ask("hog", "sql CREATE TABLE t (a)").await.text();
    let big = host
        .ask("hog", "sql INSERT INTO t VALUES (zeroblob(2000000))")
        .await;
    assert!(
        big.text().starts_with("error limit-exceeded"),
        "{}",
        big.text()
    );
}

#[tokio::test]
async fn models_generate_stream_call_tools_and_keep_to_a_schema() {
    let script = r#"
[[rules]]
when = { last = { contains = ["weather"] } }
reply = { tool_calls = [{ name = "weather", arguments = { city = "Oslo" } }] }
[[rules]]
when = { wants_json = true }
reply = { json = { city = "Oslo" } }
[fallback]
text = "You said {last}"
usage = { input = 7, output = 5 }
"#;
    let host = TestHost::new().plugin("probe").script(script).start().await;
    let answer = host.ask("probe", "generate hi").await;
    let generated = answer.json_text();
    assert_eq!(generated["text"], "You said hi");
    assert_eq!(generated["provider"], "scripted");
    assert_eq!(answer.body["receipt"]["input_tokens"], 7);
    assert_eq!(answer.body["receipt"]["output_tokens"], 5);
    assert_eq!(answer.body["receipt"]["cost_micro_usd"], 0);
    assert_eq!(
        host.ask("probe", "stream hi").await.json_text()["text"],
        "You said hi"
    );
    assert_eq!(host.ask("probe", "forward hi").await.text(), "You said hi");
    let tool = host.ask("probe", "tool weather").await.json_text();
    assert_eq!(tool["calls"][0]["name"], "weather");
    assert_eq!(
        host.ask("probe", "json json").await.text(),
        "{\"city\":\"Oslo\"}"
    );
    let both = host.ask("probe", "wait-any one;;two").await.json_text();
    assert_eq!(both["texts"], json!(["You said one", "You said two"]));
    assert_eq!(
        host.ask("probe", "models").await.json_text(),
        json!(["default"])
    );

    host.ask("probe", "embed a;;b").await;

    let usage = host.get("/api/v1/usage").await.body;
    assert_eq!(usage["items"].as_array().unwrap().len(), 1, "{usage:#}");
    assert_eq!(usage["items"][0]["agent"], "probe");
    assert_eq!(usage["items"][0]["provider"], "scripted");
    assert!(usage["items"][0]["calls"].as_i64().unwrap() >= 7);
}

#[tokio::test]
async fn a_model_that_fails_is_an_error_of_the_call() {
    let script = "[fallback]\nfailure = { kind = \"rate-limited\", retry_after_ms = 2000 }\n";
    let host = TestHost::new().plugin("probe").script(script).start().await;
    let answer = host.ask("probe", "generate hi").await;
    assert!(answer.text().starts_with("error"), "{}", answer.text());
}

#[tokio::test]
async fn without_a_grant_a_call_is_denied_by_name() {
    let host = TestHost::new()
        .plugin("probe")
        .grants(&["database"])
        .start()
        .await;
    for (text, grant) in [
        ("state get agent k", "state"),
        ("generate hi", "llm:default"),
        ("publish probe.x {}", "events:probe.x"),
        ("http GET https://example.com/", "http:example.com"),
    ] {
        let answer = host.ask("probe", text).await;
        assert!(
            answer.text().starts_with("error denied"),
            "{text}: {}",
            answer.text()
        );
        assert!(answer.text().contains(grant), "{text}: {}", answer.text());
        assert!(
            answer.text().contains("default_grants"),
            "{text}: {}",
            answer.text()
        );
    }
    assert!(
        host.ask("probe", "sql query SELECT 1")
            .await
            .text()
            .contains("rows")
    );
    let refused = host.ask("probe", "error denied it is not allowed").await;
    assert_eq!((refused.status, refused.code()), (403, "denied"));
}

#[tokio::test]
async fn what_is_not_wanted_is_not_granted() {
    let host = TestHost::new()
        .plugin("probe")
        .manifest("probe", "[wants]\ndatabase = 'x'\n")
        .start()
        .await;
    let answer = host.ask("probe", "state get agent k").await;
    assert!(
        answer.text().starts_with("error denied") && answer.text().contains("[wants]"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn configuration_reaches_the_agent() {
    let host = TestHost::new().plugin("probe").start().await;
    assert_eq!(
        host.ask("probe", "config greeting").await.text(),
        "\"hello\""
    );
    let version = host.get("/api/v1/agents/probe").await.body["version"]
        .as_i64()
        .unwrap();
    host.put(
        "/api/v1/agents/probe",
        &json!({ "config": { "greeting": "hi", "more": [1] } }),
    )
    .await;
    host.wait_for_version("probe", version + 1).await;
    assert_eq!(
        host.ask("probe", "config greeting\nconfig more\nconfig none")
            .await
            .text(),
        "\"hi\"\n[1]\nabsent"
    );
}

#[tokio::test]
async fn nothing_leaks_into_a_guest() {
    let host = TestHost::new()
        .plugin("probe")
        .env("SECRET_OF_THE_HOST", "s3cret")
        .start()
        .await;
    let seen = host.ask("probe", "environment").await;
    assert!(!seen.text().contains("s3cret"), "{}", seen.text());
    let seen = seen.json_text();
    assert_eq!(
        seen["variables"].as_array().map_or(0, Vec::len),
        0,
        "{seen}"
    );
}

#[tokio::test]
async fn log_lines_and_output_are_kept_with_the_turn() {
    let host = TestHost::new().plugin("probe").start().await;
    let answer = host
        .ask("probe", "log warn careful\nstdout out\nstderr err")
        .await;
    let log = host
        .get(&format!("/api/v1/turns/{}/log", answer.turn()))
        .await
        .body;
    let lines: Vec<_> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            (
                line["level"].as_str().unwrap(),
                line["message"].as_str().unwrap(),
            )
        })
        .collect();
    assert!(lines.contains(&("warn", "careful")), "{lines:?}");
    assert!(
        lines.contains(&("info", "out")) && lines.contains(&("warn", "err")),
        "{lines:?}"
    );
}
