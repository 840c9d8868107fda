//! Server-sent events, read as the HTML standard says, as far as a host uses
//! them: `id`, `event`, `data`, comments.

use std::collections::VecDeque;

use anyhow::{Context, Result};
use reqwest::Response;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) data: String,
}

/// The events of a response, as they come.
pub(super) struct Events {
    response: Response,
    parser: Parser,
    ready: VecDeque<Event>,
}

impl Events {
    pub(super) fn new(response: Response) -> Self {
        Self {
            response,
            parser: Parser::default(),
            ready: VecDeque::new(),
        }
    }

    /// The next event; none at the end of the response.
    pub(super) async fn next(&mut self) -> Result<Option<Event>> {
        while self.ready.is_empty() {
            let chunk = self
                .response
                .chunk()
                .await
                .context("the connection broke")?;
            match chunk {
                Some(chunk) => self.ready.extend(self.parser.feed(&chunk)),
                None => return Ok(None),
            }
        }
        Ok(self.ready.pop_front())
    }
}

#[derive(Default)]
struct Parser {
    /// The bytes of a line that has not ended.
    line: Vec<u8>,
    after_cr: bool,
    event: Event,
    has_data: bool,
}

impl Parser {
    fn feed(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for &byte in bytes {
            let second_half = self.after_cr && byte == b'\n';
            self.after_cr = byte == b'\r';
            match byte {
                _ if second_half => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                byte => self.line.push(byte),
            }
        }
        events
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return self.end_event();
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.event.id = value.to_owned(),
            "event" => self.event.name = value.to_owned(),
            "data" => self.add_data(value),
            _ => {}
        }
        None
    }

    fn add_data(&mut self, value: &str) {
        if self.has_data {
            self.event.data.push('\n');
        }
        self.has_data = true;
        self.event.data.push_str(value);
    }

    fn end_event(&mut self) -> Option<Event> {
        let event = std::mem::take(&mut self.event);
        // The last id holds until another is given.
        self.event.id.clone_from(&event.id);
        std::mem::take(&mut self.has_data).then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, name: &str, data: &str) -> Event {
        Event {
            id: id.into(),
            name: name.into(),
            data: data.into(),
        }
    }

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = "\u{feff}: hello\n\nid: 1\nevent: text.delta\ndata: {\"text\":\"gr\u{fc}n\"}\n\n\
                    :\n\nid:2\r\nevent:turn.completed\r\ndata:a\r\ndata: b\r\n\r\n";
        let expected = [
            event("1", "text.delta", "{\"text\":\"gr\u{fc}n\"}"),
            event("2", "turn.completed", "a\nb"),
        ];
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let pieces = text.as_bytes().chunks(size);
            let events: Vec<Event> = pieces.flat_map(|piece| parser.feed(piece)).collect();
            assert_eq!(events, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn an_event_without_data_or_end_is_none() {
        let mut parser = Parser::default();
        assert_eq!(parser.feed(b"id: 7\nevent: x\n\ndata: half"), []);
        assert_eq!(parser.feed(b"\n\n"), [event("7", "", "half")]);
    }
}
