//! The one engine and the one linker.

use anyhow::{Context, Result};
use tracing::warn;
use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use super::check::CHECKS_AT_ONCE;
use super::instance::HostState;
use crate::config;

/// Memory maps that a live instance takes, measured.
const MAPS_PER_INSTANCE: u32 = 6;

/// The engine with everything the host lends linked in.
#[derive(Clone)]
pub struct Engine {
    pub(super) engine: wasmtime::Engine,
    pub(super) linker: std::sync::Arc<Linker<HostState>>,
}

impl Engine {
    /// Makes the engine for these settings.
    ///
    /// # Errors
    ///
    /// If the address space for `[turns] concurrent` instances cannot be
    /// reserved.
    pub fn new(limits: &config::Limits, turns: &config::Turns) -> Result<Self> {
        warn_of_few_maps(turns.concurrent);
        let engine = wasmtime::Engine::new(&settings(limits, turns))
            .map_err(anyhow::Error::from)
            .with_context(|| {
                format!(
                    "cannot reserve memory for [turns] concurrent = {} instances",
                    turns.concurrent
                )
            })?;
        let mut linker = Linker::new(&engine);
        super::wasi::link(&mut linker)
            .map_err(anyhow::Error::from)
            .context("linking WASI")?;
        crate::capability::link(&mut linker)
            .map_err(anyhow::Error::from)
            .context("linking capabilities")?;
        Ok(Self {
            engine,
            linker: std::sync::Arc::new(linker),
        })
    }

    /// Identifies compiled code that this engine can load: the version of
    /// wasmtime and every setting that changes code.
    pub(super) fn fingerprint(&self) -> String {
        use std::hash::{Hash, Hasher};
        let mut hasher = std::hash::DefaultHasher::new();
        self.engine
            .precompile_compatibility_hash()
            .hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

/// What makes a turn exact (fixed NaNs, deterministic SIMD, no threads), what
/// bounds it (fuel, stack), and what makes it fast (docs/benchmarks.md).
fn settings(limits: &config::Limits, turns: &config::Turns) -> Config {
    let stack = usize::try_from(limits.stack_bytes).unwrap_or(512 << 10);
    let mut settings = Config::new();
    settings
        .consume_fuel(true)
        .cranelift_nan_canonicalization(true)
        .cranelift_opt_level(OptLevel::Speed)
        .relaxed_simd_deterministic(true)
        .max_wasm_stack(stack)
        .async_stack_size(stack + (512 << 10))
        .memory_init_cow(true)
        .generate_address_map(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits, turns)));
    settings
}

fn pool(limits: &config::Limits, turns: &config::Turns) -> PoolingAllocationConfig {
    let at_once = turns.concurrent.max(1) + CHECKS_AT_ONCE;
    let tables = usize::try_from(limits.table_elements).unwrap_or(usize::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(at_once)
        .total_stacks(at_once)
        // Components of some languages are made of many core modules.
        .total_core_instances(at_once.saturating_mul(8))
        .max_core_instances_per_component(64)
        .total_memories(at_once + at_once / 4)
        .max_memories_per_component(8)
        .total_tables(at_once.saturating_mul(3))
        .max_tables_per_component(20)
        .table_elements(tables)
        .max_memory_size(usize::try_from(turns.max_memory_bytes).unwrap_or(1 << 30))
        // Keeping what a turn touched mapped, and asking the kernel which pages
        // those were, is four times faster than giving everything back.
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(16 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}

fn warn_of_few_maps(concurrent: u32) {
    let available = std::fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse::<u32>().ok());
    if let Some(available) = available
        && concurrent.saturating_mul(MAPS_PER_INSTANCE) > available
    {
        warn!(
            concurrent,
            available,
            "vm.max_map_count is too low for [turns] concurrent; raise it with sysctl or lower the setting"
        );
    }
}
