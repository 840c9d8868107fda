//! The log has a line for each request and nothing that is secret.

use tracing::Level;

use super::Fixture;
use crate::testing::capture;

#[tokio::test]
async fn it_names_routes_and_no_addresses_tokens_or_bodies() {
    let fixture = Fixture::start().await;
    let captured = capture(Level::DEBUG);
    fixture
        .call(
            "POST /agents/hook/hidden-path?key=hidden-query",
            "hidden-body",
        )
        .await;
    fixture.get("/api/v1/agents/hidden-agent").await;
    let log = captured.text();
    for part in [
        "/agents/{name}/{*path}",
        "/api/v1/agents/{agent}",
        "method=POST",
        "status=404",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
    assert_eq!(log.lines().count(), 2, "{log}");
    assert!(!log.contains("hidden"), "{log}");
    assert!(!log.contains(&fixture.admin), "{log}");
}
