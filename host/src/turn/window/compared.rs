//! What capabilities tell the window of a turn that is compared.

use serde::Serialize;

use super::{Call, Window};
use crate::codec;
use crate::turn::journal::shown;

impl Window {
    /// Says whether the next call is about a generation that is being made: a
    /// comparison has no record of that.
    pub fn asks_of(&mut self, is_being_made: bool) {
        self.is_fresh = is_being_made && self.journal.comparison.is_some();
    }

    /// Notes what a call needed that a comparison answered from the record, for
    /// a capability that asks for its grants itself.
    pub fn needed<A: Serialize>(&mut self, call: &Call<'_, A>) {
        if let Some(comparison) = &mut self.journal.comparison
            && let Err(refusal) = self.agent.check(call.grant)
        {
            let args = codec::encode(call.args).unwrap_or_default();
            let call = shown(call.kind, &args);
            comparison.ungranted.push((call, refusal));
        }
    }
}
