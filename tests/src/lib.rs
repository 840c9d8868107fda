//! A real host for tests: the program itself on a temporary folder and a free
//! port, driven through its outside.
//!
//! ```ignore
//! let host = TestHost::new().plugin("probe").limit("fuel", 1_000_000).start().await;
//! assert_eq!(host.ask("probe", "echo hello").await.text(), "hello");
//! ```

#![allow(
    clippy::expect_used,
    reason = "a test that cannot go on stops with a reason"
)]

mod answer;
mod api;
mod fixtures;
mod process;
mod slack;
mod slack_app;

pub use answer::{Answer, SseEvent};
pub use fixtures::{component, component_from_wat, guests_dir};
pub use process::{HostBuilder, TestHost, anchorhold};

pub use slack::FakeSlack;
pub use slack_app::TestSlack;

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970");
    u64::try_from(since.as_millis()).expect("it fits")
}
