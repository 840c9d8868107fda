//! URLs and entries of `allow_private`, before anything is sent.

use super::super::target::{Target, matches_pattern};
use super::*;

fn limits(entries: &[&str]) -> HttpLimits {
    HttpLimits {
        allow_private: entries.iter().map(|entry| (*entry).to_owned()).collect(),
        ..HttpLimits::default()
    }
}

#[test]
fn odd_forms_of_private_numbers_are_denied() {
    for url in [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://127.0.0.1./",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://017700000001/",
        "http://0/",
        "http://[::1]/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[64:ff9b::7f00:1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://１２７.0.0.1/",
        "http://10.0.0.1:8080/",
        "http:\\\\192.168.0.1\\",
        "https://[fe80::1]/",
        "https://[fd00::1]/",
    ] {
        let error = Target::parse(url, &limits(&[])).expect_err(url);
        assert_eq!(error.kind, ErrorKind::Denied, "{url}: {}", error.message);
        assert!(error.message.contains("allow_private"), "{}", error.message);
    }
}

#[test]
fn malformed_urls_are_refused() {
    for url in [
        "",
        "example.com",
        "/path",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "https://user@example.com/",
        "https://user:word@example.com/",
        "https://:word@example.com/",
        "https://example.com/?key={{secret:key}}",
        "https://{{secret:key}}.example.com/",
        "https://example.com/{\t{secret:key}}",
        "https://example.com/?{\n{secret:key}}",
        "http://999.999.999.999/",
        "http://./",
    ] {
        let error = Target::parse(url, &limits(&[])).expect_err(url);
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{url}: {error:?}");
    }
    let long = format!("https://example.com/{}", "x".repeat(20_000));
    assert!(Target::parse(&long, &limits(&[])).is_err());
}

#[test]
fn entries_name_hosts_with_or_without_a_port() {
    let private = |entry: &str, url: &str| {
        Target::parse(url, &limits(&[entry])).is_ok_and(|target| target.private)
    };
    assert!(private("127.0.0.1", "http://127.1:99/"));
    assert!(private("127.0.0.1:80", "http://127.0.0.1/"));
    assert!(private(
        "Intranet.example.com",
        "https://intranet.example.com./"
    ));
    assert!(private("intranet:8443", "https://intranet:8443/"));
    assert!(private("[::1]:80", "http://[::1]/"));
    assert!(private("::1", "http://[::1]/"));
    assert!(!private("127.0.0.1:81", "http://127.0.0.1/"));
    assert!(!private("127.0.0.1", "http://127.0.0.2/"));
    assert!(!private("127.0.0.1", "http://[::1]/"));
    assert!(!private("example.com", "http://www.example.com/"));
    assert!(!private("", "http://127.0.0.1/"));
}

#[test]
fn patterns_mean_a_host_or_what_is_below_a_domain() {
    assert!(matches_pattern("api.example.com", "api.example.com"));
    assert!(matches_pattern("*.example.com", "api.example.com"));
    assert!(matches_pattern("*.Example.com.", "a.b.example.com"));
    for (pattern, host) in [
        ("*.example.com", "example.com"),
        ("*.example.com", "badexample.com"),
        ("*.example.com", ".example.com"),
        ("example.com", "api.example.com"),
        ("*", "example.com"),
        ("*.", "example.com"),
        ("", "example.com"),
    ] {
        assert!(!matches_pattern(pattern, host), "{pattern} {host}");
    }
}

#[tokio::test]
async fn names_that_lead_inside_are_denied() {
    let mut agent = Agent::new();
    agent.hosts = vec![
        "localhost",
        "rebound.example.com",
        "metadata.example.com",
        "gone.example.com",
    ];
    let server = server::start().await;
    for host in ["localhost", "rebound.example.com", "metadata.example.com"] {
        let url = format!("http://{host}:{}/echo", server.port);
        let error = agent.get(&url).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{host}: {}", error.message);
        assert!(!error.message.contains("127."), "{}", error.message);
        assert!(!error.message.contains("169."), "{}", error.message);
    }
    let error = agent.get("https://gone.example.com/").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{}", error.message);
    agent.limits.allow_private.push("localhost".into());
    let url = format!("http://localhost:{}/echo", server.port);
    assert_eq!(agent.get(&url).await.unwrap().status, 200);
    let error = agent.get("https://other.example.com/").await.unwrap_err();
    assert_eq!(
        error.message,
        "the agent needs the grant `http:other.example.com`"
    );
}
