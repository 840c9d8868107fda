//! The event bus: topics and filters, what may be published, delivery to the
//! agents that subscribe.

mod bus;
mod delivery;
mod filter;
mod publication;
mod rate;
mod schedule;
mod standard;
mod timetable;

use anyhow::{Result, bail};

pub use bus::Bus;
pub use delivery::{CHANNEL, Dispatcher};
pub use filter::{Facts, check_filter};
pub use publication::{Unpublishable, new_event};
pub use schedule::{MAX_OF_AGENT, Schedules, new_schedule, too_many};
pub use standard::{
    agent_broken, agent_registered, agent_removed, agent_updated, budget_used, dead_letter,
    of_host, user_answered, user_denied, user_feedback,
};

/// The longest topic, in bytes.
const MAX_TOPIC_BYTES: usize = 200;

/// Checks a topic: words of `a-z`, `0-9`, `-` and `_`, joined by dots.
///
/// # Errors
///
/// If it is anything else.
pub fn check_topic(topic: &str) -> Result<()> {
    if topic.len() > MAX_TOPIC_BYTES || !topic.split('.').all(is_word) {
        bail!(
            "{topic:?} is not a topic: words of a-z, 0-9, - and _, joined by dots, at most {MAX_TOPIC_BYTES} bytes"
        );
    }
    Ok(())
}

/// Checks a pattern: a topic whose words may be `*`, and whose last may be `**`.
///
/// # Errors
///
/// If it is anything else.
pub fn check_pattern(pattern: &str) -> Result<()> {
    let words: Vec<&str> = pattern.split('.').collect();
    let fits = |(index, word): (usize, &&str)| {
        is_word(word) || *word == "*" || (*word == "**" && index + 1 == words.len())
    };
    if pattern.len() > MAX_TOPIC_BYTES || !words.iter().enumerate().all(fits) {
        bail!(
            "{pattern:?} is not a topic pattern: a topic in which * stands for a word and ** at the end for the rest"
        );
    }
    Ok(())
}

/// Whether `pattern` covers `topic`: `*` is exactly one word, `**` one or more.
pub fn topic_matches(pattern: &str, topic: &str) -> bool {
    let mut words = topic.split('.');
    for expected in pattern.split('.') {
        match (expected, words.next()) {
            ("**", Some(_)) => return true,
            ("*", Some(_)) => {}
            (expected, Some(word)) if expected == word => {}
            _ => return false,
        }
    }
    words.next().is_none()
}

fn is_word(word: &str) -> bool {
    !word.is_empty()
        && word
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_topics() {
        for (pattern, topic, expected) in [
            ("note.added", "note.added", true),
            ("note.added", "note.added.twice", false),
            ("note.*", "note.added", true),
            ("note.*", "note", false),
            ("note.*", "note.added.twice", false),
            ("note.**", "note.added.twice", true),
            ("note.**", "note", false),
            ("*.added", "note.added", true),
            ("**", "anything.at.all", true),
        ] {
            assert_eq!(topic_matches(pattern, topic), expected, "{pattern} {topic}");
        }
    }

    #[test]
    fn topics_and_patterns_are_checked() {
        assert!(check_topic("note.added-2_x").is_ok());
        for bad in ["", "Note", "a..b", "a.", "a b", "a.*"] {
            assert!(check_topic(bad).is_err(), "{bad}");
        }
        for bad in ["", "**.a", "a.**.b", "a.b*"] {
            assert!(check_pattern(bad).is_err(), "{bad}");
        }
        assert!(check_pattern("a.*.b.**").is_ok());
    }
}
