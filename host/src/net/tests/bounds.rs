//! Sizes and times, biting.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::*;

#[tokio::test]
async fn a_body_that_is_too_long_is_not_sent() {
    let (mut agent, server) = (Agent::new(), server::start().await);
    agent.limits.request_bytes = 100;
    let url = format!("{}/echo", server.base);
    agent.send(post(&url, &"x".repeat(100))).await.unwrap();
    let error = agent.send(post(&url, &"x".repeat(101))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::LimitExceeded);
    assert_eq!(server.seen.requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_response_that_is_too_long_is_left_off() {
    let (mut agent, server) = (Agent::new(), server::start().await);
    agent.limits.response_bytes = 1_000;
    let url = |length: usize| format!("{}/bytes/{length}", server.base);
    assert_eq!(agent.get(&url(1_000)).await.unwrap().body.len(), 1_000);
    for url in [
        url(1_001),
        url(50_000_000),
        format!("{}/trickle", server.base),
    ] {
        let error = agent.get(&url).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::LimitExceeded, "{url}");
    }
    let error = agent
        .get(&format!("{}/headers", server.base))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::LimitExceeded, "{}", error.message);
}

#[tokio::test]
async fn an_exchange_times_out_wherever_it_hangs() {
    let (mut agent, server) = (Agent::new(), server::start().await);
    agent.limits.timeout_ms = 100;
    agent.limits.response_bytes = u64::MAX;
    let started = Instant::now();
    for path in ["slow", "trickle", "302?/slow"] {
        let mut request = get(&format!("{}/{path}", server.base));
        request.timeout_ms = Some(60_000);
        let error = agent.send(request).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::TimedOut, "{path}");
        assert!(error.retryable);
    }
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_caller_that_goes_away_ends_the_exchange() {
    let (agent, server) = (Agent::new(), server::start().await);
    let url = format!("{}/slow", server.base);
    let left = tokio::time::timeout(Duration::from_millis(200), agent.get(&url)).await;
    assert!(left.is_err());
    for _ in 0..100 {
        if server.seen.dropped.load(Ordering::SeqCst) == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the server still waits");
}

#[tokio::test]
async fn a_closed_port_is_unavailable_without_an_address() {
    let mut agent = Agent::new();
    agent.hosts.push("localhost");
    agent.limits.allow_private.push("localhost".into());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = agent
        .get(&format!("http://localhost:{port}/"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(!error.message.contains("127.0.0.1"), "{}", error.message);
}

#[tokio::test]
async fn malformed_requests_are_refused() {
    let (agent, server) = (Agent::new(), server::start().await);
    let url = format!("{}/echo", server.base);
    for method in ["", "get", "GET /", "CONNECT", "TRACE", "G\r\nX"] {
        let mut request = get(&url);
        request.method = method.into();
        let error = agent.send(request).await.unwrap_err();
        let kinds = [ErrorKind::InvalidInput, ErrorKind::Denied];
        assert!(kinds.contains(&error.kind), "{method}");
    }
    for (name, value) in [
        ("Host", "other"),
        ("content-length", "5"),
        ("Transfer-Encoding", "chunked"),
        ("connection", "x-key"),
        ("x y", "z"),
        ("x-a", "b\r\nx-c: d"),
    ] {
        let mut request = get(&url);
        request.headers.push((name.into(), value.into()));
        let error = agent.send(request).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{name}");
    }
    let mut request = get(&url);
    request.headers = vec![("x".into(), "y".into()); 101];
    let error = agent.send(request).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::LimitExceeded);
    assert_eq!(server.seen.requests.load(Ordering::SeqCst), 0);
}
