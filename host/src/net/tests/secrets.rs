//! Secrets by placeholder.

use std::sync::atomic::Ordering;

use super::*;

fn with_header(mut request: Request, name: &str, value: &str) -> Request {
    request.headers.push((name.into(), value.into()));
    request
}

#[tokio::test]
async fn it_is_filled_in_and_never_seen() {
    let (agent, server) = (Agent::new(), server::start().await);
    let request = with_header(
        post(
            &format!("{}/echo", server.base),
            "<{{secret:key}}|{{secret:}}|{{secret:no end",
        ),
        "authorization",
        "Bearer {{secret:key}}",
    );
    let response = agent.send(request).await.unwrap();
    let seen = text(&response);
    assert!(!seen.contains(SECRET), "{seen}");
    assert!(
        seen.contains("authorization: Bearer {{secret:key}}\n"),
        "{seen}"
    );
    assert!(
        seen.ends_with("<{{secret:key}}|{{secret:}}|{{secret:no end"),
        "{seen}"
    );
    assert_eq!(
        header(&response, "x-authorization"),
        Some("Bearer {{secret:key}}")
    );
    // The length of the body shows that the value, not the placeholder, came.
    let sent = "<|{{secret:}}|{{secret:no end".len() + SECRET.len();
    assert_eq!(header(&response, "x-body"), Some(sent.to_string().as_str()));
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let (mut agent, server) = (Agent::new(), server::start().await);
    agent.secrets.push("unset");
    let cases = [
        ("ungranted", "grant `secret:ungranted`"),
        ("unset", "[secrets.unset]"),
        ("elsewhere", "[secrets.elsewhere] hosts"),
    ];
    for (name, part) in cases {
        let url = format!("{}/echo", server.base);
        let placeholder = format!("{{{{secret:{name}}}}}");
        for request in [
            post(&url, &placeholder),
            with_header(get(&url), "x-key", &placeholder),
        ] {
            let error = agent.send(request).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Denied, "{}", error.message);
            assert!(error.message.contains(part), "{}", error.message);
        }
    }
    assert_eq!(server.seen.requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn it_travels_encrypted() {
    let mut agent = Agent::new();
    agent.hosts.push("api.example.com");
    let request = with_header(get("http://api.example.com/"), "x-key", "{{secret:key}}");
    let error = agent.send(request).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.message.contains("https"), "{}", error.message);
}

#[tokio::test]
async fn a_redirect_takes_it_to_approved_hosts_only() {
    let (mut agent, server) = (Agent::new(), server::start().await);
    agent.limits.allow_private.push("localhost".into());
    agent.hosts.push("localhost");
    let elsewhere = format!("{}/307?http://localhost:{}/echo", server.base, server.port);
    let request = with_header(get(&elsewhere), "x-key", "{{secret:key}}");
    let seen = agent.send(request).await.unwrap();
    assert!(!text(&seen).contains("x-key"), "{}", text(&seen));
    let error = agent
        .send(post(&elsewhere, "{{secret:key}}"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{}", error.message);
    let here = format!("{}/307?/echo", server.base);
    let request = with_header(get(&here), "x-key", "{{secret:key}}");
    let seen = text(&agent.send(request).await.unwrap());
    assert!(seen.contains("x-key: {{secret:key}}"), "{seen}");
}

#[tokio::test]
async fn an_address_that_gives_it_away_is_masked() {
    let (agent, server) = (Agent::new(), server::start().await);
    let leak = format!("{}/307?/echo?key={SECRET}", server.base);
    let request = with_header(get(&leak), "x-key", "{{secret:key}}");
    let response = agent.send(request).await.unwrap();
    assert!(!response.url.contains(SECRET), "{}", response.url);
    assert!(!text(&response).contains(SECRET));
}

/// A long secret, many times, would be more than a body may be.
#[tokio::test]
async fn placeholders_do_not_multiply() {
    let (agent, server) = (Agent::new(), server::start().await);
    let many = "{{secret:key}}".repeat(50_000);
    let error = agent
        .send(post(&format!("{}/echo", server.base), &many))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::LimitExceeded, "{}", error.message);
}
