//! Answers that are delivered to callbacks: each once, in order, again when
//! that fails, and kept when it cannot be done.

use std::sync::{Arc, Mutex};

use anchorhold_tests::{Answer, HostBuilder, TestHost};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What came to a callback.
#[derive(Debug, Clone)]
struct Delivery {
    head: String,
    body: String,
}

impl Delivery {
    fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    fn text(&self) -> String {
        let turn: Value = serde_json::from_str(&self.body).unwrap();
        turn["text"].as_str().unwrap_or_default().to_owned()
    }
}

/// Somebody whom answers are delivered to, who answers as he is told: the
/// statuses one after the other, then 204. Status 0 is no answer at all.
struct Receiver {
    port: u16,
    came: Arc<Mutex<Vec<Delivery>>>,
}

impl Receiver {
    async fn start(statuses: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let came = Arc::new(Mutex::new(Vec::new()));
        let statuses: Vec<String> = statuses.iter().map(|it| (*it).to_owned()).collect();
        let seen = Arc::clone(&came);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (seen, statuses) = (Arc::clone(&seen), statuses.clone());
                tokio::spawn(async move { receive(socket, &seen, &statuses).await });
            }
        });
        Self { port, came }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/answers", self.port)
    }

    fn came(&self) -> Vec<Delivery> {
        self.came.lock().unwrap().clone()
    }

    fn texts(&self) -> Vec<String> {
        self.came().iter().map(Delivery::text).collect()
    }
}

/// Reads one request and answers it.
async fn receive(mut socket: TcpStream, came: &Mutex<Vec<Delivery>>, statuses: &[String]) {
    let mut read = Vec::new();
    let (head, length) = loop {
        if socket.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let delivery = Delivery {
                head: head.to_owned(),
                body: String::new(),
            };
            let length: usize = delivery.header("content-length").parse().unwrap();
            break (head.to_owned(), head.len() + 4 + length);
        }
    };
    while read.len() < length {
        if socket.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let body = String::from_utf8(read.split_off(head.len() + 4)).unwrap();
    let nth = {
        let mut came = came.lock().unwrap();
        came.push(Delivery { head, body });
        came.len() - 1
    };
    let status = statuses.get(nth).map_or("204 No Content", String::as_str);
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    if status != "0" {
        let _ = socket.write_all(answer.as_bytes()).await;
    }
}

fn host_for(receiver: &Receiver) -> HostBuilder {
    let address = format!("127.0.0.1:{}", receiver.port);
    TestHost::new()
        .plugin("probe")
        .set(
            "limits.http.allow_private",
            vec![toml::Value::from(address)],
        )
        .set("outbox.backoff_ms", 50)
        .set("outbox.max_backoff_ms", 200)
}

/// Says something whose answer goes to a callback.
async fn say(host: &TestHost, text: &str, conversation: &str, callback: &str) -> Answer {
    let body = json!({"text": text, "conversation": conversation, "callback": callback});
    let request = host.request("POST", "/api/v1/agents/probe/messages");
    let request = request.json(&body).header("prefer", "respond-async");
    Answer::read(request.send().await.unwrap()).await
}

async fn settled(host: &TestHost, status: &str, count: usize) -> Vec<Value> {
    host.wait_for("deliveries are settled", async || {
        let path = format!("/api/v1/deliveries?status={status}");
        let items = host.get(&path).await.body["items"].as_array()?.clone();
        (items.len() == count).then_some(items)
    })
    .await
}

#[tokio::test]
async fn an_answer_goes_to_its_callback_signed_and_named() {
    let receiver = Receiver::start(&[]).await;
    let host = host_for(&receiver)
        .set("outbox.signing_secret", "a secret of both sides")
        .start()
        .await;
    let turn = say(
        &host,
        "echo {{secret:github}} is text",
        "c",
        &receiver.url(),
    )
    .await
    .turn();
    let settled = settled(&host, "delivered", 1).await;
    assert_eq!(
        (&settled[0]["turn"], &settled[0]["attempts"]),
        (&json!(turn), &json!(0))
    );
    let came = receiver.came();
    assert_eq!(came.len(), 1);
    assert_eq!(came[0].text(), "{{secret:github}} is text");
    assert_eq!(came[0].header("idempotency-key"), turn);
    assert_eq!(came[0].header("anchorhold-signature").len(), 64);
    let elsewhere = host.ask("probe", "echo hello").await;
    assert_eq!(elsewhere.status, 200);
    assert_eq!(
        receiver.came().len(),
        1,
        "only what asks for it is delivered"
    );
}

#[tokio::test]
async fn what_fails_is_tried_again_in_order() {
    let receiver = Receiver::start(&["500 Broken", "0", "429 Slow\r\nretry-after: 1"]).await;
    let host = host_for(&receiver).start().await;
    for text in ["echo 1", "echo 2", "echo 3"] {
        let taken = say(&host, text, "c", &receiver.url()).await;
        assert_eq!(taken.status / 100, 2, "{:#}", taken.body);
    }
    settled(&host, "delivered", 3).await;
    assert_eq!(receiver.texts(), ["1", "1", "1", "1", "2", "3"]);
    let keys: Vec<String> = receiver
        .came()
        .iter()
        .map(|delivery| delivery.header("idempotency-key").to_owned())
        .collect();
    assert!(keys[..4].iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[tokio::test]
async fn what_cannot_be_delivered_is_kept_and_tried_by_hand() {
    let receiver = Receiver::start(&["410 Gone"]).await;
    let host = host_for(&receiver).start().await;
    let turn = say(&host, "echo 1", "c", &receiver.url()).await.turn();
    let dead = settled(&host, "dead", 1).await;
    assert!(
        dead[0]["error"].as_str().unwrap().contains("410"),
        "{dead:#?}"
    );
    say(&host, "echo 2", "c", &receiver.url()).await;
    settled(&host, "delivered", 1).await;
    let (code, out, _) = host
        .run_cli(&["deliveries", "list", "--status", "dead"])
        .await;
    assert!(code == 0 && out.contains(&turn), "{out}");
    let (code, _, error) = host.run_cli(&["deliveries", "retry", &turn]).await;
    assert_eq!(code, 0, "{error}");
    settled(&host, "delivered", 2).await;
    assert_eq!(receiver.texts(), ["1", "2", "1"]);
    let (code, _, error) = host.run_cli(&["deliveries", "retry", &turn]).await;
    assert!(code != 0 && error.contains("no dead letter"), "{error}");
}

#[tokio::test]
async fn an_answer_is_delivered_after_a_crash() {
    let receiver = Receiver::start(&["503 Not yet", "503 Not yet"]).await;
    let host = host_for(&receiver)
        .set("outbox.backoff_ms", 3_000)
        .start()
        .await;
    say(&host, "echo 1", "c", &receiver.url()).await;
    host.wait_for("the first attempt", async || {
        (receiver.came().len() == 1).then_some(())
    })
    .await;
    let host = host.crash().await.start().await;
    settled(&host, "delivered", 1).await;
    assert!(receiver.texts().iter().all(|text| text == "1"));
}

#[tokio::test]
async fn callbacks_that_cannot_be_are_refused() {
    let host = TestHost::new().plugin("probe").start().await;
    for callback in [
        "http://127.0.0.1:1/x",
        "http://169.254.169.254/latest",
        "ftp://example.com/x",
        "https://user:pass@example.com/x",
        "not a url",
    ] {
        let refused = say(&host, "echo 1", "c", callback).await;
        assert_eq!(
            (refused.status, refused.code()),
            (400, "invalid-request"),
            "{callback}"
        );
        assert!(
            refused.detail().starts_with("callback: "),
            "{}",
            refused.detail()
        );
    }
    let listed = host.get("/api/v1/deliveries").await.body;
    assert_eq!(listed["items"], json!([]));
    assert_eq!(host.get("/api/v1/deliveries?status=lost").await.status, 400);
}
