//! What may be published: one check for agents and for the API.

use serde::de::IgnoredAny;
use uuid::Uuid;

use super::check_topic;
use super::standard::reserved;
use crate::clock::now_ms;
use crate::runtime::bindings::events::Publication;
use crate::store::NewEvent;

/// The most data of an event, in bytes.
const MAX_DATA_BYTES: usize = 256 << 10;

/// The longest ordering key and the longest correlation, in bytes.
const MAX_KEY_BYTES: usize = 200;

pub(super) const DEFAULT_PRIORITY: u8 = 5;

/// Why something cannot be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unpublishable {
    #[error("{0}")]
    Invalid(String),
    #[error("the data of an event is at most {MAX_DATA_BYTES} bytes")]
    TooLarge,
    #[error(
        "{publisher} has published {limit} events within a minute, which [events] per_source_per_minute allows; try again in {retry_after_ms} ms"
    )]
    TooMany {
        publisher: String,
        limit: u32,
        retry_after_ms: u64,
    },
    #[error(
        "{max_hops} events led to one another up to this one, which [events] max_hops allows; do two agents answer each other's events?"
    )]
    TooFar { max_hops: u32 },
}

/// The event that `source` publishes, which no other led to.
///
/// # Errors
///
/// If the topic, the data, a key or the priority is not as the contract says,
/// or the topic is kept for the host.
pub fn new_event(
    tenant: &str,
    source: String,
    publication: &Publication,
) -> Result<NewEvent, Unpublishable> {
    check_topic(&publication.topic).map_err(|error| Unpublishable::Invalid(error.to_string()))?;
    check_free(&publication.topic)?;
    check_data(&publication.data_json)?;
    check_key("an ordering key", publication.ordering_key.as_deref())?;
    check_key("a correlation", publication.correlation.as_deref())?;
    let due_at = publication.deliver_at_ms.map_or_else(now_ms, millis);
    Ok(NewEvent {
        tenant: tenant.to_owned(),
        id: Uuid::now_v7().to_string(),
        topic: publication.topic.clone(),
        source,
        data: publication.data_json.clone(),
        ordering_key: publication.ordering_key.clone(),
        correlation: publication.correlation.clone(),
        priority: checked_priority(publication.priority)?,
        hops: 0,
        due_at,
        expires_at: publication
            .ttl_ms
            .map(|ttl| due_at.saturating_add(millis(ttl))),
    })
}

fn check_free(topic: &str) -> Result<(), Unpublishable> {
    reserved(topic).map_or(Ok(()), |word| {
        Err(Unpublishable::Invalid(format!(
            "only the host publishes topics that begin with {word}; begin {topic:?} with another word"
        )))
    })
}

fn check_data(json: &str) -> Result<(), Unpublishable> {
    if json.len() > MAX_DATA_BYTES {
        return Err(Unpublishable::TooLarge);
    }
    serde_json::from_str::<IgnoredAny>(json)
        .map(|_| ())
        .map_err(|error| Unpublishable::Invalid(format!("data-json is not JSON: {error}")))
}

fn check_key(name: &str, key: Option<&str>) -> Result<(), Unpublishable> {
    if key.is_none_or(|key| key.len() <= MAX_KEY_BYTES) {
        return Ok(());
    }
    Err(Unpublishable::Invalid(format!(
        "{name} is at most {MAX_KEY_BYTES} bytes"
    )))
}

fn checked_priority(priority: Option<u8>) -> Result<u8, Unpublishable> {
    let priority = priority.unwrap_or(DEFAULT_PRIORITY);
    if (1..=10).contains(&priority) {
        return Ok(priority);
    }
    Err(Unpublishable::Invalid(
        "a priority is 1 (first) to 10 (last)".to_owned(),
    ))
}

fn millis(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(topic: &str, data_json: &str) -> Publication {
        Publication {
            topic: topic.to_owned(),
            data_json: data_json.to_owned(),
            ordering_key: None,
            correlation: None,
            priority: None,
            deliver_at_ms: None,
            ttl_ms: None,
        }
    }

    fn refusal(publication: &Publication) -> Unpublishable {
        new_event("default", "api:test".to_owned(), publication).unwrap_err()
    }

    #[test]
    fn times_count_from_when_it_is_due() {
        let later = Publication {
            deliver_at_ms: Some(1_000),
            ttl_ms: Some(u64::MAX),
            ..publication("a.b", "1")
        };
        let event = new_event("default", "api:test".to_owned(), &later).unwrap();
        assert_eq!((event.due_at, event.expires_at), (1_000, Some(i64::MAX)));
        assert_eq!((event.priority, event.source.as_str()), (5, "api:test"));
    }

    #[test]
    fn what_the_contract_does_not_allow_is_refused() {
        let topic = refusal(&publication("A b", "1")).to_string();
        assert!(topic.contains("is not a topic"), "{topic}");
        for topic in [
            "system.started",
            "agent.x",
            "workflow",
            "improvement.a",
            "user.message",
        ] {
            let refused = refusal(&publication(topic, "1")).to_string();
            assert!(refused.contains("only the host"), "{refused}");
        }
        assert!(new_event("default", "x".to_owned(), &publication("agents.x", "1")).is_ok());
        let data = refusal(&publication("a.b", "{")).to_string();
        assert!(data.contains("not JSON"), "{data}");
        let large = format!("\"{}\"", "x".repeat(MAX_DATA_BYTES));
        assert_eq!(
            refusal(&publication("a.b", &large)),
            Unpublishable::TooLarge
        );
        let (longest, longer) = ("é".repeat(100), "x".repeat(MAX_KEY_BYTES + 1));
        let keyed = |ordering_key: &str, correlation: &str| Publication {
            ordering_key: Some(ordering_key.to_owned()),
            correlation: Some(correlation.to_owned()),
            ..publication("a.b", "1")
        };
        assert!(new_event("default", "x".to_owned(), &keyed(&longest, &longest)).is_ok());
        let key = refusal(&keyed(&longer, "c")).to_string();
        assert_eq!(key, "an ordering key is at most 200 bytes");
        let correlation = refusal(&keyed("k", &longer)).to_string();
        assert_eq!(correlation, "a correlation is at most 200 bytes");
        let last = Publication {
            priority: Some(11),
            ..publication("a.b", "1")
        };
        let priority = refusal(&last).to_string();
        assert!(priority.contains("1 (first)"), "{priority}");
    }
}
