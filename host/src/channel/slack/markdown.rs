//! What agents answer, Markdown, as Slack takes it: nothing in it can call
//! people, and long texts are cut where it does not hurt.

/// The most characters of the text that notifications show.
const PLAIN: usize = 3_000;

/// Markdown in which nobody is called: Slack reads references in angle brackets
/// only, and shows the escaped ones as they are.
pub(super) fn safe(markdown: &str) -> String {
    markdown.replace('<', "&lt;").replace('>', "&gt;")
}

/// What notifications show of a text.
pub(super) fn plain(markdown: &str) -> String {
    let marks = |c: char| matches!(c, '*' | '_' | '`' | '#' | '~');
    markdown
        .chars()
        .filter(|c| !marks(*c))
        .take(PLAIN)
        .collect()
}

/// A text in pieces of at most `most` characters: cut between paragraphs, lines
/// or words, in that order; a block of code that is cut is closed, and opened
/// again in the next piece.
pub(super) fn pieces(markdown: &str, most: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = markdown.trim();
    let mut open: Option<String> = None;
    while !rest.is_empty() {
        let head = open
            .as_ref()
            .map_or_else(String::new, |fence| format!("{fence}\n"));
        // Room for the fences that may be added.
        let room = most
            .saturating_sub(head.chars().count() + CLOSE.len())
            .max(1);
        let (now, later) = cut(rest, room);
        rest = later;
        if now.trim().is_empty() {
            continue;
        }
        open = fence_after(open, now);
        let close = if open.is_some() && !later.is_empty() {
            CLOSE
        } else {
            ""
        };
        pieces.push(format!("{head}{now}{close}"));
    }
    pieces
}

const CLOSE: &str = "\n```";

/// The first characters, at most `room`, and the rest.
fn cut(text: &str, room: usize) -> (&str, &str) {
    let Some((end, _)) = text.char_indices().nth(room) else {
        return (text, "");
    };
    let fits = &text[..end];
    // A piece that is nearly empty helps nobody.
    let least = fits.len() / 2;
    let at = ["\n\n", "\n", " "].into_iter().find_map(|between| {
        fits.rfind(between)
            .map(|at| at + between.len())
            .filter(|at| *at > least)
    });
    let (now, later) = text.split_at(at.unwrap_or(end));
    (
        now.trim_end_matches(['\n', ' ']),
        later.trim_start_matches('\n'),
    )
}

/// The fence that is open behind a text, with its language.
fn fence_after(open: Option<String>, text: &str) -> Option<String> {
    text.lines().fold(open, |open, line| {
        let line = line.trim_start();
        match (open, line.starts_with("```")) {
            (None, true) => Some(line.trim_end().chars().take(40).collect()),
            (Some(_), true) => None,
            (open, false) => open,
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn letters(text: &str) -> String {
        text.chars().filter(|c| c.is_alphanumeric()).collect()
    }

    #[test]
    fn texts_are_cut_between_paragraphs() {
        let text = "first paragraph\n\nsecond paragraph\n\nthird";
        assert_eq!(
            pieces(text, 40),
            ["first paragraph\n\nsecond paragraph", "third"]
        );
        assert_eq!(pieces("short", 40), ["short"]);
        assert!(pieces(" \n", 40).is_empty());
    }

    #[test]
    fn code_is_closed_and_opened_again() {
        let code = "line of code\n".repeat(10);
        let text = format!("look:\n```rust\n{code}```\ndone");
        let pieces = pieces(&text, 80);
        assert!(pieces.len() > 1);
        for piece in &pieces {
            assert_eq!(piece.matches("```").count() % 2, 0, "{piece}");
        }
        assert!(pieces[1].starts_with("```rust\n"), "{}", pieces[1]);
    }

    #[test]
    fn nobody_is_called() {
        let said = safe("<!channel> <@U1> <!subteam^S1> <https://a|b>");
        assert!(!said.contains('<') && !said.contains('>'));
    }

    proptest! {
        #[test]
        fn pieces_fit_and_lose_nothing(text in "[a-z \n]{0,400}", most in 20usize..100) {
            let pieces = pieces(&text, most);
            for piece in &pieces {
                prop_assert!(piece.chars().count() <= most && !piece.trim().is_empty());
            }
            prop_assert_eq!(letters(&pieces.concat()), letters(&text));
        }

        #[test]
        fn nothing_is_too_odd(text in ".*", most in 60usize..200) {
            for piece in pieces(&safe(&text), most) {
                prop_assert!(piece.chars().count() <= most);
            }
        }
    }
}
