//! The host through its outside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on stops with a reason"
)]

mod agents;
mod bad_input;
mod busy;
mod capabilities;
mod chaos;
mod cli;
mod events;
mod exact;
mod faults;
mod foreign;
mod guard;
mod house;
mod killed;
mod limits;
mod mcp;
mod messages;
mod money;
mod openai;
mod outbound;
mod outbox;
mod recovery;
mod registry;
mod replay;
mod restart;
mod simulator;
mod slack;
mod slack_burst;
mod slack_commands;
mod slack_edits;
mod slack_enterprise;
mod slack_files;
mod slack_interactivity;
mod slack_live;
mod slack_setup;
mod suspension;
mod telemetry;
mod tools;
mod web;
