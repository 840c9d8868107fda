//! A budget that has not enough left, in words.

use jiff::Timestamp;
use serde::Serialize;

use super::Span;

/// What a budget limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// Calls of models.
    Requests,
    /// Tokens in and out.
    Tokens,
    /// Millionths of a dollar.
    Cost,
}

/// Why a call was not begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exceeded {
    /// Whose budget: `all`, `agent:notes`, `turn`.
    pub scope: String,
    /// None for the limits of one turn.
    pub window: Option<Span>,
    pub resource: Resource,
    pub limit: i64,
    pub used: i64,
    /// What other calls under way may still take.
    pub reserved: i64,
    /// The most that this call can take.
    pub needed: i64,
    /// Whether the price of the model is known.
    #[serde(skip)]
    pub is_priced: bool,
    /// Milliseconds since 1970; none if it never does.
    pub resets_at: Option<i64>,
}

impl Exceeded {
    /// When to try again, milliseconds from `now`: a moment, if calls under way
    /// hold what is missing.
    pub fn retry_after_ms(&self, now: i64) -> Option<u64> {
        if self.used.saturating_add(self.needed) <= self.limit {
            return Some(A_MOMENT);
        }
        let fits = self.needed <= self.limit;
        let wait = self.resets_at.filter(|_| fits)?.saturating_sub(now);
        Some(u64::try_from(wait).unwrap_or(A_MOMENT))
    }

    /// One or two sentences for people.
    pub fn message(&self) -> String {
        let show = |amount: i64| self.resource.show(amount);
        let whose = match (self.scope.as_str(), self.window) {
            ("replay", None) => "What is left for model calls of this replay".to_owned(),
            (_, None) => "What one turn may take".to_owned(),
            ("all", Some(window)) => format!("The budget of everyone for {}", of(window)),
            (scope, Some(window)) => format!("The budget of {scope} for {}", of(window)),
        };
        let under_way = match self.reserved {
            0 => String::new(),
            reserved => format!(", {} may go to calls under way", show(reserved)),
        };
        let mut message = format!(
            "{whose} is not enough: {} of {} are used{under_way}, and this call may take {}.",
            show(self.used),
            show(self.limit),
            show(self.needed)
        );
        if let Some(time) = self
            .resets_at
            .and_then(|at| Timestamp::from_millisecond(at).ok())
        {
            message.push_str(&format!(" It begins again at {time}."));
        }
        if self.resource == Resource::Cost && !self.is_priced {
            message.push_str(" The price of this model is not known, so the worst is assumed; the operator can set it ([llm] prices).");
        }
        message
    }
}

/// In milliseconds.
const A_MOMENT: u64 = 1_000;

fn of(window: Span) -> &'static str {
    match window {
        Span::Minute => "this minute",
        Span::Hour => "this hour",
        Span::Day => "today",
        Span::Month => "this month",
        Span::Total => "all time",
    }
}

impl Resource {
    fn show(self, amount: i64) -> String {
        match self {
            Self::Requests => format!("{amount} model calls"),
            Self::Tokens => format!("{amount} tokens"),
            Self::Cost => dollars(amount.unsigned_abs()),
        }
    }
}

/// Rounded up to a hundredth of a cent, so that something is never nothing.
fn dollars(micros: u64) -> String {
    let hundredths = micros.div_ceil(100);
    format!("${}.{:04}", hundredths / 10_000, hundredths % 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exceeded() -> Exceeded {
        Exceeded {
            scope: "all".to_owned(),
            window: Some(Span::Hour),
            resource: Resource::Cost,
            limit: 2_000_000,
            used: 1_950_000,
            reserved: 0,
            needed: 61_441,
            is_priced: true,
            resets_at: Some(1_795_402_800_000),
        }
    }

    #[test]
    fn people_are_told_which_how_much_and_when() {
        assert_eq!(
            exceeded().message(),
            "The budget of everyone for this hour is not enough: $1.9500 of $2.0000 are used, and this call may take $0.0615. It begins again at 2026-11-23T03:00:00Z."
        );
        let of_turn = Exceeded {
            window: None,
            scope: "turn".to_owned(),
            resource: Resource::Tokens,
            limit: 100,
            used: 90,
            reserved: 5,
            needed: 20,
            is_priced: false,
            resets_at: None,
        };
        assert_eq!(
            of_turn.message(),
            "What one turn may take is not enough: 90 tokens of 100 tokens are used, 5 tokens may go to calls under way, and this call may take 20 tokens."
        );
    }

    #[test]
    fn waiting_is_said_to_help_only_where_it_does() {
        let now = 1_795_402_790_000;
        assert_eq!(exceeded().retry_after_ms(now), Some(10_000));
        let crowded = Exceeded {
            used: 0,
            reserved: 1_999_000,
            ..exceeded()
        };
        assert_eq!(crowded.retry_after_ms(now), Some(1_000));
        let never = Exceeded {
            needed: 3_000_000,
            ..exceeded()
        };
        assert_eq!(never.retry_after_ms(now), None);
    }
}
