//! WASI for guests: no files, no sockets, no environment; time, randomness and
//! waiting under the host's control, so that a turn can be run again exactly.
//!
//! Guest time is the recorded completion time of the last host call plus one
//! microsecond for each read. Randomness comes from the turn's seed. Polling is
//! ours: a timer that is waited for is a host call like any other.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use tokio::io::AsyncWrite;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream, WasiCli, WasiCliView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::{cli, filesystem, io, random};
use wasmtime_wasi::p2::{
    DynPollable, OutputStream, Pollable, StreamError, StreamResult, subscribe,
};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::{WasiCtx, WasiView};

use super::instance::HostState;
use crate::turn::{TICK_NS, Window};

/// The most random bytes of one call.
const MAX_RANDOM_BYTES: u64 = 64 << 10;

/// Links the interfaces that guests may import.
pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let l = linker;
    io::error::add_to_linker::<_, HasTable>(l, |state| &mut state.table)?;
    io::streams::add_to_linker::<_, HasTable>(l, |state| &mut state.table)?;
    io::poll::add_to_linker::<_, HasTime>(l, HostState::time)?;
    monotonic_clock::add_to_linker::<_, HasTime>(l, HostState::time)?;
    wall_clock::add_to_linker::<_, HasTime>(l, HostState::time)?;
    random::random::add_to_linker::<_, WasiRandom>(l, |state| state.wasi.random())?;
    random::insecure::add_to_linker::<_, WasiRandom>(l, |state| state.wasi.random())?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(l, |state| state.wasi.random())?;
    cli::environment::add_to_linker::<_, WasiCli>(l, HostState::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(l, HostState::cli)?;
    cli::stdin::add_to_linker::<_, WasiCli>(l, HostState::cli)?;
    cli::stdout::add_to_linker::<_, WasiCli>(l, HostState::cli)?;
    cli::stderr::add_to_linker::<_, WasiCli>(l, HostState::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(l, HostState::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(l, HostState::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, HostState::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, HostState::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, HostState::cli)?;
    // There are no preopened folders, so nothing can be opened; the interfaces
    // are there because some languages import them always.
    filesystem::types::add_to_linker::<_, WasiFilesystem>(l, HostState::filesystem)?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(l, HostState::filesystem)?;
    Ok(())
}

/// What a turn's guest gets of WASI.
pub(super) fn context(seed: [u8; 32], stdio: &Stdio) -> WasiCtx {
    let mut insecure_seed = [0; 16];
    insecure_seed.copy_from_slice(&seed[..16]);
    WasiCtx::builder()
        .secure_random(ChaCha20Rng::from_seed(seed))
        .insecure_random(ChaCha20Rng::from_seed(seed))
        .insecure_random_seed(u128::from_le_bytes(insecure_seed))
        .max_random_size(MAX_RANDOM_BYTES)
        .stdout(stdio.stdout.clone())
        .stderr(stdio.stderr.clone())
        .allow_tcp(false)
        .allow_udp(false)
        .build()
}

impl WasiView for HostState {
    fn ctx(&mut self) -> wasmtime_wasi::WasiCtxView<'_> {
        wasmtime_wasi::WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

/// Clocks and polling, which need the window and the resources.
pub(super) struct Time<'a> {
    pub(super) window: &'a mut Window,
    pub(super) table: &'a mut ResourceTable,
    pub(super) timers: &'a mut Timers,
}

struct HasTime;

impl HasData for HasTime {
    type Data<'a> = Time<'a>;
}

/// Deadlines of the guest's timers, in its monotonic nanoseconds, by the handle
/// of their pollable. Every other pollable is always ready.
pub(super) type Timers = std::collections::HashMap<u32, u64>;

/// What a timer's pollable points at.
struct Timer;

#[wasmtime_wasi::async_trait]
impl Pollable for Timer {
    async fn ready(&mut self) {}
}

impl Time<'_> {
    fn timer(&mut self, due: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let timer = self.table.push(Timer)?;
        let pollable = subscribe(self.table, timer)?;
        self.timers.insert(pollable.rep(), due);
        Ok(pollable)
    }

    fn due(&self, pollable: &Resource<DynPollable>) -> u64 {
        self.timers.get(&pollable.rep()).copied().unwrap_or(0)
    }

    /// Waits until `due`, unless that has passed.
    async fn wait(&mut self, due: u64) -> wasmtime::Result<()> {
        let now = self.window.clock().monotonic();
        if due > now {
            self.window.sleep(Duration::from_nanos(due - now)).await?;
            // Timers count from reads of this clock, which runs a little
            // behind; the guest must not see a timer that rang too early.
            self.window.clock().advance_monotonic(due);
        }
        Ok(())
    }
}

impl monotonic_clock::Host for Time<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.window.clock().monotonic())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(TICK_NS)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.timer(when)
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let now = self.window.clock().monotonic();
        self.timer(now.saturating_add(duration))
    }
}

impl wall_clock::Host for Time<'_> {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let now = Duration::from_nanos(self.window.clock().read());
        Ok(wall_clock::Datetime {
            seconds: now.as_secs(),
            nanoseconds: now.subsec_nanos(),
        })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime {
            seconds: 0,
            nanoseconds: TICK_NS as u32,
        })
    }
}

impl io::poll::Host for Time<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        let dues: Vec<u64> = pollables
            .iter()
            .map(|pollable| self.due(pollable))
            .collect();
        let Some(earliest) = dues.iter().copied().min() else {
            return Err(wasmtime::format_err!("poll with nothing to wait for"));
        };
        self.wait(earliest).await?;
        let now = self.window.clock().monotonic();
        Ok((0u32..)
            .zip(dues)
            .filter(|(_, due)| *due <= now)
            .map(|(index, _)| index)
            .collect())
    }
}

impl io::poll::HostPollable for Time<'_> {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        Ok(self.due(&pollable) <= self.window.clock().monotonic())
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        let due = self.due(&pollable);
        self.wait(due).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.timers.remove(&pollable.rep());
        io::poll::HostPollable::drop(self.table, pollable)
    }
}

/// Standard output and error of a guest, on their way to its log.
#[derive(Clone)]
pub(super) struct Stdio {
    pub(super) stdout: Capture,
    pub(super) stderr: Capture,
}

impl Stdio {
    pub(super) fn new(max_bytes: u64) -> Self {
        let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        Self {
            stdout: Capture::new(max_bytes),
            stderr: Capture::new(max_bytes),
        }
    }
}

/// Keeps what is written, up to a bound, and counts the rest.
#[derive(Clone)]
pub(super) struct Capture {
    written: Arc<Mutex<Vec<u8>>>,
    max_bytes: usize,
}

impl Capture {
    fn new(max_bytes: usize) -> Self {
        Self {
            written: Arc::default(),
            max_bytes,
        }
    }

    fn write(&self, bytes: &[u8]) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let room = self.max_bytes.saturating_sub(written.len());
        written.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// The lines so far; they are taken out.
    pub(super) fn lines(&self) -> Vec<String> {
        let written =
            std::mem::take(&mut *self.written.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8_lossy(&written)
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

impl IsTerminal for Capture {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Capture {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Capture {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        Capture::write(self, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(64 << 10)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Capture {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Capture {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Capture::write(&self, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
