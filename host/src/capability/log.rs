//! `log`: lines for the operator.

use wasmtime::component::HasData;

use crate::runtime::HostState;
use crate::runtime::bindings::log;
use crate::turn::Window;

pub(super) struct Log<'a> {
    window: &'a mut Window,
}

pub(super) struct HasLog;

impl HasData for HasLog {
    type Data<'a> = Log<'a>;
}

impl<'a> Log<'a> {
    pub(super) fn of(state: &'a mut HostState) -> Self {
        Self {
            window: &mut state.window,
        }
    }
}

impl log::Host for Log<'_> {
    async fn write(
        &mut self,
        level: log::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        self.window.enter()?;
        let fields: serde_json::Map<String, serde_json::Value> = fields
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect();
        self.window
            .log(name(level), &message, &serde_json::to_string(&fields)?);
        Ok(())
    }
}

fn name(level: log::Level) -> &'static str {
    match level {
        log::Level::Debug => "debug",
        log::Level::Info => "info",
        log::Level::Warn => "warn",
        log::Level::Error => "error",
    }
}
