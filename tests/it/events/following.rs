//! Events as they are published, by server-sent events and by the command line.

use std::process::Stdio;

use anchorhold_tests::{SseEvent, TestHost};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::publish;

/// A stream of events, read as it comes.
struct Followed(reqwest::Response, String);

impl Followed {
    async fn of(host: &TestHost, query: &str, last: Option<&str>) -> Self {
        let mut request = host.request("GET", &format!("/api/v1/events/stream?{query}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self(response, String::new())
    }

    async fn next(&mut self) -> SseEvent {
        loop {
            if let Some((block, rest)) = self.1.split_once("\n\n") {
                let events = SseEvent::parse_all(block);
                self.1 = rest.to_owned();
                match events.into_iter().next() {
                    Some(event) => return event,
                    None => continue,
                }
            }
            let chunk = self.0.chunk().await.unwrap().expect("more events");
            self.1.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

#[tokio::test]
async fn events_are_followed_and_taken_up_from_any_position() {
    let host = TestHost::new().start().await;
    publish(&host, "team.before", json!({}), None).await;
    let mut live = Followed::of(&host, "topic=team.*", None).await;
    publish(&host, "other.x", json!({}), None).await;
    let mut ids = Vec::new();
    for n in 0..40 {
        ids.push(publish(&host, "team.x", json!({ "n": n }), None).await);
    }
    let first = live.next().await;
    assert_eq!(
        (&first.data["event"], &first.data["topic"]),
        (&json!(ids[0]), &json!("team.x"))
    );
    assert_eq!(first.id, first.data["position"].to_string());
    for id in &ids[1..] {
        assert_eq!(live.next().await.data["event"], *id);
    }
    let mut again = Followed::of(&host, "topic=team.*&after=0", Some(&first.id)).await;
    assert_eq!(again.next().await.data["event"], ids[1]);
    let mut stored = Followed::of(&host, "topic=team.before&after=0", None).await;
    assert_eq!(stored.next().await.data["topic"], "team.before");
    publish(&host, "team.before", json!({ "again": true }), None).await;
    assert_eq!(stored.next().await.data["data"]["again"], true);

    for query in ["topic=a%20b", "after=x"] {
        let answer = host.get(&format!("/api/v1/events/stream?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
    }
    // A stream that is open does not keep the host from stopping.
    host.stop().await;
}

#[tokio::test]
async fn tail_prints_a_line_for_each_event_and_ends_on_ctrl_c() {
    let host = TestHost::new().start().await;
    let mut tail = host
        .cli(&[
            "--json", "events", "tail", "--topic", "team.*", "--after", "0",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let (code, id, _) = host
        .run_cli(&["events", "publish", "team.x", "{\"n\": 1}"])
        .await;
    assert_eq!(code, 0);
    let line: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
    assert_eq!(
        (&line["event"], &line["data"]["n"]),
        (&json!(id.trim()), &json!(1))
    );
    let pid = tail.id().unwrap().to_string();
    let killed = tokio::process::Command::new("kill")
        .args(["-INT", &pid])
        .status()
        .await;
    assert!(killed.unwrap().success());
    assert_eq!(tail.wait().await.unwrap().code(), Some(0));

    let (code, _, errors) = host.run_cli(&["events", "tail", "--topic", "a b"]).await;
    assert!(
        code == 1 && errors.contains("not a topic pattern"),
        "{errors}"
    );
}
