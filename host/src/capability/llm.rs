//! Language models.

/// An answer that is being made, as the guest holds it.
pub struct GenerationHandle;
