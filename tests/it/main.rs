//! The host through its outside.

mod agents;
mod bad_input;
mod capabilities;
mod cli;
mod events;
mod exact;
mod foreign;
mod house;
mod limits;
mod messages;
mod outbound;
mod registry;
mod restart;
mod web;
