//! Simulators for development: what stands in for the outside when there is none.

pub mod scripted;
pub mod slack;
