//! Limits of blocks, refused in Slack's words: `invalid_blocks`, with what is wrong and where.

use serde_json::{Value, json};

use super::messages::MAX_MARKDOWN;
use super::{Refusal, Result};

/// The blocks that there are.
const KINDS: [&str; 23] = [
    "actions",
    "alert",
    "call",
    "card",
    "carousel",
    "container",
    "context",
    "context_actions",
    "data_table",
    "data_visualization",
    "divider",
    "file",
    "header",
    "image",
    "input",
    "markdown",
    "plan",
    "rich_text",
    "section",
    "table",
    "task_card",
    "video",
    "share_shortcut",
];

/// Checks a list of blocks.
pub(in crate::dev::slack) fn check_blocks(blocks: &Value, most: usize) -> Result<()> {
    let Some(list) = blocks.as_array() else {
        return Err(invalid(vec![
            "must provide an array [json-pointer:/blocks]".to_owned(),
        ]));
    };
    let mut faults = Faults::default();
    if list.len() > most {
        faults.say("", &format!("no more than {most} items allowed"));
    }
    for (index, block) in list.iter().enumerate() {
        faults.block(&format!("/{index}"), block);
    }
    let ids: Vec<&str> = list
        .iter()
        .filter_map(|block| block["block_id"].as_str())
        .collect();
    if (1..ids.len()).any(|index| ids[index..].contains(&ids[index - 1])) {
        faults.say("", "block_id must be unique");
    }
    if !faults.0.is_empty() {
        return Err(invalid(faults.0));
    }
    let markdown = list.iter().filter(|block| block["type"] == "markdown");
    if markdown.map(|block| length(&block["text"])).sum::<usize>() > MAX_MARKDOWN {
        return Err("msg_blocks_too_long".into());
    }
    Ok(())
}

/// Gives each block that has no `block_id` one, as Slack does.
pub(in crate::dev::slack) fn name_blocks(blocks: &mut Value) {
    for (index, block) in blocks.as_array_mut().into_iter().flatten().enumerate() {
        if block["block_id"].as_str().is_none_or(str::is_empty) && block.is_object() {
            block["block_id"] = json!(format!("sim{index}"));
        }
    }
}

fn invalid(faults: Vec<String>) -> Refusal {
    let messages: Vec<String> = faults.iter().map(|it| format!("[ERROR] {it}")).collect();
    let extra = json!({"errors": faults, "response_metadata": {"messages": messages}});
    Refusal::with("invalid_blocks", extra)
}

fn length(text: &Value) -> usize {
    text.as_str().unwrap_or_default().chars().count()
}

#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn say(&mut self, at: &str, what: &str) {
        self.0.push(format!("{what} [json-pointer:/blocks{at}]"));
    }

    fn longest(&mut self, at: &str, text: &Value, most: usize) {
        if length(text) > most {
            self.say(at, &format!("must be less than {} characters", most + 1));
        }
    }

    fn most(&mut self, at: &str, list: &Value, most: usize) {
        if list.as_array().is_some_and(|list| list.len() > most) {
            self.say(at, &format!("no more than {most} items allowed"));
        }
    }

    fn required(&mut self, at: &str, text: &Value) {
        if length(text) == 0 {
            self.say(at, "must be more than 0 characters");
        }
    }

    fn block(&mut self, at: &str, block: &Value) {
        let kind = block["type"].as_str().unwrap_or_default();
        if !KINDS.contains(&kind) {
            return self.say(&format!("{at}/type"), &format!("unsupported type: {kind}"));
        }
        self.longest(&format!("{at}/block_id"), &block["block_id"], 255);
        match kind {
            "section" => self.section(at, block),
            "markdown" => self.required(&format!("{at}/text"), &block["text"]),
            "header" => {
                self.required(&format!("{at}/text/text"), &block["text"]["text"]);
                self.longest(&format!("{at}/text/text"), &block["text"]["text"], 150);
            }
            "context" => self.most(&format!("{at}/elements"), &block["elements"], 10),
            "actions" => self.most(&format!("{at}/elements"), &block["elements"], 25),
            "context_actions" => self.most(&format!("{at}/elements"), &block["elements"], 5),
            "table" => self.table(at, block),
            "task_card" => self.longest(&format!("{at}/title"), &block["title"], 256),
            _ => {}
        }
        let inner = block["elements"].as_array().into_iter().flatten();
        for (index, element) in inner.enumerate() {
            self.element(&format!("{at}/elements/{index}"), element);
        }
        for key in ["accessory", "element"] {
            if block[key].is_object() {
                self.element(&format!("{at}/{key}"), &block[key]);
            }
        }
    }

    fn section(&mut self, at: &str, block: &Value) {
        let fields = block["fields"].as_array();
        if fields.is_none_or(Vec::is_empty) {
            self.required(&format!("{at}/text/text"), &block["text"]["text"]);
        }
        self.longest(&format!("{at}/text/text"), &block["text"]["text"], 3_000);
        self.most(&format!("{at}/fields"), &block["fields"], 10);
        for (index, field) in fields.into_iter().flatten().enumerate() {
            self.longest(&format!("{at}/fields/{index}/text"), &field["text"], 2_000);
        }
    }

    fn table(&mut self, at: &str, block: &Value) {
        self.most(&format!("{at}/rows"), &block["rows"], 100);
        for (index, row) in block["rows"].as_array().into_iter().flatten().enumerate() {
            self.most(&format!("{at}/rows/{index}"), row, 20);
        }
        if block["rows"].to_string().chars().count() > 4 * 10_000 {
            self.say(at, "table is too large");
        }
    }

    fn element(&mut self, at: &str, element: &Value) {
        self.longest(&format!("{at}/action_id"), &element["action_id"], 255);
        let buttons = [
            (String::new(), element),
            ("/positive_button".to_owned(), &element["positive_button"]),
            ("/negative_button".to_owned(), &element["negative_button"]),
        ];
        let is_button = matches!(
            element["type"].as_str(),
            Some("button" | "feedback_buttons")
        );
        for (path, button) in buttons
            .iter()
            .filter(|(_, button)| is_button && button.is_object())
        {
            self.longest(
                &format!("{at}{path}/text/text"),
                &button["text"]["text"],
                75,
            );
            self.longest(&format!("{at}{path}/value"), &button["value"], 2_000);
        }
        self.most(&format!("{at}/options"), &element["options"], 100);
    }
}
