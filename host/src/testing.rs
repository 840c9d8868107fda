//! What the host's own tests share: what was logged while a test ran.

use std::io::Write;
use std::sync::{Arc, Mutex, Once};

use tracing::Level;
use tracing::subscriber::DefaultGuard;

/// The log of this thread, from here on and as long as it lives.
pub(crate) struct Captured {
    lines: Lines,
    _guard: DefaultGuard,
}

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Captured {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Captures what this thread logs, down to `level`.
pub(crate) fn capture(level: Level) -> Captured {
    keep_everybody_interested();
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(level)
        .with_writer(move || writer.clone())
        .finish();
    Captured {
        lines,
        _guard: tracing::subscriber::set_default(subscriber),
    }
}

/// tracing remembers of each place in the code whether anybody wants its lines. As long as it
/// knows of one subscriber only, it asks the subscriber of the thread that comes there first. In
/// tests that is mostly a thread with none, and then nobody gets the lines any more. One that
/// wants everything, throws it away and never ends makes every other a second one, and with two
/// tracing asks them all.
fn keep_everybody_interested() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::subscriber::set_global_default(tracing_subscriber::registry()).unwrap();
    });
}
