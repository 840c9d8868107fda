//! `[retention]`: how long things are kept. What is not set is kept for ever.

use std::num::NonZeroU32;

use serde::Deserialize;

/// How long things are kept, in days.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Turns after their end, with journals, logs and idempotency keys.
    pub turns_days: Option<NonZeroU32>,
    /// Conversations after their latest message.
    pub conversations_days: Option<NonZeroU32>,
    /// Events after they were published.
    pub events_days: Option<NonZeroU32>,
}
