//! The host ends at each place by name at which something was or was not
//! stored: one answer comes all the same, and everything else happened once.

use std::time::Duration;

use anchorhold_tests::{Answer, HostBuilder, TestHost};
use serde_json::{Value, json};

const SCRIPT: &str = "[fallback]\ntext = \"heard\"\n";
const KILL_AT: &str = "ANCHORHOLD_KILL_AT";

/// Everything that a message does would show if it were done twice or not.
fn body(mark: &str) -> Value {
    let text = format!(
        "state cas agent {mark} - x\nsql execute INSERT INTO t VALUES ('{mark}')\n\
         publish probe.done {{}} key={mark}\ngenerate {mark}\nstream {mark}"
    );
    json!({"text": text, "conversation": mark})
}

/// Sends the message; none if the host ended before it answered.
async fn send(host: &TestHost, mark: &str) -> Option<Answer> {
    let request = host.request("POST", "/api/v1/agents/probe/messages");
    let sent = request
        .header("idempotency-key", mark)
        .json(&body(mark))
        .send()
        .await;
    match sent {
        Ok(response) => Some(Answer::read(response).await),
        Err(_) => None,
    }
}

async fn prepared() -> HostBuilder {
    let host = TestHost::new().plugin("probe").script(SCRIPT).start().await;
    host.ask("probe", "sql execute CREATE TABLE t (mark TEXT)")
        .await
        .text();
    host.stop().await
}

/// Ends a host at each of these places, one after the other, on one folder.
async fn die_at(points: &[&str]) {
    let mut stopped = prepared().await;
    for (number, point) in points.iter().enumerate() {
        let mark = format!("m{number}");
        let host = stopped.env(KILL_AT, point).start_now().await;
        let first = send(&host, &mark).await;
        let host = host.died().await.unset(KILL_AT).start_now().await;
        let answer = send(&host, &mark).await.unwrap();
        assert!(!answer.text().contains("error "), "{point}: {answer:?}");
        if let Some(first) = first {
            assert_eq!(first.body["turn"], answer.body["turn"], "{point}");
            assert_eq!(first.text(), answer.text(), "{point}");
        }
        check(&host, point, &mark).await;
        let rows = host.ask(
            "probe",
            "sql query SELECT count(*), count(DISTINCT mark) FROM t",
        );
        let rows = rows.await.text().to_owned();
        let all = number + 1;
        assert!(
            rows.contains(&format!("[[{all},{all}]]")),
            "{point}: {rows}"
        );
        stopped = host.stop().await;
    }
}

async fn check(host: &TestHost, point: &str, mark: &str) {
    let received = host
        .wait_for("the event is received", async || {
            let log = host
                .ask("probe", &format!("state get agent log:{mark}"))
                .await;
            (log.text() != "absent").then(|| log.json_text()["value"].clone())
        })
        .await;
    let ids: Vec<String> = serde_json::from_str(received.as_str().unwrap()).unwrap();
    assert_eq!(ids.len(), 1, "{point}: received once");
    let spoken = host
        .get(&format!("/api/v1/conversations/{mark}/messages"))
        .await
        .body;
    assert_eq!(spoken["items"].as_array().unwrap().len(), 2, "{point}");
    let events = host
        .get("/api/v1/events?topic=probe.done&limit=500")
        .await
        .body;
    let published = events["items"].as_array().unwrap().iter();
    let published = published.filter(|event| event["ordering_key"] == mark);
    assert_eq!(published.count(), 1, "{point}: published once");
    host.wait_for("nothing is left", async || {
        for status in ["queued", "running", "waiting"] {
            let left = host
                .get(&format!("/api/v1/turns?status={status}"))
                .await
                .body;
            if left["items"] != json!([]) {
                return None;
            }
        }
        Some(())
    })
    .await;
    let failed = host.get("/api/v1/turns?status=failed").await.body;
    assert_eq!(failed["items"], json!([]), "{point}: {failed:#}");
}

#[tokio::test]
async fn around_what_is_accepted_and_answered() {
    die_at(&["accepted", "end.before", "end.after"]).await;
}

#[tokio::test]
async fn around_what_is_announced() {
    // The change of the database, the model call, the stream.
    die_at(&[
        "intent.before:1",
        "intent.after:1",
        "intent.before:2",
        "intent.after:2",
        "intent.after:3",
    ])
    .await;
}

#[tokio::test]
async fn after_what_was_done_and_before_it_is_recorded() {
    die_at(&[
        "effect.after:1",
        "effect.after:2",
        "effect.after:3",
        "effect.after:4",
    ])
    .await;
}

#[tokio::test]
async fn around_what_is_stored_with_its_record() {
    // The state, the event, and what the event's turn keeps.
    die_at(&[
        "stored.before:1",
        "stored.after:1",
        "stored.before:2",
        "stored.after:2",
        "stored.after:3",
    ])
    .await;
}

#[tokio::test]
async fn around_the_delivery_of_an_event() {
    die_at(&[
        "accepted:2",
        "delivery.begun",
        "delivery.ended",
        "delivery.settled",
    ])
    .await;
}

#[tokio::test]
async fn a_place_that_is_not_there_is_refused() {
    let stopped = TestHost::new().env(KILL_AT, "nowhere");
    let (code, err) = tokio::time::timeout(Duration::from_secs(60), stopped.start_fails())
        .await
        .unwrap();
    assert_eq!(code, 1, "{err}");
    assert!(
        err.contains("nowhere") && err.contains("delivery.begun"),
        "{err}"
    );
}

/// Ends a host at this place while a turn waits for a person; answers how often
/// the person is asked and what comes of the answer.
async fn die_waiting_at(point: &str) {
    let host = TestHost::new().plugin("probe").start().await;
    let host = host.stop().await.env(KILL_AT, point).start_now().await;
    let text =
        "state cas agent before - x\nask text Which? ## who=http:ada\nstate cas agent after - x";
    let body = json!({"text": text, "conversation": "c"});
    let request = host.request("POST", "/api/v1/agents/probe/messages");
    let request = request.header("prefer", "respond-async").json(&body).send();
    let turn = Answer::read(request.await.unwrap()).await.turn();
    let answer = json!({"text": "blue", "user": "ada"});
    let path = format!("/api/v1/turns/{turn}/answer");
    let is_asked_first = matches!(point, "wait.settled" | "woken");
    if is_asked_first {
        host.wait_for("the turn waits", async || {
            let turn = host.get(&format!("/api/v1/turns/{turn}")).await.body;
            (turn["status"] == "waiting").then_some(())
        })
        .await;
        let _ = host.request("POST", &path).json(&answer).send().await;
    }
    let host = host.died().await.unset(KILL_AT).start_now().await;
    if !is_asked_first {
        host.wait_for("the person is asked", async || {
            let listed = host.get("/api/v1/questions").await.body;
            (listed["items"].as_array()?.len() == 1).then_some(())
        })
        .await;
        assert_eq!(host.post(&path, &answer).await.status, 202, "{point}");
    }
    let ended = host.ended(&turn).await;
    let lines: Vec<&str> = ended["text"].as_str().unwrap().lines().collect();
    assert_eq!(lines[1], "answered http:ada: blue", "{point}: {ended:#}");
    assert!(
        !ended["text"].as_str().unwrap().contains("error "),
        "{point}: {ended:#}"
    );
    let again = host.post(&path, &answer).await;
    assert_eq!(again.status, 409, "{point}: a question takes one answer");
}

#[tokio::test]
async fn around_what_is_waited_for() {
    for point in ["wait.begun", "suspended", "wait.settled", "woken"] {
        die_waiting_at(point).await;
    }
}
