//! What only a socket shows: clients that are slow, that lie, or that leave.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Fixture;

const HEAD: &str = "POST /api/v1/messages HTTP/1.1\r\nhost: h\r\nauthorization: Bearer test-administrator\r\ncontent-type: application/json\r\n";

async fn quick() -> Fixture {
    Fixture::with(|config| config.server.read_timeout_ms = 300).await
}

/// Sends and reads until the host closes.
async fn exchange(address: &str, text: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer));
    let _ = read.await.expect("the host closes");
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn headers_that_do_not_come_end_the_connection() {
    let fixture = quick().await;
    let address = fixture.listen().await;
    let started = Instant::now();
    exchange(&address, "GET /health/live HTTP/1.1\r\nhost: h\r\nx-slow:").await;
    assert!(started.elapsed() >= Duration::from_millis(250));
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let fixture = quick().await;
    let address = fixture.listen().await;
    let request = "GET /health/live HTTP/1.1\r\nhost: h\r\n\r\n";
    let answer = exchange(&address, request).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered() {
    let fixture = quick().await;
    let address = fixture.listen().await;
    let answer = exchange(&address, &format!("{HEAD}content-length: 1000\r\n\r\n{{")).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("\"code\":\"timeout\""), "{answer}");
}

#[tokio::test]
async fn a_body_that_drips_is_ended_too() {
    let fixture = quick().await;
    let address = fixture.listen().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{HEAD}content-length: 1000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    tokio::spawn(async move {
        while write.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut answer = [0; 12];
    let answered = tokio::time::timeout(Duration::from_secs(10), read.read_exact(&mut answer));
    answered.await.expect("it is ended").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn a_body_larger_than_it_was_said_to_be_is_cut() {
    let fixture = quick().await;
    let address = fixture.listen().await;
    let answer = exchange(
        &address,
        &format!("{HEAD}content-length: 2\r\n\r\n{{}}garbage\r\n\r\n"),
    )
    .await;
    assert!(answer.contains("missing field"), "{answer}");
    assert!(answer.contains("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
}

#[tokio::test]
async fn a_chunked_body_is_counted_as_it_comes() {
    let fixture = Fixture::with(|config| {
        config.server.max_body_bytes = 1_000;
        config.registry.max_component_bytes = 1_000;
    })
    .await;
    let address = fixture.listen().await;
    for path in ["messages", "components"] {
        let head = HEAD.replace("messages", path);
        let head = if path == "components" {
            head.replace("json", "wasm")
        } else {
            head
        };
        let chunk = format!("400\r\n{}\r\n", " ".repeat(0x400));
        let answer = exchange(
            &address,
            &format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}{chunk}"),
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{path}: {answer}");
        assert!(answer.contains("too-large"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn nonsense_is_no_request() {
    let fixture = quick().await;
    let address = fixture.listen().await;
    for nonsense in [
        "\0\0\0\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /a b HTTP/1.1\r\n\r\n",
        "GET /\u{e9} HTTP/1.1\r\nhost: h\r\n\r\n",
    ] {
        let answer = exchange(&address, nonsense).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{nonsense:?}: {answer}"
        );
    }
    let answer = exchange(
        &address,
        "GET /health/live HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_request_under_way_is_finished_when_the_host_stops() {
    let fixture = Fixture::start().await;
    let address = fixture.listen().await;
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let head = "GET /api/v1/nothing HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    fixture.host.stop().await;
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest));
    closed.await.expect("idle connections are closed").unwrap();
    assert!(
        TcpStream::connect(&address).await.is_err(),
        "nothing listens any more"
    );
}
