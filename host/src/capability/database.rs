//! Agents' own databases.

mod applied;
mod databases;
mod errors;
mod ffi;
mod functions;
mod open;
mod real_text;
mod rules;
mod statement;
mod values;
mod watch;

pub use applied::Call;
pub use databases::{Databases, Owner};

#[cfg(test)]
mod tests;
