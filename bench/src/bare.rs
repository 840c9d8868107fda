//! Bare wasmtime doing what a turn does: the baseline. The engine is configured as well as we know
//! how (pooling, memory kept resident), and nothing is limited, recorded or counted.

use std::path::Path;

use anchorhold::runtime::bindings::{self, chat, config, types};
use anyhow::{Result, ensure};
use wasmtime::component::{Component, HasSelf, InstancePre, Linker, ResourceTable};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Store,
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// As much as a store of the baseline holds.
pub(crate) struct State {
    table: ResourceTable,
    wasi: WasiCtx,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl types::Host for State {}

impl config::Host for State {
    async fn get(&mut self, _key: String) -> wasmtime::Result<Option<String>> {
        Ok(Some("\"Hello\"".to_owned()))
    }

    async fn get_all(&mut self) -> wasmtime::Result<String> {
        Ok("{}".to_owned())
    }
}

/// What compiled code does besides computing.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Code {
    /// Nothing.
    Plain,
    /// What a turn cannot do without: it counts fuel and its numbers are deterministic.
    Exact,
}

pub(crate) struct Bare {
    engine: Engine,
    linker: Linker<State>,
    code: Code,
}

/// A component ready to be instantiated.
pub(crate) struct Ready {
    pre: InstancePre<State>,
    chat: chat::GuestIndices,
}

impl Bare {
    pub(crate) fn new(code: Code) -> Result<Self> {
        let engine = Engine::new(&settings(code))?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        bindings::types::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        bindings::config::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        Ok(Self {
            engine,
            linker,
            code,
        })
    }

    pub(crate) fn compile(&self, wasm: &[u8], to: &Path) -> Result<()> {
        Ok(std::fs::write(to, self.engine.precompile_component(wasm)?)?)
    }

    pub(crate) fn load(&self, compiled: &Path) -> Result<Ready> {
        #[expect(unsafe_code, reason = "`compile` wrote the file a moment ago")]
        let component = unsafe { Component::deserialize_file(&self.engine, compiled)? };
        let pre = self.linker.instantiate_pre(&component)?;
        Ok(Ready {
            chat: chat::GuestIndices::new(&pre)?,
            pre,
        })
    }

    /// Store, instance, one call with a host call in it, drop.
    pub(crate) async fn turn(&self, ready: &Ready, message: &types::Message) -> Result<()> {
        let state = State {
            table: ResourceTable::new(),
            wasi: WasiCtx::builder().build(),
        };
        let mut store = Store::new(&self.engine, state);
        if self.code == Code::Exact {
            store.set_fuel(u64::MAX / 2)?;
            store.fuel_async_yield_interval(Some(500_000))?;
        }
        let instance = ready.pre.instantiate_async(&mut store).await?;
        let guest = ready.chat.load(&mut store, &instance)?;
        let reply = guest.call_respond(&mut store, message).await?;
        ensure!(reply.is_ok_and(|reply| reply.text.starts_with("Hello: ")));
        Ok(())
    }
}

fn settings(code: Code) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(100)
        .total_core_instances(400)
        .total_memories(100)
        .total_tables(300)
        .total_stacks(100)
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(16 << 10)
        .pagemap_scan(Enabled::Auto);
    let mut settings = Config::new();
    settings
        .cranelift_opt_level(OptLevel::Speed)
        .memory_init_cow(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    if code == Code::Exact {
        settings
            .consume_fuel(true)
            .cranelift_nan_canonicalization(true)
            .relaxed_simd_deterministic(true);
    }
    settings
}
