//! The lines that a turn logs.

use super::Window;
use crate::store::LogLine;

impl Window {
    /// Adds a line to the turn's log, cut off where the log is full.
    pub fn log(&mut self, level: &str, message: &str, fields: &str) {
        let size = (message.len() + fields.len()) as u64;
        let room = self.agent.limits.log_bytes.saturating_sub(self.log_bytes);
        let (message, dropped) = cut(message, room);
        self.receipt.log_bytes_dropped += dropped;
        self.log_bytes = self.log_bytes.saturating_add(size);
        if message.is_empty() && dropped > 0 {
            return;
        }
        tracing::debug!(target: "anchorhold::agent", turn = %self.identity.turn, agent = %self.agent.name, level, message);
        self.log.push(LogLine {
            seq: i64::try_from(self.log.len()).unwrap_or(i64::MAX) + 1,
            level: level.to_owned(),
            message: message.to_owned(),
            fields: fields.to_owned(),
        });
    }
}

/// The part of a text that fits, and how many bytes do not.
fn cut(text: &str, room: u64) -> (&str, u64) {
    let mut end = usize::try_from(room).unwrap_or(usize::MAX).min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    (&text[..end], (text.len() - end) as u64)
}
