//! The bindings generated from the contract (`wit/`): the imports once, and one
//! small module for each interface an agent may export, which refers to the
//! types of the imports. An agent links the type information of an export only
//! when it exports it, so they can be combined freely.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "generated code"
)]

pub mod imports {
    wit_bindgen::generate!({
        world: "imports",
        path: "../../wit",
        additional_derives: [PartialEq],
        generate_unused_types: true,
    });
}

macro_rules! exports {
    ($module:ident, $world:literal, $macro:literal, $path:literal) => {
        pub mod $module {
            wit_bindgen::generate!({
                world: $world,
                path: "../../wit",
                with: {
                    "anchorhold:agent/types@0.1.0": crate::bindings::imports::anchorhold::agent::types,
                    "anchorhold:agent/llm@0.1.0": crate::bindings::imports::anchorhold::agent::llm,
                    "anchorhold:agent/database@0.1.0": crate::bindings::imports::anchorhold::agent::database,
                    "anchorhold:agent/state@0.1.0": crate::bindings::imports::anchorhold::agent::state,
                    "anchorhold:agent/events@0.1.0": crate::bindings::imports::anchorhold::agent::events,
                    "anchorhold:agent/reply@0.1.0": crate::bindings::imports::anchorhold::agent::reply,
                    "anchorhold:agent/agents@0.1.0": crate::bindings::imports::anchorhold::agent::agents,
                    "anchorhold:agent/tools@0.1.0": crate::bindings::imports::anchorhold::agent::tools,
                    "anchorhold:agent/http@0.1.0": crate::bindings::imports::anchorhold::agent::http,
                    "anchorhold:agent/config@0.1.0": crate::bindings::imports::anchorhold::agent::config,
                    "anchorhold:agent/log@0.1.0": crate::bindings::imports::anchorhold::agent::log,
                },
                additional_derives: [PartialEq],
                pub_export_macro: true,
                export_macro_name: $macro,
                default_bindings_module: $path,
            });
        }
    };
}

exports!(
    chat,
    "agent",
    "export_chat",
    "anchorhold_agent::bindings::chat"
);
exports!(
    subscriber,
    "listener",
    "export_subscriber",
    "anchorhold_agent::bindings::subscriber"
);
exports!(web, "site", "export_web", "anchorhold_agent::bindings::web");
exports!(
    guardrail,
    "guard",
    "export_guardrail",
    "anchorhold_agent::bindings::guardrail"
);
