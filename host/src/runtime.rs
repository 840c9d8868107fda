//! Running components: engine, compiled code, instances, limits.

pub mod bindings;
