//! Files in Slack: what people send is read within limits, and what cannot be
//! read is said; very long answers are files.

use anchorhold_tests::{HostBuilder, TestHost, TestSlack};
use serde_json::{Value, json};

const ALICE: &str = "U0ALICE";
const DIRECT: &str = "D0ALICE";

fn probe(host: HostBuilder) -> HostBuilder {
    host.plugin("probe").set("slack.agent", "probe")
}

async fn with_http() -> (TestSlack, TestHost) {
    let slack = TestSlack::http().await;
    let host = probe(slack.host()).start().await;
    slack.calls("auth.test", 1).await;
    (slack, host)
}

fn text(name: &str, text: &str) -> Value {
    json!({"name": name, "text": text})
}

/// What the agent was given with a message and these files.
async fn given(slack: &TestSlack, files: Value) -> (Value, String) {
    let said =
        json!({"do": "say", "user": ALICE, "channel": DIRECT, "text": "message", "files": files});
    let said = slack.act(said).await;
    let ts = said["ts"].as_str().unwrap();
    let answer = slack.answers(DIRECT, ts, 1).await.remove(0);
    // Lines below the first one are commands that the probe does not know.
    let message = answer.lines().next().unwrap();
    let message: Value = serde_json::from_str(message).unwrap_or_else(|_| panic!("{answer}"));
    (message["attachments"].clone(), message["text"].to_string())
}

#[tokio::test]
async fn files_are_attachments() {
    let (slack, host) = with_http().await;
    let photo = json!({"name": "a.png", "base64": "iVBORw0KGgr/"});
    let (files, said) = given(&slack, json!([text("a.csv", "1,2"), photo])).await;
    let expected = json!([
        ["a.csv", "text/csv", "1,2"],
        ["a.png", "image/png", "9 bytes"]
    ]);
    assert_eq!(files, expected);
    assert_eq!(said, "\"message\"");
    let calls = slack.calls("download", 2).await;
    assert!(
        calls.iter().all(|call| call["args"]["token"] == true),
        "{calls:#?}"
    );
    host.stop().await;
}

#[tokio::test]
async fn a_file_without_words_is_a_message() {
    let slack = TestSlack::http().await;
    let script = "[fallback]\ntext = 'You said {last}'\n";
    let host = slack
        .host()
        .plugin("assistant")
        .script(script)
        .start()
        .await;
    let file = json!([text("notes.txt", "milk and bread")]);
    let said = json!({"do": "say", "user": ALICE, "channel": DIRECT, "text": "", "files": file});
    let said = slack.act(said).await;
    let answer = slack
        .answers(DIRECT, said["ts"].as_str().unwrap(), 1)
        .await
        .remove(0);
    assert!(
        answer.contains("notes.txt") && answer.contains("milk and bread"),
        "{answer}"
    );
    host.stop().await;
}

#[tokio::test]
async fn files_of_other_workspaces_are_looked_up() {
    let slack = TestSlack::http().await;
    let host = probe(slack.host())
        .set("slack.agents.probe.outsiders", true)
        .start()
        .await;
    let said = json!({"do": "say", "user": "U0OLGA", "channel": "C0PARTNER", "text": "<@U0SIMBOT> message",
        "files": [text("a.txt", "from afar")]});
    let said = slack.act(said).await;
    let answer = slack
        .answers("C0PARTNER", said["ts"].as_str().unwrap(), 1)
        .await
        .remove(0);
    assert!(answer.contains("from afar"), "{answer}");
    slack.calls("files.info", 1).await;
    host.stop().await;
}

#[tokio::test]
async fn what_is_too_much_is_said() {
    let slack = TestSlack::http().await;
    let host = probe(slack.host())
        .set("slack.max_files", 3)
        .set("slack.max_file_bytes", 10)
        .set("slack.max_files_bytes", 15)
        .start()
        .await;
    let files = json!([
        text("large.txt", "01234567890"),
        text("a.txt", "0123456789"),
        text("b.txt", "012345"),
        text("c.txt", "0"),
    ]);
    let (read, said) = given(&slack, files).await;
    assert_eq!(read, json!([["a.txt", "text/plain", "0123456789"]]));
    for line in [
        "[file large.txt could not be read: it is larger than 10 bytes]",
        "[file b.txt could not be read: the files of a message may have 15 bytes together]",
        "[file c.txt could not be read: of the files of a message only 3 are read]",
    ] {
        assert!(said.contains(line), "{said}");
    }
    // It may be larger than it is said to be.
    slack
        .fault(json!({"method": "download", "kind": "longer", "bytes": 100}))
        .await;
    let (read, said) = given(&slack, json!([text("d.txt", "0")])).await;
    assert_eq!(read, json!([]));
    assert!(said.contains("larger than 10 bytes"), "{said}");
    host.stop().await;
}

#[tokio::test]
async fn what_slack_does_not_give_is_said() {
    let (slack, host) = with_http().await;
    let elsewhere = slack.url().replace("127.0.0.1", "localhost");
    let elsewhere = format!("{elsewhere}/files-pri/F1/a.txt");
    for (fault, why) in [
        (
            json!({"kind": "redirect", "to": elsewhere}),
            "not in Slack itself",
        ),
        (
            json!({"kind": "redirect", "to": "https://example.org/a"}),
            "not in Slack itself",
        ),
        (json!({"kind": "login"}), "does not show it to this app"),
        (
            json!({"kind": "status", "status": 404}),
            "not there any more",
        ),
        (
            json!({"kind": "status", "status": 503, "times": 3}),
            "did not answer",
        ),
    ] {
        let mut fault = fault;
        fault["method"] = "download".into();
        slack.fault(fault.clone()).await;
        let (read, said) = given(&slack, json!([text("a.txt", "a")])).await;
        assert_eq!(read, json!([]), "{fault}");
        assert!(said.contains(why), "{fault}: {said}");
    }
    // A host that is not Slack's was asked for nothing: each was one call, the last three.
    assert_eq!(slack.calls("download", 7).await.len(), 7);
    // What fails once is there the next time.
    slack
        .fault(json!({"method": "download", "kind": "status", "status": 503}))
        .await;
    let (read, _) = given(&slack, json!([text("a.txt", "a")])).await;
    assert_eq!(read, json!([["a.txt", "text/plain", "a"]]));
    host.stop().await;
}

#[tokio::test]
async fn without_the_scope_a_page_to_log_in_is_no_file() {
    let (slack, host) = with_http().await;
    slack
        .set(json!({"scopes": ["chat:write", "im:history", "users:read"]}))
        .await;
    for name in ["a.txt", "page.html"] {
        let file = json!({"name": name, "text": "a", "mimetype": if name == "a.txt" { "text/plain" } else { "text/html" }});
        let (read, said) = given(&slack, json!([file])).await;
        assert_eq!(read, json!([]), "{name}");
        assert!(said.contains("does not show it to this app"), "{said}");
    }
    host.stop().await;
}

/// The app's messages with files in a thread, when there are as many.
async fn uploaded(slack: &TestSlack, ts: &str, count: usize) -> Vec<Value> {
    slack.calls("files.completeUploadExternal", count).await;
    let query = format!("channel={DIRECT}&thread_ts={ts}&user=U0SIMBOT");
    let messages = slack.messages(&query, 2).await;
    let has_files = |message: &Value| message["files"].as_array().is_some_and(|it| !it.is_empty());
    messages.into_iter().filter(has_files).collect()
}

#[tokio::test]
async fn files_of_an_agent_are_shown_once_whatever_slack_does() {
    let slack = TestSlack::http().await;
    let host = probe(slack.host())
        .set("slack.timeout_ms", 300)
        .set("outbox.backoff_ms", 10);
    let host = host.start().await;
    slack.calls("auth.test", 1).await;
    let command = "attach a.csv 1,2\nattach b.txt hello\nsure 0.75";
    for (number, fault) in [
        json!({"method": "files.getUploadURLExternal", "kind": "status", "status": 503}),
        json!({"method": "files.completeUploadExternal", "kind": "lost"}),
        json!({"method": "chat.postMessage", "kind": "ratelimited", "retry_after": 1}),
    ]
    .into_iter()
    .enumerate()
    {
        slack.fault(fault.clone()).await;
        let ts = slack.say(ALICE, DIRECT, command).await;
        let shown = uploaded(&slack, &ts, number + 1).await;
        let files = shown[0]["files"].as_array().unwrap();
        let names: Vec<_> = files.iter().map(|file| &file["name"]).collect();
        assert_eq!(names, ["a.csv", "b.txt"], "{fault}: {shown:#?}");
        host.wait_for("it is delivered", async || {
            let pending = host.get("/api/v1/deliveries?status=pending").await.body;
            (pending["items"] == json!([])).then_some(())
        })
        .await;
        assert_eq!(uploaded(&slack, &ts, 1).await.len(), 1, "{fault}");
        let answer = slack.answers(DIRECT, &ts, 1).await.remove(0);
        assert_eq!(answer, "attached\nattached\nsure", "{fault}");
    }
    let query = format!("channel={DIRECT}&user=U0SIMBOT&contains=75%20%25%20sure");
    slack.messages(&query, 1).await;
    host.stop().await;
}

#[tokio::test]
async fn a_very_long_answer_is_a_file_where_the_app_may_write_files() {
    let (slack, host) = with_http().await;
    let long = format!("echo {}", "little to say ".repeat(3_000));
    let ts = slack.say(ALICE, DIRECT, &long).await;
    let shown = uploaded(&slack, &ts, 1).await;
    assert_eq!(shown[0]["files"][0]["name"], "answer.md");
    let excerpt = &slack.answers(DIRECT, &ts, 1).await[0];
    assert!(excerpt.contains("in the file below"), "{excerpt}");
    let scopes = ["chat:write", "im:history", "users:read", "assistant:write"];
    slack.set(json!({"scopes": scopes})).await;
    let ts = slack.say(ALICE, DIRECT, &long).await;
    slack.answers(DIRECT, &ts, 4).await;
    assert!(host.log().contains("slack doctor"), "{}", host.log());
    host.stop().await;
}
