//! Requests of agents to the outside: what they may not reach.

use anchorhold_tests::TestHost;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server on loopback that answers every request with `response`.
async fn server(response: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = socket.read(&mut request).await;
                let _ = socket.write_all(response.as_bytes()).await;
            });
        }
    });
    port
}

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";

#[tokio::test]
async fn loopback_is_refused_by_name_and_by_number() {
    let port = server(HELLO).await;
    let host = TestHost::new()
        .plugin("hog")
        .grants(&["http:localhost", "http:127.0.0.1"])
        .start()
        .await;
    for url in [
        format!("http://localhost:{port}/"),
        format!("http://127.0.0.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0x7f.1:{port}/"),
    ] {
        let answer = host.ask("hog", &format!("http {url}")).await;
        assert!(
            answer.text().starts_with("error denied"),
            "{url}: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn an_allowed_address_is_reached_and_its_redirects_are_checked() {
    let inner = server(HELLO).await;
    let location = format!(
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{inner}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    let outer = server(Box::leak(location.into_boxed_str())).await;
    let host = TestHost::new()
        .plugin("hog")
        .grants(&["http:localhost", "http:127.0.0.1"])
        .set("limits.http.allow_private", vec!["localhost"])
        .start()
        .await;
    let fetched = host
        .ask("hog", &format!("http http://localhost:{inner}/"))
        .await;
    assert!(fetched.text().contains("hello"), "{}", fetched.text());
    let redirected = host
        .ask("hog", &format!("http http://localhost:{outer}/"))
        .await;
    assert!(
        redirected.text().starts_with("error denied"),
        "{}",
        redirected.text()
    );
}

#[tokio::test]
async fn hosts_are_granted_one_by_one() {
    let port = server(HELLO).await;
    let host = TestHost::new()
        .plugin("hog")
        .grants(&["http:example.com"])
        .set("limits.http.allow_private", vec!["localhost"])
        .start()
        .await;
    let answer = host
        .ask("hog", &format!("http http://localhost:{port}/"))
        .await;
    assert!(
        answer.text().starts_with("error denied") && answer.text().contains("http:localhost"),
        "{}",
        answer.text()
    );
}
