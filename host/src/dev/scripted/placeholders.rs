//! `{last}` and its like in replies. What a person wrote is put in as it is and not read again.

/// What the placeholders stand for.
pub(super) struct Values<'a> {
    pub(super) last: &'a str,
    pub(super) previous: &'a str,
    pub(super) rest: &'a str,
    pub(super) system: &'a str,
    pub(super) tool_result: &'a str,
    pub(super) turns: usize,
    /// Answers of the assistant so far; not a placeholder.
    pub(super) rounds: usize,
}

/// Fills in `text`. Braces around anything else stay as they are.
pub(super) fn fill(text: &str, values: &Values<'_>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        match after
            .split_once('}')
            .and_then(|(name, next)| Some((values.get(name)?, next)))
        {
            Some((value, next)) => {
                filled.push_str(&value);
                rest = next;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}

impl Values<'_> {
    fn get(&self, name: &str) -> Option<String> {
        Some(match name {
            "last" => self.last.to_owned(),
            "previous" => self.previous.to_owned(),
            "rest" => self.rest.to_owned(),
            "system" => self.system.to_owned(),
            "tool_result" => self.tool_result.to_owned(),
            "turns" => self.turns.to_string(),
            _ => return None,
        })
    }
}
