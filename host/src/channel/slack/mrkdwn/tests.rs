//! What people write, and what agents read.

use proptest::prelude::*;

use super::*;

fn said(text: &str) -> String {
    read(text, "UOWN")
}

#[test]
fn tokens_become_words() {
    for (text, is) in [
        ("a &lt;b&gt; &amp;amp; c", "a <b> &amp; c"),
        ("ask <@U2|ada> or <@U3>", "ask @ada or @U3"),
        ("in <#C1|general>, <#C2>, <#C3|>", "in #general, #C2, #C3"),
        (
            "<!here> <!channel|channel> <!everyone>",
            "@here @channel @everyone",
        ),
        ("<!subteam^S1|@ops> <!subteam^S2>", "@ops @S2"),
        ("<!date^139^{date}^https://x|18 Feb>", "18 Feb"),
        (
            "<https://x.org/?a=1&amp;b=2|docs>",
            "docs (https://x.org/?a=1&b=2)",
        ),
        (
            "<https://x.org|https://x.org> <https://x.org>",
            "https://x.org https://x.org",
        ),
        (
            "<http://x.org|x.org> <mailto:a@x.org|a@x.org>",
            "x.org a@x.org",
        ),
        (
            "<!new^1> <not a token> a < b",
            "<!new^1> <not a token> a < b",
        ),
    ] {
        assert_eq!(said(text), is);
    }
}

#[test]
fn our_mention_goes_with_its_space() {
    for (text, is) in [
        ("<@UOWN> do it", "do it"),
        ("  <@UOWN|bot>: do it", "do it"),
        ("<@UOWN>, do it", "do it"),
        ("<@UOWN> :smile: x", ":smile: x"),
        ("<@UOWN>\n\ndo it", "do it"),
        ("please <@UOWN> do it", "please do it"),
        ("do it, <@UOWN>", "do it,"),
        ("do it <@UOWN>!", "do it!"),
        ("<@UOWN>", ""),
        ("<@UOWN> <@UOWN> a", "a"),
        ("<@UOWN2> a", "@UOWN2 a"),
    ] {
        assert_eq!(said(text), is);
    }
}

#[test]
fn code_stays_as_it_was_written() {
    for (text, is) in [
        ("`<@UOWN> <#C1|x>`", "`<@UOWN> <#C1|x>`"),
        ("```\na &lt;b&gt;\n<!here>\n```", "```\na <b>\n<!here>\n```"),
        // Slack makes links there; nobody wrote their brackets.
        ("`curl <https://x.org>`", "`curl https://x.org`"),
        ("```ping <http://x.org|x.org>```", "```ping x.org```"),
        ("` <@U2|ada>", "` @ada"),
        ("``` <@U2|ada>", "``` @ada"),
        ("`a\n<@U2|ada>`", "`a\n@ada`"),
    ] {
        assert_eq!(said(text), is);
    }
}

#[test]
fn mentions_are_seen_outside_code() {
    assert!(mentions("a <@U1> b", "U1") && mentions("`x` <@U1|n>", "U1"));
    assert!(!mentions("`<@U1>`", "U1") && !mentions("&lt;@U1&gt;", "U1"));
}

fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        "[^<>&`]{0,12}",
        Just("<@UOWN>".to_owned()),
        Just("<@UOWN|bot>".to_owned()),
        Just("<#C1|general>".to_owned()),
        Just("<https://x.org|x>".to_owned()),
        Just("&lt;".to_owned()),
    ]
}

proptest! {
    #[test]
    fn nothing_breaks_it(text in "[<>&|@#!`^:;/UONW\n \\PC]{0,64}") {
        said(&text);
        mentions(&text, "UOWN");
    }

    #[test]
    fn our_mention_is_never_left(parts in prop::collection::vec(part(), 0..12)) {
        let text = said(&parts.concat());
        prop_assert!(!text.contains("<@UOWN"), "{text}");
    }

    #[test]
    fn plain_words_are_unchanged(text in "[^<>&]*") {
        prop_assert_eq!(said(&text), text);
    }

    #[test]
    fn what_is_escaped_is_read_again(text in "[<>&;`a-z@!|#\\PC\n]{0,64}") {
        prop_assert_eq!(said(&escape(&text)), text);
    }

    #[test]
    fn what_is_escaped_has_no_tokens(text in "\\PC*") {
        prop_assert!(!escape(&text).contains(['<', '>']));
    }
}
