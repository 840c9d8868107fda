//! An answer as Slack shows it.

use serde_json::{Value, json};
use tracing::warn;

use super::{MAX_BLOCK, feedback, markdown};
use crate::codec;
use crate::config;
use crate::runtime::bindings::types;
use crate::runtime::{Failure, Output};
use crate::store::{TurnStatus, TurnSummary};
use crate::turn::Receipt;

/// By which our own messages are found again.
pub(super) const METADATA: &str = "anchorhold_answer";

/// What is longer is a file, with its beginning above it.
const MOST_PARTS: usize = 3;
const EXCERPT: usize = 3_000;

/// Files of an answer that are shown.
const MOST_FILES: usize = 10;

const MOST_OF_A_NAME: usize = 200;

/// A file that belongs to an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// What is said where a turn ends.
pub(super) struct Answer<'a> {
    turn: &'a TurnSummary,
    config: &'a config::Slack,
    /// Markdown; nothing where the turn was taken up by another.
    text: String,
    /// How sure the agent is, from 0 to 1, where it says so.
    confidence: Option<f64>,
    pub(super) files: Vec<File>,
    /// The first of the files is the answer itself.
    is_long: bool,
}

impl<'a> Answer<'a> {
    /// The answer of a turn; `output` is what it stored.
    pub(super) fn of(
        turn: &'a TurnSummary,
        output: Option<&[u8]>,
        config: &'a config::Slack,
    ) -> Self {
        let mut answer = Self {
            turn,
            config,
            text: text(turn).unwrap_or_default(),
            confidence: None,
            files: Vec::new(),
            is_long: false,
        };
        if let (TurnStatus::Completed, Some(output)) = (turn.status, output) {
            match codec::decode(output) {
                Ok(Output::Reply(reply)) => answer.add(reply),
                Ok(Output::Received | Output::Response(_)) => {}
                Err(error) => {
                    let error = format!("{error:#}");
                    warn!(error, turn = turn.id, "files of an answer cannot be read");
                }
            }
        }
        if answer.pieces().len() > MOST_PARTS {
            // It takes a place among them.
            let places = answer.files.len().min(MOST_FILES - 1);
            let others = answer.files.split_off(places);
            let lines: Vec<_> = others.iter().map(|file| not_shown(&file.name)).collect();
            answer.say_below(&lines.join("\n"));
            let bytes = answer.text.clone().into_bytes();
            let name = "answer.md".to_owned();
            answer.files.insert(0, File { name, bytes });
            answer.is_long = true;
        }
        answer
    }

    fn add(&mut self, reply: types::Reply) {
        let metadata = reply.metadata_json.as_deref().unwrap_or_default();
        let metadata = serde_json::from_str::<Value>(metadata).unwrap_or_default();
        let confidence = metadata["confidence"].as_f64();
        self.confidence = confidence.filter(|confidence| (0.0..=1.0).contains(confidence));
        let mut lines = Vec::new();
        for attachment in reply.attachments {
            let name = name(&attachment.name);
            match attachment.source {
                types::MediaSource::Inline(bytes)
                    if !bytes.is_empty() && self.files.len() < MOST_FILES =>
                {
                    self.files.push(File { name, bytes });
                }
                types::MediaSource::Url(url) => lines.push(format!("{name}: {url}")),
                _ => lines.push(not_shown(&name)),
            }
        }
        self.say_below(&lines.join("\n"));
    }

    fn say_below(&mut self, text: &str) {
        if !text.is_empty() {
            self.text = format!("{}\n\n{text}", self.text.trim_end());
        }
    }

    /// Slack does not take files.
    pub(super) fn without_files(&mut self) {
        let names = self.files.drain(..).skip(usize::from(self.is_long));
        let lines = names.map(|file| not_shown(&file.name));
        let lines: Vec<_> = lines.collect();
        self.is_long = false;
        self.say_below(&lines.join("\n"));
    }

    fn pieces(&self) -> Vec<String> {
        if self.text.trim().is_empty() {
            return Vec::new();
        }
        markdown::pieces(&markdown::safe(&self.text), MAX_BLOCK)
    }

    /// What is said in messages, part by part.
    pub(super) fn parts(&self) -> Vec<Value> {
        let mut pieces = self.pieces();
        if self.is_long {
            let mut excerpt = markdown::pieces(&markdown::safe(&self.text), EXCERPT);
            excerpt.truncate(1);
            pieces = excerpt;
            if let Some(piece) = pieces.first_mut() {
                piece.push_str("\n\n_The whole answer is in the file below._");
            }
        }
        let last = pieces.len().saturating_sub(1);
        let pieces = pieces.into_iter().enumerate();
        pieces
            .map(|(number, piece)| self.part(number, number == last, &piece))
            .collect()
    }

    fn part(&self, number: usize, is_last: bool, piece: &str) -> Value {
        let mut blocks = vec![json!({"type": "markdown", "text": piece})];
        if self.config.footer && is_last {
            blocks.push(self.footer());
        }
        if self.config.feedback && is_last && self.turn.status == TurnStatus::Completed {
            blocks.push(feedback::buttons(&self.turn.id));
        }
        json!({
            "text": markdown::plain(piece),
            "blocks": blocks,
            "metadata": {
                "event_type": METADATA,
                "event_payload": {"turn": self.turn.id, "part": number},
            },
        })
    }

    /// Which agent, how sure it is, and what it cost.
    fn footer(&self) -> Value {
        let receipt = self.turn.receipt.as_deref();
        let receipt = receipt.and_then(|receipt| serde_json::from_str::<Receipt>(receipt).ok());
        let cost = receipt.and_then(|receipt| receipt.cost_micro_usd);
        let cost = cost.filter(|cost| *cost > 0);
        let parts = [
            Some(self.turn.agent.clone()),
            self.confidence
                .map(|sure| format!("{:.0} % sure", sure * 100.0)),
            cost.map(|cost| format!("${:.4}", cost as f64 / 1e6)),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        let text = parts.join(" · ");
        json!({"type": "context", "elements": [{"type": "plain_text", "text": text}]})
    }
}

/// A name of an agent's file as it may be shown.
fn name(name: &str) -> String {
    let is_fine = |c: &char| !c.is_control() && !"/\\<>".contains(*c);
    let name: String = name.chars().filter(is_fine).take(MOST_OF_A_NAME).collect();
    if name.trim().is_empty() {
        return "file".to_owned();
    }
    name
}

fn text(turn: &TurnSummary) -> Option<String> {
    if turn.steered.is_some() {
        return None;
    }
    match turn.status {
        TurnStatus::Completed => turn.text.clone().filter(|text| !text.trim().is_empty()),
        TurnStatus::Failed => {
            let failure = turn.error.as_deref();
            let failure = failure.and_then(|error| serde_json::from_str::<Failure>(error).ok());
            let why =
                failure.map_or_else(|| "It did not work.".to_owned(), |failure| failure.message);
            Some(format!(
                "⚠️ {why}\n\nIf it happens again, tell the administrator this number: `{}`",
                turn.id
            ))
        }
        TurnStatus::Cancelled => Some("Stopped.".to_owned()),
        TurnStatus::Queued | TurnStatus::Running | TurnStatus::Waiting => None,
    }
}
fn not_shown(name: &str) -> String {
    format!("[file {name} is not shown]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::FailureCode;
    use crate::store::TurnKind;

    fn turn(status: TurnStatus, text: Option<&str>) -> TurnSummary {
        let failure = Failure::new(FailureCode::Deadline, "It took too long.");
        TurnSummary {
            id: "t1".to_owned(),
            kind: TurnKind::Chat,
            agent: "notes".to_owned(),
            version: Some(1),
            conversation: None,
            user_id: None,
            channel: "slack".to_owned(),
            token: None,
            parent: None,
            steered: None,
            status,
            attempts: 1,
            text: text.map(str::to_owned),
            error: Some(serde_json::to_string(&failure).unwrap()),
            receipt: None,
            created_at: 0,
            started_at: None,
            finished_at: None,
        }
    }

    fn parts(turn: &TurnSummary) -> Vec<Value> {
        Answer::of(turn, None, &config::Slack::default()).parts()
    }

    #[test]
    fn an_answer_pings_nobody() {
        let parts = parts(&turn(TurnStatus::Completed, Some("see <!channel> <@U1>")));
        let [part] = parts.as_slice() else {
            panic!("{parts:?}");
        };
        assert!(!part.to_string().contains("<!channel>") && !part.to_string().contains("<@U1>"));
        assert_eq!(part["metadata"]["event_payload"]["turn"], "t1");
        assert_eq!(part["blocks"][1]["elements"][0]["text"], "notes");
        assert_eq!(part["blocks"][2]["type"], "context_actions");
    }

    #[test]
    fn a_long_answer_has_parts_and_one_footer() {
        let long = "a line of words\n".repeat(2_000);
        let parts = parts(&turn(TurnStatus::Completed, Some(&long)));
        assert_eq!(parts.len(), MOST_PARTS);
        let footers = parts
            .iter()
            .filter(|part| part["blocks"].as_array().unwrap().len() > 1);
        assert_eq!(footers.count(), 1);
        assert_eq!(parts[1]["metadata"]["event_payload"]["part"], 1);
    }

    #[test]
    fn a_very_long_answer_is_a_file_unless_slack_takes_none() {
        let long = "a line of words\n".repeat(4_000);
        let turn = turn(TurnStatus::Completed, Some(&long));
        let config = config::Slack::default();
        let mut answer = Answer::of(&turn, None, &config);
        assert_eq!(answer.files[0].name, "answer.md");
        assert_eq!(answer.files[0].bytes, long.as_bytes());
        let parts = answer.parts();
        assert_eq!(parts.len(), 1);
        assert!(parts[0].to_string().contains("in the file below"));
        answer.without_files();
        assert!(answer.files.is_empty() && answer.parts().len() > MOST_PARTS);
    }

    #[test]
    fn what_an_agent_adds_is_shown() {
        let attachment = |name: &str, source| types::Attachment {
            name: name.to_owned(),
            mime_type: "text/csv".to_owned(),
            source,
        };
        let inline = |bytes: &[u8]| types::MediaSource::Inline(bytes.to_vec());
        let url = types::MediaSource::Url("https://a.example/<!here>".to_owned());
        let reply = types::Reply {
            text: "See.".to_owned(),
            attachments: vec![
                attachment("../a<.csv", inline(b"1,2")),
                attachment("empty.csv", inline(b"")),
                attachment("b.csv", url),
            ],
            tool_calls: Vec::new(),
            metadata_json: Some(r#"{"confidence": 0.824}"#.to_owned()),
        };
        let output = codec::encode(&Output::Reply(reply)).unwrap();
        let turn = turn(TurnStatus::Completed, Some("See."));
        let config = config::Slack::default();
        let mut answer = Answer::of(&turn, Some(&output), &config);
        assert_eq!(answer.files.len(), 1);
        assert_eq!(answer.files[0].name, "..a.csv");
        let part = answer.parts().remove(0).to_string();
        assert!(part.contains("notes · 82 % sure"), "{part}");
        assert!(
            part.contains("empty.csv is not shown") && part.contains("b.csv: https://a.example")
        );
        assert!(!part.contains("<!here>"), "{part}");
        answer.without_files();
        let part = answer.parts().remove(0).to_string();
        assert!(part.contains("..a.csv is not shown"), "{part}");
    }

    #[test]
    fn a_very_long_answer_takes_the_place_of_a_file() {
        let attachment = |number: usize| types::Attachment {
            name: format!("f{number}.txt"),
            mime_type: "text/plain".to_owned(),
            source: types::MediaSource::Inline(b"x".to_vec()),
        };
        let long = "a line of words\n".repeat(4_000);
        let reply = types::Reply {
            text: long.clone(),
            attachments: (0..MOST_FILES).map(attachment).collect(),
            tool_calls: Vec::new(),
            metadata_json: None,
        };
        let output = codec::encode(&Output::Reply(reply)).unwrap();
        let turn = turn(TurnStatus::Completed, Some(&long));
        let config = config::Slack::default();
        let answer = Answer::of(&turn, Some(&output), &config);
        assert_eq!(answer.files.len(), MOST_FILES);
        let whole = String::from_utf8(answer.files[0].bytes.clone()).unwrap();
        assert!(
            whole.ends_with("[file f9.txt is not shown]"),
            "{whole:.200}"
        );
    }

    #[test]
    fn people_are_told_how_a_turn_ended() {
        let said = |turn| parts(&turn).pop().map(|part| part["text"].to_string());
        let failed = said(turn(TurnStatus::Failed, None)).unwrap();
        assert!(
            failed.contains("It took too long.") && failed.contains("t1"),
            "{failed}"
        );
        assert!(
            said(turn(TurnStatus::Cancelled, None))
                .unwrap()
                .contains("Stopped")
        );
        let taken_up = TurnSummary {
            steered: Some("t0".to_owned()),
            ..turn(TurnStatus::Completed, Some("x"))
        };
        assert_eq!(said(taken_up), None);
        assert_eq!(said(turn(TurnStatus::Completed, Some(" "))), None);
    }
}
