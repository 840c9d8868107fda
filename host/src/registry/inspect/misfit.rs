//! Why a component cannot be used, each reason a sentence with its next step.

use super::CONTRACT;

/// Why a component cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    #[error("the file is empty; copy it again")]
    Empty,
    #[error(
        "the file is cut short; copy it again, best under another name and then rename it to its own"
    )]
    Truncated,
    #[error(
        "the file is larger than {max_bytes} bytes; build it optimised and stripped, or raise [registry] max_component_bytes"
    )]
    TooLarge { max_bytes: u64 },
    #[error(
        "this is text, not a component; compile it first (text in WebAssembly's own format: wasm-tools parse)"
    )]
    Text,
    #[error("this is not WebAssembly; build a component, for Rust with --target wasm32-wasip2")]
    NotWasm,
    #[error(
        "this is a core module, not a component; build for wasm32-wasip2, or turn it into one with wasm-tools component new"
    )]
    CoreModule,
    #[error(
        "this is WebAssembly in a format that this host does not know; build it with current tools"
    )]
    UnknownFormat,
    #[error("the component is not valid: {0}; build it again with current tools")]
    Invalid(String),
    #[error(
        "it was built for version {found} of the contract anchorhold:agent and this host speaks {CONTRACT}; build it again against the contract of this host"
    )]
    WrongContract { found: String },
    #[error(
        "it exports none of anchorhold:agent/chat, subscriber, web and guardrail; export at least one in version {CONTRACT}"
    )]
    NoExport,
    #[error(
        "it imports {0}, which version {CONTRACT} of the contract does not have; build it again against the contract of this host"
    )]
    UnknownInterface(String),
    #[error(
        "it imports {0}, and agents reach the network only by the http capability; use anchorhold:agent/http instead"
    )]
    Network(String),
    #[error("it imports {0}, and this host lends WASI 0.2; build it for wasm32-wasip2")]
    WrongWasi(String),
    #[error(
        "it imports {0}, which this host does not lend; only anchorhold:agent and WASI 0.2's cli, clocks, filesystem, io and random are there"
    )]
    ForeignImport(String),
    #[error("its manifest cannot be used: {0}")]
    Manifest(String),
}
