//! A turn: one message, event or request handled by one agent version in one
//! fresh instance.
//!
//! `window` is the one place that every host call passes; `journal` is what it
//! writes down; `feed` is what the person sees meanwhile; `scheduler` says when
//! a turn runs and `runner` runs it.

mod clock;
mod comparison;
mod feed;
mod journal;
mod plan;
mod question;
mod receipt;
mod runner;
mod scheduler;
mod window;

pub use clock::{GuestClock, TICK_NS};
pub use comparison::Comparison;
pub use feed::{Feed, FeedEvent, Feeds, Reader};
pub use journal::Journal;
pub use question::{Expects, Question, Verdict};
pub use receipt::{Receipt, Timing};
pub use runner::{Difference, Job, Replay, Replayed, Rested, Runner, Start};
pub use scheduler::{Scheduler, Seat};
pub(crate) use window::Closed;
pub use window::{
    Call, Commit, Identity, Long, PATIENCE, Parked, ParkedCall, Place, Recorder, Refusable, Stop,
    Window,
};
