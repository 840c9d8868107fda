//! `config`: the agent's configuration. It is pinned with the turn, so nothing
//! is recorded.

use wasmtime::component::HasData;

use crate::runtime::HostState;
use crate::runtime::bindings::config;
use crate::turn::Window;

pub(super) struct Config<'a> {
    window: &'a mut Window,
}

pub(super) struct HasConfig;

impl HasData for HasConfig {
    type Data<'a> = Config<'a>;
}

impl<'a> Config<'a> {
    pub(super) fn of(state: &'a mut HostState) -> Self {
        Self {
            window: &mut state.window,
        }
    }
}

impl config::Host for Config<'_> {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        self.window.enter()?;
        Ok(self
            .window
            .agent()
            .config
            .get(&key)
            .map(ToString::to_string))
    }

    async fn get_all(&mut self) -> wasmtime::Result<String> {
        self.window.enter()?;
        Ok(serde_json::to_string(&self.window.agent().config)?)
    }
}
