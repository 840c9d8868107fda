//! What the host lends to agents, one file for each interface of the contract.

pub mod database;
pub mod llm;
