//! What can be typed besides messages.

/// A line that was typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Nothing,
    Message(&'a str),
    Help,
    /// Another agent; without a name, which one it is.
    Agent(Option<&'a str>),
    New,
    History,
    Why,
    /// Yes or no to a question, and what is said besides.
    Verdict(bool, &'a str),
    Quit,
    Unknown(&'a str),
}

pub(super) const HELP: &str = "\
/agent NAME  talk to another agent
/new         begin a new conversation
/history     show this conversation
/yes, /no    answer a question that the agent asks, with a reason or without
/why         say where the time of the last answer went
/quit        end (also ctrl-d)
A line that begins with // is said with one of them.";

/// Reads a line.
pub(super) fn parse(line: &str) -> Line<'_> {
    let line = line.trim();
    let Some(command) = line.strip_prefix('/') else {
        return if line.is_empty() {
            Line::Nothing
        } else {
            Line::Message(line)
        };
    };
    if command.starts_with('/') {
        return Line::Message(command);
    }
    let (name, rest) = command
        .split_once(char::is_whitespace)
        .unwrap_or((command, ""));
    match name {
        "help" | "?" => Line::Help,
        "agent" => Line::Agent(Some(rest.trim()).filter(|rest| !rest.is_empty())),
        "new" => Line::New,
        "history" => Line::History,
        "yes" => Line::Verdict(true, rest.trim()),
        "no" => Line::Verdict(false, rest.trim()),
        "why" => Line::Why,
        "quit" | "exit" | "q" => Line::Quit,
        _ => Line::Unknown(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_or_commands() {
        assert_eq!(parse("  hello /new "), Line::Message("hello /new"));
        assert_eq!(
            parse("//etc is a folder"),
            Line::Message("/etc is a folder")
        );
        assert_eq!(parse("/agent  notes "), Line::Agent(Some("notes")));
        assert_eq!(parse("/agent"), Line::Agent(None));
        assert_eq!(parse("/quit"), Line::Quit);
        assert_eq!(parse("/qiut now"), Line::Unknown("qiut"));
        assert_eq!(parse("/no too dear"), Line::Verdict(false, "too dear"));
        assert_eq!(parse(" "), Line::Nothing);
    }

    #[test]
    fn help_names_every_command() {
        for command in ["/agent", "/new", "/history", "/yes", "/no", "/why", "/quit"] {
            assert!(HELP.contains(command), "{command}");
        }
    }
}
