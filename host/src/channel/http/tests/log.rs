//! The log has a line for each request and nothing that is secret.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing::Level;

use super::Fixture;

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn it_names_routes_and_no_addresses_tokens_or_bodies() {
    let fixture = Fixture::start().await;
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(Level::DEBUG)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    fixture
        .call(
            "POST /agents/hook/hidden-path?key=hidden-query",
            "hidden-body",
        )
        .await;
    fixture.get("/api/v1/agents/hidden-agent").await;
    drop(guard);
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
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
