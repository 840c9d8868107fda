//! The fake Slack as it is used: what it lets nobody do, what it delivers again, what goes wrong
//! when it is to. What Slack's own SDK says of it is in tests/judges.

use std::net::TcpListener;

use anchorhold_tests::{FakeSlack, anchorhold};
use serde_json::{Value, json};
use tokio::process::Command;

/// An address to which nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn outcomes(delivery: &Value) -> Vec<&str> {
    let attempts = delivery["attempts"].as_array().unwrap();
    let words = attempts.iter().map(|attempt| attempt["outcome"].as_str());
    words.map(Option::unwrap).collect()
}

#[tokio::test]
async fn other_machines_do_not_reach_it() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let mut command = Command::new(anchorhold());
        command.args(["slack", "simulate", "--listen", address]);
        let output = command.kill_on_drop(true).output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{said}");
        assert!(said.contains("--listen takes"), "{said}");
    }
}

#[tokio::test]
async fn it_says_what_a_host_needs_to_know() {
    let http = FakeSlack::start(&["--signing-secret", "s"]).await.said;
    assert!(
        http[1].starts_with("  SLACK_API_BASE_URL=http://127.0.0.1:"),
        "{http:?}"
    );
    assert_eq!(
        http[2..],
        ["  SLACK_BOT_TOKEN=xoxb-sim-bot", "  SLACK_SIGNING_SECRET=s"]
    );
    let socket = FakeSlack::start(&["--socket", "--app-token", "xapp-2"])
        .await
        .said;
    assert_eq!(socket[3], "  SLACK_APP_TOKEN=xapp-2");
}

#[tokio::test]
async fn pages_of_others_do_not_reach_it_by_another_name() {
    let fake = FakeSlack::start(&[]).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (host, status) in [("evil.example", 403), ("localhost:80", 200), ("[::1]", 200)] {
        let request = client.get(&fake.url).header("host", host);
        assert_eq!(request.send().await.unwrap().status(), status, "{host}");
    }
}

#[tokio::test]
async fn what_is_not_acknowledged_is_delivered_again() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let fake = FakeSlack::start(&["--host-url", &url]).await;
    let quick = json!({"ack_timeout_ms": 30, "retry_delays_ms": [0, 5]});
    fake.post("settings", &quick).await;
    fake.say("U0ALICE", "D0ALICE", "hi").await;
    let failed = &fake.wait("deliveries", "state=failed").await[0];
    assert_eq!(outcomes(failed), ["http_timeout"; 3]);
    let command =
        json!({"do": "command", "user": "U0ALICE", "channel": "C0GENERAL", "command": "/agent"});
    fake.act(&command).await;
    let said = &fake.wait("messages", "ephemeral=true").await[0];
    assert_eq!(
        said["text"],
        "/agent failed with the error \"operation_timeout\""
    );
    let tried = &fake.wait("deliveries", "name=/agent&state=failed").await[0];
    assert_eq!(outcomes(tried).len(), 1);
}

#[tokio::test]
async fn deliveries_are_doubled_dropped_and_turned_around() {
    let fake = FakeSlack::start(&["--host-url", &nobody()]).await;
    fake.post("settings", &json!({"retry_delays_ms": []})).await;
    fake.post("event-faults", &json!({"kind": "duplicate", "copies": 2}))
        .await;
    fake.say("U0ALICE", "D0ALICE", "three times").await;
    let tripled = &fake.wait("deliveries", "attempts=3").await[0];
    assert_eq!(outcomes(tripled), ["connection_failed"; 3]);
    fake.post("event-faults", &json!({"kind": "drop"})).await;
    fake.say("U0ALICE", "D0ALICE", "never").await;
    fake.wait("deliveries", "state=dropped").await;
    fake.post("event-faults", &json!({"kind": "reverse", "times": 2}))
        .await;
    fake.say("U0ALICE", "D0ALICE", "first").await;
    let held = &fake.get("deliveries?from=2").await["deliveries"][0];
    assert_eq!(held["state"], "pending");
    fake.say("U0ALICE", "D0ALICE", "second").await;
    let failed = fake.wait("deliveries", "from=2&count=2&state=failed").await;
    let at = |delivery: &Value| delivery["attempts"][0]["at_ms"].as_i64().unwrap();
    assert!(at(&failed[1]) <= at(&failed[0]), "{failed:?}");
}

#[tokio::test]
async fn calls_fail_as_they_are_told_to() {
    let fake = FakeSlack::start(&[]).await;
    let say = json!({"channel": "C0GENERAL", "text": "hi"});
    let fault = json!({"method": "chat.postMessage", "kind": "status", "status": 503});
    fake.post("faults", &fault).await;
    assert_eq!(fake.call("chat.postMessage", &say).await.unwrap().0, 503);
    for kind in ["close", "lost"] {
        let fault = json!({"method": "chat.postMessage", "kind": kind});
        fake.post("faults", &fault).await;
        fake.call("chat.postMessage", &say).await.unwrap_err();
    }
    // Of the three only the answer that was lost belonged to something that was done.
    assert_eq!(fake.wait("messages", "contains=hi").await.len(), 1);
    let (status, body) = fake.call("chat.postMessage", &say).await.unwrap();
    assert_eq!((status, &body["ok"]), (200, &Value::from(true)));
}

#[tokio::test]
async fn whoever_waits_hears_at_once() {
    let fake = FakeSlack::start(&["--socket"]).await;
    let (waited, _) = tokio::join!(
        fake.wait("messages", "contains=hello"),
        fake.say("U0ALICE", "C0GENERAL", "hello"),
    );
    assert_eq!(waited[0]["user"], "U0ALICE");
    let nothing = fake.get("messages?contains=nothing&wait_ms=1").await;
    assert_eq!(nothing["complete"], false);
}
