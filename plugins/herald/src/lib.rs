//! Receives events, keeps the latest, says them on as `herald.told`, and tells people who ask what
//! happened lately.

use anchorhold_agent::serde_json::{Value, json};
use anchorhold_agent::state::{self, Scope};
use anchorhold_agent::{Chat, Event, Message, Reply, Result, Subscriber, config, events};
use serde::{Deserialize, Serialize};

anchorhold_agent::manifest!("herald.toml");
anchorhold_agent::export!(Herald: Chat, Subscriber);

struct Herald;

/// The key of the latest events in the state of the agent.
const LATEST: &str = "latest";

/// What the herald says itself: it must not listen to that.
const TOLD: &str = "herald.told";

#[derive(Clone, Deserialize, Serialize)]
struct News {
    id: String,
    topic: String,
    text: String,
    at_ms: u64,
}

impl Subscriber for Herald {
    fn receive(event: Event) -> Result<()> {
        if event.topic == TOLD || latest()?.iter().any(|known| known.id == event.id) {
            return Ok(());
        }
        let news = News::of(event)?;
        events::publish(
            TOLD,
            &json!({"text": format!("{}: {}", news.topic, news.text)}),
        )?;
        remember(&news)
    }
}

impl Chat for Herald {
    fn respond(message: Message) -> Result<Reply> {
        let latest = latest()?;
        if latest.is_empty() {
            return Ok("Nothing has happened yet.".into());
        }
        let line = |news: &News| {
            let ago = ago(message.at_ms.saturating_sub(news.at_ms));
            format!("- {ago}, {}: {}", news.topic, news.text)
        };
        let lines: Vec<_> = latest.iter().rev().map(line).collect();
        Ok(format!("This happened lately:\n{}", lines.join("\n")).into())
    }
}

impl News {
    fn of(event: Event) -> Result<Self> {
        let text = in_words(&event.data()?);
        Ok(Self {
            id: event.id,
            topic: event.topic,
            text,
            at_ms: event.at_ms,
        })
    }
}

/// The field `text` of the data, or else the data itself, shortened.
fn in_words(data: &Value) -> String {
    const MOST: usize = 200;
    let text = data["text"]
        .as_str()
        .map_or_else(|| data.to_string(), String::from);
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn latest() -> Result<Vec<News>> {
    Ok(state::get(Scope::Agent, LATEST)?.unwrap_or_default())
}

/// Several events may arrive at once: `update` makes sure that none is lost.
fn remember(news: &News) -> Result<()> {
    let keep = config::get_or("keep", 20_usize)?;
    state::update(Scope::Agent, LATEST, |latest: &mut Vec<News>| {
        latest.push(news.clone());
        latest.drain(..latest.len().saturating_sub(keep));
    })?;
    Ok(())
}

fn ago(ms: u64) -> String {
    match ms / 60_000 {
        0 => "just now".into(),
        minutes @ 1..60 => format!("{minutes} min ago"),
        minutes @ 60..1_440 => format!("{} h ago", minutes / 60),
        minutes => format!("{} days ago", minutes / 1_440),
    }
}

#[cfg(test)]
mod tests {
    use anchorhold_agent::testing::{self, Host};

    use super::*;

    fn event(id: &str, topic: &str, data: &Value) -> Event {
        Event {
            id: id.into(),
            ..testing::event(topic, data)
        }
    }

    fn ask() -> String {
        let message = Message {
            at_ms: 1_000 + 5 * 60_000,
            ..testing::message("what's new?")
        };
        Herald::respond(message).unwrap().text
    }

    #[test]
    fn tells_what_happened_the_latest_first() {
        let host = Host::new();
        assert_eq!(ask(), "Nothing has happened yet.");
        Herald::receive(event("1", "note.added", &json!({"text": "buy tea"}))).unwrap();
        Herald::receive(event("2", "herald.say", &json!(7))).unwrap();
        let lines = "- 5 min ago, herald.say: 7\n- 5 min ago, note.added: buy tea";
        assert_eq!(ask(), format!("This happened lately:\n{lines}"));
        assert_eq!(
            host.published()[0].data_json,
            r#"{"text":"note.added: buy tea"}"#
        );
    }

    #[test]
    fn an_event_that_comes_twice_is_told_once() {
        let host = Host::new();
        Herald::receive(event("1", "note.added", &json!({"text": "tea"}))).unwrap();
        Herald::receive(event("1", "note.added", &json!({"text": "tea"}))).unwrap();
        assert_eq!(host.published().len(), 1);
    }

    #[test]
    fn does_not_listen_to_itself() {
        let host = Host::new();
        Herald::receive(event("1", TOLD, &json!({"text": "tea"}))).unwrap();
        assert!(host.published().is_empty());
    }

    #[test]
    fn keeps_as_many_as_configured() {
        let _host = Host::new().config("keep", 2);
        for id in ["1", "2", "3"] {
            Herald::receive(event(id, "note.added", &json!({"text": id}))).unwrap();
        }
        let kept: Vec<_> = latest().unwrap().into_iter().map(|news| news.id).collect();
        assert_eq!(kept, ["2", "3"]);
    }

    #[test]
    fn long_data_is_shortened_between_characters() {
        let words = in_words(&json!({"text": "ä".repeat(300)}));
        assert_eq!(words.chars().count(), 201);
    }
}
