//! A real host for tests: the program itself on a temporary folder and a free
//! port, driven through its outside.
//!
//! ```ignore
//! let host = TestHost::new().plugin("probe").limit("fuel", 1_000_000).start().await;
//! assert_eq!(host.ask("probe", "echo hello").await.text(), "hello");
//! ```

mod answer;
mod api;
mod fixtures;
mod process;

pub use answer::{Answer, SseEvent};
pub use fixtures::{component, component_from_wat, guests_dir};
pub use process::{HostBuilder, TestHost, anchorhold};
