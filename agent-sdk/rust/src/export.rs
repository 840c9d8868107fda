//! The macros of an agent: [`export!`](crate::export) and [`manifest!`](crate::manifest).

/// Exports what an agent implements: any of `Chat`, `Subscriber`, `Web` and `Guardrail`.
///
/// ```ignore
/// anchorhold_agent::export!(Herald: Chat, Subscriber);
/// ```
///
/// Off wasm it only checks that the struct implements them, so that agents build and are tested
/// as ordinary crates.
#[macro_export]
macro_rules! export {
    ($agent:ident: $($interface:ident),+ $(,)?) => {
        $($crate::__export_one!($agent, $interface);)+
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_one {
    ($agent:ident, Chat) => {
        $crate::__assert_implements!($agent, Chat);
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::chat::export_chat!($agent with_types_in $crate::bindings::chat);
    };
    ($agent:ident, Subscriber) => {
        $crate::__assert_implements!($agent, Subscriber);
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::subscriber::export_subscriber!(
            $agent with_types_in $crate::bindings::subscriber
        );
    };
    ($agent:ident, Web) => {
        $crate::__assert_implements!($agent, Web);
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::web::export_web!($agent with_types_in $crate::bindings::web);
    };
    ($agent:ident, Guardrail) => {
        $crate::__assert_implements!($agent, Guardrail);
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::guardrail::export_guardrail!(
            $agent with_types_in $crate::bindings::guardrail
        );
    };
    ($agent:ident, $other:ident) => {
        compile_error!(concat!(
            "an agent exports Chat, Subscriber, Web or Guardrail, not ",
            stringify!($other)
        ));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __assert_implements {
    ($agent:ident, $interface:ident) => {
        const _: () = {
            const fn implements<T: $crate::$interface>() {}
            implements::<$agent>();
        };
    };
}

/// Puts the manifest into the component, as its custom section `anchorhold:manifest`, so that one
/// file is the whole agent. The path is relative to the folder of the crate's `Cargo.toml`.
///
/// ```ignore
/// anchorhold_agent::manifest!("notes.toml");
/// ```
///
/// It also defines `MANIFEST`, its text, for tests.
#[macro_export]
macro_rules! manifest {
    ($path:literal) => {
        /// The text of the manifest.
        #[allow(dead_code, reason = "tests read it, the component does not")]
        const MANIFEST: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path));

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            #[allow(unsafe_code, reason = "a custom section is data that no code reads")]
            #[unsafe(link_section = "anchorhold:manifest")]
            #[used]
            static SECTION: [u8; MANIFEST.len()] =
                *include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path));
        };
    };
}
