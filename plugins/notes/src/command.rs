//! What people can say, read from plain text.

#[derive(Debug, PartialEq)]
pub(crate) enum Command<'a> {
    Add { text: &'a str, tags: Vec<&'a str> },
    List { tag: Option<&'a str> },
    Find { words: Vec<&'a str> },
    Done { number: i64 },
    Help,
}

/// Reads a command; what is none asks for help.
pub(crate) fn parse(text: &str) -> Command<'_> {
    let text = text.trim();
    let (verb, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    match verb.to_lowercase().as_str() {
        "add" if !rest.is_empty() => Command::Add {
            text: rest,
            tags: tags(rest),
        },
        "list" => Command::List {
            tag: tags(rest).into_iter().next(),
        },
        "find" if !rest.is_empty() => Command::Find { words: words(rest) },
        "done" => number(rest).map_or(Command::Help, |number| Command::Done { number }),
        _ => Command::Help,
    }
}

/// The words that begin with `#`, without it.
fn tags(text: &str) -> Vec<&str> {
    let tags = text
        .split_whitespace()
        .filter_map(|word| word.strip_prefix('#'));
    tags.filter(|tag| !tag.is_empty()).collect()
}

/// As many as a search needs; each becomes a condition of the query.
fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().take(20).collect()
}

fn number(text: &str) -> Option<i64> {
    text.trim_start_matches('#').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_command() {
        let tags = vec!["shop"];
        assert_eq!(
            parse(" Add buy tea #shop"),
            Command::Add {
                text: "buy tea #shop",
                tags
            }
        );
        assert_eq!(parse("list"), Command::List { tag: None });
        assert_eq!(parse("list #shop"), Command::List { tag: Some("shop") });
        assert_eq!(
            parse("find tea pot"),
            Command::Find {
                words: vec!["tea", "pot"]
            }
        );
        assert_eq!(parse("done 3"), Command::Done { number: 3 });
    }

    #[test]
    fn anything_else_asks_for_help() {
        for text in ["", "add", "find ", "done it", "hello"] {
            assert_eq!(parse(text), Command::Help, "{text}");
        }
    }
}
