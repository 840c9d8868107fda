//! What an agent receives: a pattern of topics, and perhaps a filter. Written
//! `"order.*"` or `{ topic = "order.*", filter = "data.total > 10" }`.

use std::fmt;

use anyhow::Result;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::events::{check_filter, check_pattern};

/// One entry of `[triggers] topics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// `*` is one word, `**` the rest.
    pub topic: String,
    /// An expression over the event; without one all come.
    pub filter: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    topic: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filter: Option<String>,
}

impl Subscription {
    pub(super) fn check(&self) -> Result<()> {
        check_pattern(&self.topic)?;
        self.filter.as_deref().map_or(Ok(()), check_filter)
    }
}

/// As its author wrote it, so that manifests stored before are the same.
impl Serialize for Subscription {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.filter.is_none() {
            return self.topic.serialize(serializer);
        }
        let (topic, filter) = (self.topic.clone(), self.filter.clone());
        Table { topic, filter }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Subscription {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either)
    }
}

struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = Subscription;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a topic, or a table with topic and filter")
    }

    fn visit_str<E: Error>(self, topic: &str) -> Result<Subscription, E> {
        Ok(Subscription {
            topic: topic.to_owned(),
            filter: None,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Subscription, A::Error> {
        let Table { topic, filter } = Table::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Subscription { topic, filter })
    }
}
