//! What may stop a statement while SQLite works on it: time, memory, or a
//! caller that is gone. SQLite asks every hundred instructions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::ffi;

/// By how much SQLite's memory may grow while one statement runs. SQLite counts
/// for the whole process, so statements that run at the same time share it;
/// everything temporary is kept in memory and is therefore counted.
pub(super) const MEMORY_BYTES: i64 = 256 << 20;

/// Instructions between two questions: few, because one instruction may make a
/// value of megabytes.
const INSTRUCTIONS: i32 = 100;

/// Why a statement was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Time,
    Memory,
    Cancelled,
}

/// Says that nobody waits for the statement any more.
pub(super) type Cancelled = Arc<AtomicBool>;

/// Whose statement it is, and what became of it.
#[derive(Default)]
pub(super) struct Watch(Mutex<State>);

#[derive(Default)]
struct State {
    guest: Option<Guest>,
    /// Why the authorizer refused.
    refusal: Option<String>,
    stop: Option<Stop>,
}

struct Guest {
    deadline: Instant,
    memory: i64,
    cancelled: Cancelled,
}

/// While it lives, statements are the guest's: rules and limits hold.
pub(super) struct OfGuest<'a>(&'a Watch);

impl Drop for OfGuest<'_> {
    fn drop(&mut self) {
        self.0.state().guest = None;
    }
}

impl Watch {
    /// Has SQLite ask this watch.
    pub(super) fn install(self: &Arc<Self>, connection: &Connection) -> rusqlite::Result<()> {
        let watch = Arc::clone(self);
        connection.progress_handler(INSTRUCTIONS, Some(move || watch.stops()))
    }

    pub(super) fn guest(&self, time: Duration, cancelled: &Cancelled) -> OfGuest<'_> {
        *self.state() = State {
            guest: Some(Guest {
                deadline: Instant::now() + time,
                memory: ffi::memory_used().saturating_add(MEMORY_BYTES),
                cancelled: Arc::clone(cancelled),
            }),
            refusal: None,
            stop: None,
        };
        OfGuest(self)
    }

    pub(super) fn is_guest(&self) -> bool {
        self.state().guest.is_some()
    }

    /// Keeps the first refusal: it is the one closest to the cause.
    pub(super) fn refuse(&self, sentence: String) {
        self.state().refusal.get_or_insert(sentence);
    }

    pub(super) fn take_refusal(&self) -> Option<String> {
        self.state().refusal.take()
    }

    pub(super) fn take_stop(&self) -> Option<Stop> {
        self.state().stop.take()
    }

    fn stops(&self) -> bool {
        let mut state = self.state();
        let Some(guest) = &state.guest else {
            return false;
        };
        state.stop = guest.stop();
        state.stop.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    fn stop(&self) -> Option<Stop> {
        if self.cancelled.load(Ordering::Relaxed) {
            Some(Stop::Cancelled)
        } else if Instant::now() >= self.deadline {
            Some(Stop::Time)
        } else if ffi::memory_used() > self.memory {
            Some(Stop::Memory)
        } else {
            None
        }
    }
}
