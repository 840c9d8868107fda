//! Places at which the program can be made to end as a crash would end it, so
//! that a test can stand before and behind whatever is stored.
//!
//! `ANCHORHOLD_KILL_AT=name` or `name:3` names the place and how often it is
//! passed at most. Without the variable a place is one look at a flag.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result, bail};

/// The variable, which is read once at the start of a host.
pub const VARIABLE: &str = "ANCHORHOLD_KILL_AT";

/// A place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A turn is stored and not queued.
    Accepted,
    /// A call is about to be announced.
    IntentBefore,
    /// It is announced and not made.
    IntentAfter,
    /// An effect is done and not recorded.
    EffectAfter,
    /// An effect is about to be stored with its record.
    StoredBefore,
    StoredAfter,
    /// The end of a turn is about to be stored.
    EndBefore,
    /// It is stored and nobody was told.
    EndAfter,
    /// It is stored that a turn waits for somebody.
    WaitBegun,
    /// It is stored that it gave up its instance.
    Suspended,
    /// What it waits for is stored and nobody woke it.
    WaitSettled,
    /// It is woken and does not run.
    Woken,
    /// An event has a turn.
    DeliveryBegun,
    /// That turn has ended.
    DeliveryEnded,
    /// That is stored.
    DeliverySettled,
}

const PLACES: [(&str, Place); 15] = [
    ("accepted", Place::Accepted),
    ("intent.before", Place::IntentBefore),
    ("intent.after", Place::IntentAfter),
    ("effect.after", Place::EffectAfter),
    ("stored.before", Place::StoredBefore),
    ("stored.after", Place::StoredAfter),
    ("end.before", Place::EndBefore),
    ("end.after", Place::EndAfter),
    ("wait.begun", Place::WaitBegun),
    ("suspended", Place::Suspended),
    ("wait.settled", Place::WaitSettled),
    ("woken", Place::Woken),
    ("delivery.begun", Place::DeliveryBegun),
    ("delivery.ended", Place::DeliveryEnded),
    ("delivery.settled", Place::DeliverySettled),
];

/// Looked at by every place; what it guards is looked at in tests only.
static IS_SET: AtomicBool = AtomicBool::new(false);
static AT: OnceLock<At> = OnceLock::new();

struct At {
    place: Place,
    /// How often it is passed yet.
    left: AtomicU64,
}

/// Sets the place, for the life of the process.
///
/// # Errors
///
/// If there is no such place.
pub fn set(text: &str) -> Result<()> {
    let (place, left) = parse(text)?;
    tracing::warn!(at = text, "this host ends itself, for a test");
    let at = At {
        place,
        left: AtomicU64::new(left),
    };
    if AT.set(at).is_err() {
        bail!("{VARIABLE} is set already");
    }
    IS_SET.store(true, Ordering::Relaxed);
    Ok(())
}

fn parse(text: &str) -> Result<(Place, u64)> {
    let (name, count) = text.split_once(':').unwrap_or((text, "1"));
    let names = PLACES.map(|(name, _)| name).join(", ");
    let (_, place) = PLACES
        .iter()
        .find(|(known, _)| *known == name)
        .with_context(|| format!("{VARIABLE} names {name:?}; there are {names}"))?;
    match count.parse() {
        Ok(count) if count > 0 => Ok((*place, count)),
        _ => bail!("{VARIABLE} counts from 1, not {count:?}"),
    }
}

/// Ends the process if this is the place.
pub fn reached(place: Place) {
    if IS_SET.load(Ordering::Relaxed) {
        count(place);
    }
}

#[cold]
fn count(place: Place) {
    let here = AT.get().filter(|at| at.place == place);
    if here.is_some_and(|at| at.left.fetch_sub(1, Ordering::SeqCst) == 1) {
        // Nothing is dropped, closed or flushed.
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_named_and_counted() {
        assert_eq!(parse("accepted").unwrap(), (Place::Accepted, 1));
        assert_eq!(parse("effect.after:3").unwrap(), (Place::EffectAfter, 3));
        for bad in ["", "nowhere", "accepted:0", "accepted:x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
