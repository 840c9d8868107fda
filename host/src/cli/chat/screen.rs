//! What is seen of an answer while it is made.

use serde_json::Value;

use crate::cli::output::{plain, write};
use crate::cli::wire::text;

/// How much is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    Nothing,
    /// The text.
    Text,
    /// The text and what the agent does besides.
    All,
}

/// A place to show one answer.
pub(super) struct Screen {
    sight: Sight,
    /// Whether the cursor is within a line.
    in_line: bool,
}

impl Screen {
    pub(super) fn new(sight: Sight) -> Self {
        Self {
            sight,
            in_line: false,
        }
    }

    /// Shows what there is to see of an event.
    pub(super) fn show(&mut self, event: &str, data: &Value) {
        let seen = render(event, data, self.sight, self.in_line);
        if let Some(last) = seen.chars().next_back() {
            self.in_line = last != '\n';
            write(&seen);
        }
    }

    /// Ends the line that was begun.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.in_line) {
            write("\n");
        }
    }
}

fn render(event: &str, data: &Value, sight: Sight, in_line: bool) -> String {
    let own_line = |said: String| {
        let before = if in_line { "\n" } else { "" };
        format!("{before}{}\n", plain(&said))
    };
    match (event, sight) {
        (_, Sight::Nothing) => String::new(),
        ("text.delta", _) => plain(&text(data, "text")),
        ("text.reset", _) if in_line => own_line("[the answer begins anew]".to_owned()),
        ("turn.queued", Sight::All) => own_line("[waits for the messages before it]".to_owned()),
        ("approval.requested", _) => own_line(asked(data)),
        ("tool.started", Sight::All) => own_line(format!("[{} ...]", text(data, "title"))),
        ("tool.completed", Sight::All) => own_line(completed(data)),
        _ => String::new(),
    }
}

/// A question, and what answers it.
fn asked(data: &Value) -> String {
    let question = data.get("question").cloned().unwrap_or_default();
    let choices = items_of(&question, "choices");
    let how = match text(&question, "expects").as_str() {
        "approval" => "/yes or /no, and why".to_owned(),
        "choice" => format!("one of {}, or /no", choices.join(", ")),
        _ => "type the answer, or /no".to_owned(),
    };
    format!("{}\n[{how}]", text(&question, "text"))
}

fn items_of(value: &Value, name: &str) -> Vec<String> {
    let items = value.get(name).and_then(Value::as_array);
    let items = items.into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn completed(data: &Value) -> String {
    let how = match data.get("failed").and_then(Value::as_bool) {
        Some(true) => "failed",
        _ => "done",
    };
    match text(data, "detail").as_str() {
        "" => format!("[{} {how}]", text(data, "title")),
        detail => format!("[{} {how}: {detail}]", text(data, "title")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tools_get_lines_of_their_own() {
        let data = json!({"title": "recall", "failed": true, "detail": "nothing there"});
        assert_eq!(
            render("tool.completed", &data, Sight::All, true),
            "\n[recall failed: nothing there]\n"
        );
        assert_eq!(render("tool.completed", &data, Sight::Text, true), "");
    }

    #[test]
    fn a_question_says_what_answers_it() {
        let data =
            json!({"question": {"text": "Which?", "expects": "choice", "choices": ["a", "b"]}});
        assert_eq!(
            render("approval.requested", &data, Sight::Text, false),
            "Which?\n[one of a, b, or /no]\n"
        );
    }

    #[test]
    fn a_text_that_begins_anew_is_told_apart() {
        let nothing = json!({});
        assert_eq!(
            render("text.reset", &nothing, Sight::Text, true),
            "\n[the answer begins anew]\n"
        );
        assert_eq!(render("text.reset", &nothing, Sight::Text, false), "");
        assert_eq!(
            render(
                "text.delta",
                &json!({"text": "a\u{1b}b"}),
                Sight::Text,
                false
            ),
            "ab"
        );
    }
}
