//! Lines for the operator, with a level and, if wanted, fields.

pub use crate::bindings::imports::anchorhold::agent::log::Level;
use crate::window::log as host;

/// What only the author of the agent wants to know.
pub fn debug(message: impl AsRef<str>) {
    write(Level::Debug, message, &[]);
}

/// What is worth a line.
pub fn info(message: impl AsRef<str>) {
    write(Level::Info, message, &[]);
}

/// What went wrong and was coped with.
pub fn warn(message: impl AsRef<str>) {
    write(Level::Warn, message, &[]);
}

/// What went wrong.
pub fn error(message: impl AsRef<str>) {
    write(Level::Error, message, &[]);
}

/// One line with fields.
pub fn write(level: Level, message: impl AsRef<str>, fields: &[(String, String)]) {
    host::write(level, message.as_ref(), fields);
}
