//! Redirects are checked like the first request.

use std::sync::atomic::Ordering;

use super::*;

#[tokio::test]
async fn a_redirect_is_followed_and_the_last_address_answered() {
    let (agent, server) = (Agent::new(), server::start().await);
    let response = agent
        .get(&format!("{}/302?/308?/echo", server.base))
        .await
        .unwrap();
    assert_eq!(response.status, 200);
    assert!(response.url.starts_with(&format!("{}/echo", server.base)));
}

#[tokio::test]
async fn redirects_to_where_it_may_not_go_are_denied() {
    let (mut agent, server) = (Agent::new(), server::start().await);
    agent
        .hosts
        .extend(["localhost", "[::1]", "127.0.0.2", "169.254.169.254"]);
    for to in [
        format!("http://localhost:{}/echo", server.port),
        "http://127.0.0.2/echo".to_owned(),
        "http://[::1]/echo".to_owned(),
        "http://2130706434/echo".to_owned(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "//10.0.0.1/".to_owned(),
        "https://not-granted.example.com/".to_owned(),
    ] {
        let error = agent
            .get(&format!("{}/302?{to}", server.base))
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{to}: {}", error.message);
    }
    for to in ["file:///etc/passwd", "http://u:p@127.0.0.1/", "ftp://x/"] {
        let error = agent
            .get(&format!("{}/302?{to}", server.base))
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{to}");
    }
}

#[tokio::test]
async fn five_redirects_are_the_most() {
    let (agent, server) = (Agent::new(), server::start().await);
    let error = agent
        .get(&format!("{}/loop", server.base))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::LimitExceeded);
    assert_eq!(server.seen.requests.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn methods_change_as_rfc_9110_says() {
    let (agent, server) = (Agent::new(), server::start().await);
    let cases = [
        ("POST", 301, "GET", false),
        ("POST", 302, "GET", false),
        ("POST", 303, "GET", false),
        ("PUT", 303, "GET", false),
        ("PUT", 302, "PUT", true),
        ("POST", 307, "POST", true),
        ("POST", 308, "POST", true),
    ];
    for (method, status, then, keeps) in cases {
        let mut request = post(&format!("{}/{status}?/echo", server.base), "content");
        request.method = method.into();
        let seen = text(&agent.send(request).await.unwrap());
        assert!(
            seen.starts_with(&format!("{then} /echo")),
            "{status}: {seen}"
        );
        assert_eq!(seen.contains("content"), keeps, "{status}: {seen}");
        assert_eq!(seen.contains("text/plain"), keeps, "{status}: {seen}");
    }
    let response = agent.get(&format!("{}/304?/echo", server.base)).await;
    assert_eq!(response.unwrap().status, 304);
}

#[tokio::test]
async fn what_is_personal_stays_with_whom_it_was_meant_for() {
    let (mut agent, server) = (Agent::new(), server::start().await);
    let other = server::start().await;
    agent.limits.allow_private.push("localhost".into());
    agent.hosts.push("localhost");
    let headers = || {
        ["authorization", "cookie", "x-api-key", "x-plain"]
            .map(|name| (name.to_owned(), format!("value-of-{name}")))
            .to_vec()
    };
    for (to, keeps) in [
        (format!("{}/echo", server.base), true),
        (format!("{}/echo", other.base), false),
        (format!("http://localhost:{}/echo", server.port), false),
    ] {
        let mut request = get(&format!("{}/307?{to}", server.base));
        request.headers = headers();
        let seen = text(&agent.send(request).await.unwrap());
        for name in ["authorization", "cookie", "x-api-key"] {
            assert_eq!(
                seen.contains(&format!("value-of-{name}")),
                keeps,
                "{to}: {seen}"
            );
        }
        assert!(seen.contains("value-of-x-plain"), "{seen}");
    }
}
