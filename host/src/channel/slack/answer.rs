//! An answer as Slack shows it.

use serde_json::{Value, json};

use super::{MAX_BLOCK, markdown};
use crate::runtime::Failure;
use crate::store::{TurnStatus, TurnSummary};
use crate::turn::Receipt;

/// By which our own messages are found again.
pub(super) const METADATA: &str = "anchorhold_answer";

/// What is said where a turn ends, part by part; nothing where it was stopped
/// or taken up by another.
pub(super) fn parts(turn: &TurnSummary, footer: bool) -> Vec<Value> {
    let Some(text) = text(turn) else {
        return Vec::new();
    };
    let pieces = markdown::pieces(&markdown::safe(&text), MAX_BLOCK);
    let last = pieces.len().saturating_sub(1);
    let pieces = pieces.into_iter().enumerate();
    let parts = pieces.map(|(part, piece)| {
        let mut blocks = vec![json!({"type": "markdown", "text": piece})];
        if footer && part == last {
            blocks.push(below(turn));
        }
        json!({
            "text": markdown::plain(&piece),
            "blocks": blocks,
            "unfurl_links": false,
            "unfurl_media": false,
            "metadata": {
                "event_type": METADATA,
                "event_payload": {"turn": turn.id, "part": part},
            },
        })
    });
    parts.collect()
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

/// Which agent, and what it cost.
fn below(turn: &TurnSummary) -> Value {
    let receipt = turn.receipt.as_deref();
    let receipt = receipt.and_then(|receipt| serde_json::from_str::<Receipt>(receipt).ok());
    let cost = receipt.and_then(|receipt| receipt.cost_micro_usd);
    let cost = cost
        .filter(|cost| *cost > 0)
        .map(|cost| format!(" · ${:.4}", cost as f64 / 1e6));
    let text = format!("{}{}", turn.agent, cost.unwrap_or_default());
    json!({"type": "context", "elements": [{"type": "plain_text", "text": text}]})
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

    #[test]
    fn an_answer_pings_nobody_and_unfurls_nothing() {
        let parts = parts(
            &turn(TurnStatus::Completed, Some("see <!channel> <@U1>")),
            true,
        );
        let [part] = parts.as_slice() else {
            panic!("{parts:?}");
        };
        assert!(!part.to_string().contains("<!channel>") && !part.to_string().contains("<@U1>"));
        assert_eq!(part["unfurl_links"], false);
        assert_eq!(part["metadata"]["event_payload"]["turn"], "t1");
        assert_eq!(part["blocks"][1]["elements"][0]["text"], "notes");
    }

    #[test]
    fn a_long_answer_has_parts_and_one_footer() {
        let long = "a line of words\n".repeat(2_000);
        let parts = parts(&turn(TurnStatus::Completed, Some(&long)), true);
        assert!(parts.len() > 2);
        let footers = parts
            .iter()
            .filter(|part| part["blocks"].as_array().unwrap().len() == 2);
        assert_eq!(footers.count(), 1);
        assert_eq!(parts[1]["metadata"]["event_payload"]["part"], 1);
    }

    #[test]
    fn people_are_told_how_a_turn_ended() {
        let said = |turn| {
            parts(&turn, false)
                .pop()
                .map(|part| part["text"].to_string())
        };
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
