//! A gate: what is prepared behind it goes on once what must come first has
//! happened, wherever that happens.

use std::sync::Arc;

use tokio::sync::SetOnce;

/// Closed at first; its clones are the same gate.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<SetOnce<()>>);

impl Gate {
    /// One that is open.
    pub fn opened() -> Self {
        let gate = Self::default();
        gate.open();
        gate
    }

    /// Lets everybody through, from now on.
    pub fn open(&self) {
        // It may be open already.
        let _ = self.0.set(());
    }

    /// Waits until it is open.
    pub async fn passed(&self) {
        self.0.wait().await;
    }
}

impl PartialEq for Gate {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Gate {}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn it_is_closed_until_it_is_opened() {
        let gate = Gate::default();
        let clone = gate.clone();
        assert!(clone.passed().now_or_never().is_none());
        gate.open();
        gate.open();
        assert!(clone.passed().now_or_never().is_some());
        assert!(Gate::opened().passed().now_or_never().is_some());
    }
}
