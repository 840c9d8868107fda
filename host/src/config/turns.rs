//! `[turns]`: how many turns the host runs and holds at once.

use serde::Deserialize;

/// Admission of turns.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Turns {
    /// Turns that run at the same time. A live instance takes about six memory
    /// maps, of which Linux gives a process 65,530 by default.
    pub concurrent: u32,
    /// Turns that wait to run; beyond it the answer is `busy`.
    pub queue: usize,
    /// Threads that run guests.
    pub threads: usize,
    /// Fuel after which a guest lets others run and its deadline is checked.
    pub slice_fuel: u64,
    /// Instances that wait for the whole answer of a model; beyond it a turn soon
    /// gives up its own and is run again from its journal when the answer is
    /// there.
    pub waiting_instances: u64,
    /// How deep agents may ask agents.
    pub max_hops: u32,
    /// The largest linear memory that `[limits] memory_bytes` may be set to, in
    /// bytes.
    pub max_memory_bytes: u64,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            concurrent: 1_000,
            queue: 10_000,
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            slice_fuel: 500_000,
            waiting_instances: 256,
            max_hops: 8,
            max_memory_bytes: 1 << 30,
        }
    }
}
