//! Answers as agents write them, and as Slack is given them.

use proptest::prelude::*;

use super::*;

fn lines(number: usize) -> String {
    (0..number)
        .map(|at| format!("line number {at}\n"))
        .collect()
}

/// Whether every fence that is opened is closed.
fn is_balanced(piece: &str) -> bool {
    let mut open: Option<Fence<'_>> = None;
    for line in piece.split('\n') {
        open = match open {
            Some(fence) if fence.is_closed_by(line) => None,
            None => Fence::opened(line),
            open => open,
        };
    }
    open.is_none()
}

/// What is said, without fences and space.
fn said(markdown: &str) -> String {
    let mut open: Option<Fence<'_>> = None;
    let mut said = String::new();
    for line in markdown.split('\n') {
        open = match open {
            Some(fence) if fence.is_closed_by(line) => None,
            None => match Fence::opened(line) {
                Some(fence) => {
                    said.push_str(fence.long_info());
                    Some(fence)
                }
                None => {
                    said.push_str(line);
                    None
                }
            },
            open => {
                said.push_str(line);
                open
            }
        };
    }
    said.retain(|c| !c.is_whitespace());
    said
}

#[track_caller]
fn is_sound(markdown: &str, max: usize) -> Vec<String> {
    let pieces = pieces(markdown, max);
    for piece in &pieces {
        assert!(
            size(piece) <= max.max(MIN_PIECE),
            "{} of {max}: {piece}",
            size(piece)
        );
        assert!(!piece.trim().is_empty());
        assert!(is_balanced(piece), "{piece}");
    }
    pieces
}

#[test]
fn nothing_in_an_answer_pings() {
    let answer =
        "hi <!channel> <@U1|x> <!subteam^S1>\n> quoted <!here>\n> > twice\n`a < b && c > d`";
    assert_eq!(
        safe(answer),
        "hi &lt;!channel&gt; &lt;@U1|x&gt; &lt;!subteam^S1&gt;\n> quoted &lt;!here&gt;\n> > twice\n`a &lt; b && c &gt; d`"
    );
    assert_eq!(
        safe("[a](https://x.org/?a=1&b=2)\r\n"),
        "[a](https://x.org/?a=1&b=2)\r\n"
    );
    assert!(!plain(answer).contains(['<', '>']));
}

#[test]
fn a_short_answer_is_one_piece_as_it_is() {
    let answer = "# Title\n\nSome *words*:\n- one\n  more\n- two\n\n```rust\nfn a() {}\n\n\n```\n| a | b |\n|---|---|\n| 1 | 2 |\n\n> quote\n\n---\nend";
    assert_eq!(pieces(answer, 11_000), [answer]);
    assert_eq!(pieces("\n\n a \n", 11_000), [" a "]);
    assert!(pieces(" \n\n", 11_000).is_empty() && pieces("", 11_000).is_empty());
}

#[test]
fn paragraphs_stay_whole_where_they_can() {
    let paragraph = "word ".repeat(40).trim_end().to_owned();
    let answer = [paragraph.as_str(); 5].join("\n\n");
    let pieces = is_sound(&answer, 450);
    assert_eq!(pieces.len(), 3);
    assert!(
        pieces
            .iter()
            .all(|piece| piece.starts_with("word") && piece.ends_with("word"))
    );
    assert_eq!(pieces.join("\n\n"), answer);
}

#[test]
fn lines_stay_whole_where_paragraphs_cannot() {
    let answer = lines(60);
    let pieces = is_sound(&answer, 300);
    assert!(pieces.iter().all(|piece| piece.starts_with("line number")));
    assert_eq!(pieces.join("\n"), answer.trim_end());
}

#[test]
fn words_stay_whole_where_lines_cannot() {
    let answer = "word ".repeat(200);
    let pieces = is_sound(&answer, 256);
    assert_eq!(pieces.join(" ").trim_end(), answer.trim_end());
    let one = is_sound(&"ä".repeat(600), 256);
    assert_eq!(one.concat(), "ä".repeat(600));
}

#[test]
fn code_that_is_cut_is_code_again() {
    let answer = format!("See:\n```rust\n{}```\nDone.", lines(50));
    let pieces = is_sound(&answer, 300);
    assert!(pieces.len() > 2);
    assert!(pieces[0].starts_with("See:\n```rust\nline number 0\n"));
    for piece in &pieces[1..] {
        assert!(piece.starts_with("```rust\nline number"), "{piece}");
    }
    assert!(pieces.last().unwrap().ends_with("\n```\nDone."));
    assert_eq!(said(&pieces.join("\n")), said(&answer));
}

#[test]
fn fences_of_all_kinds_are_closed() {
    for (open, close) in [
        ("~~~", "~~~"),
        ("````md\n```x", "```\n````"),
        ("  ```", "  ```"),
        ("> ```", "> ```"),
        ("1. ```sh", "   ```"),
        ("```", ""),
    ] {
        let answer = format!("{open}\n{}{close}\n\nafter", lines(40));
        let pieces = is_sound(&answer, 300);
        assert_eq!(said(&pieces.join("\n")), said(&answer), "{open}");
    }
    let long = format!("```{}\ncode\n```", "i".repeat(700));
    assert_eq!(is_sound(&long, 300).concat().matches('i').count(), 700);
}

#[test]
fn tables_are_cut_between_rows_and_keep_their_head() {
    let rows: String = (0..40).map(|at| format!("| row {at} | x |\n")).collect();
    let answer = format!("| name | b |\n|---|:-:|\n{rows}");
    let pieces = is_sound(&answer, 300);
    assert!(pieces.len() > 1);
    let mut seen = Vec::new();
    for piece in &pieces {
        let rows = piece.strip_prefix("| name | b |\n|---|:-:|\n").unwrap();
        seen.extend(rows.lines());
    }
    assert_eq!(seen, rows.lines().collect::<Vec<_>>());
    let wide = format!("| {} |\n|---|\n| 1 |\n| 2 |", "h".repeat(200));
    assert_eq!(is_sound(&wide, 256).concat().matches('h').count(), 200);
}

#[test]
fn links_and_tokens_are_not_cut() {
    for held in [
        "[some words in a link](https://x.org/a?b=c \"and a title\")",
        "![words [in] it](https://x.org)",
        "&lt;not a link&gt;",
        "`code with spaces`",
        "<https://x.org|with words>",
    ] {
        for before in 200..256 {
            let answer = format!("{} {held} {}", "x".repeat(before), "y ".repeat(100));
            let pieces = is_sound(&answer, 256);
            assert!(
                pieces.iter().any(|piece| piece.contains(held)),
                "{before}: {pieces:?}"
            );
        }
    }
    let entities = "&amp;".repeat(200);
    assert!(
        is_sound(&entities, 256)
            .iter()
            .all(|piece| piece.starts_with('&') && piece.ends_with(';'))
    );
}

#[test]
fn slack_makes_few_blocks_of_a_piece() {
    let headings = "# a\n\nb\n\n".repeat(60);
    let pieces = is_sound(&headings, 11_000);
    assert_eq!(pieces.len(), 3);
    let list = "- item\n\n".repeat(200);
    assert_eq!(is_sound(&list, 11_000).len(), 1);
}

#[test]
fn a_heading_does_not_stand_alone() {
    let answer = format!("# Title\n\n{}", "word ".repeat(200));
    assert!(is_sound(&answer, 400)[0].contains("word"));
}

#[test]
fn long_answers_do_not_take_long() {
    for part in [
        "[a](", "&lt;", "`", "<", "[", "- ", "> ", "```\n", "|-|\n", "a b\n\n", "&",
    ] {
        let answer = part.repeat(200_000 / part.len());
        is_sound(&answer, 11_000);
        plain(&answer);
    }
}

#[test]
fn a_notification_has_no_markup() {
    for (markdown, is) in [
        (
            "# Title\n\nSome **bold** and *it* and __b__ and ~~no~~.",
            "Title\nSome bold and it and b and no.",
        ),
        ("- one\n* two\n1. three", "• one\n• two\n1. three"),
        (
            "[docs](https://x.org) ![chart](https://x.org/c.png) [](u)",
            "docs chart u",
        ),
        (
            "```rust\nlet a = b * c;\n```\n`snake_case` 2 * 3 a_b",
            "let a = b * c;\nsnake_case 2 * 3 a_b",
        ),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "a · b\n1 · 2"),
        ("> quote &lt;x&gt; <!here>", "quote &lt;x&gt; &lt;!here&gt;"),
        ("---", "---"),
        ("", ""),
    ] {
        assert_eq!(plain(markdown), is);
    }
}

#[test]
fn a_notification_is_short() {
    let text = plain(&"word ".repeat(2_000));
    assert!(is_short(&text) && text.ends_with('…'));
    for before in 3_880..3_900 {
        let text = plain(&format!("{}{}", "x".repeat(before), "<".repeat(50)));
        assert!(is_short(&text), "{}", text.len());
        assert!(text.trim_end_matches('…').ends_with(['x', ';']), "{text}");
    }
    for text in ["<", "好", "& ", "é&amp;"] {
        assert!(is_short(&plain(&text.repeat(20_000))), "{text}");
    }
}

/// Whether Slack takes it where a message is changed: it counts bytes, escaped.
fn is_short(text: &str) -> bool {
    text.replace('&', "&amp;").len() <= 4_000
}

#[test]
fn an_address_may_have_parentheses() {
    let link = "[the docs](https://docs.example/a_(b)?c=d) and [more](x)";
    assert_eq!(plain(link), "the docs and more");
}

/// Answers of the marks that matter.
fn answer() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[a-z ]{1,40}",
        2 => Just("\n".to_owned()),
        1 => Just("\n\n".to_owned()),
        1 => Just("```".to_owned()),
        1 => Just("\n```rust\n".to_owned()),
        1 => Just("\n~~~~\n".to_owned()),
        1 => "[`~]{1,20}",
        1 => Just("\n- ".to_owned()),
        1 => Just("\n> ".to_owned()),
        1 => Just("[a link](https://x.org/)".to_owned()),
        1 => Just("&lt;".to_owned()),
        1 => "\\PC{0,30}",
        1 => "[a-z]{200,400}",
    ];
    prop::collection::vec(part, 0..60).prop_map(|parts| parts.concat().replace('|', "/"))
}

proptest! {
    #[test]
    fn pieces_are_sound_and_lose_nothing(answer in answer(), max in 256_usize..600) {
        let pieces = is_sound(&answer, max);
        prop_assert_eq!(said(&pieces.join("\n")), said(&answer));
    }

    #[test]
    fn nothing_breaks_it(text in "(\\PC|[\n\r\t `~|>#*_\\[\\]()<&;-]){0,800}", max in 0_usize..600) {
        is_sound(&text, max);
        is_sound(&safe(&text), max);
        prop_assert!(is_short(&plain(&text)));
    }

    #[test]
    fn nothing_pings(text in "([<>&;!@#a-z]|\\PC){0,64}") {
        prop_assert!(!safe(&text).contains('<'));
        prop_assert!(!plain(&text).contains(['<', '>']));
        prop_assert!(pieces(&safe(&text), 256).iter().all(|piece| !piece.contains('<')));
    }
}
