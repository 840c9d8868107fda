//! A guardrail: looks for words and phrases, in any case, and refuses or redacts them.

use anchorhold_agent::guardrail::{Passage, Verdict};
use anchorhold_agent::{Guardrail, Result, config};

anchorhold_agent::manifest!("wordlist.toml");
anchorhold_agent::export!(Wordlist: Guardrail);

struct Wordlist;

impl Guardrail for Wordlist {
    fn check(passage: Passage) -> Result<Verdict> {
        let refused: Vec<String> = config::get_or("refuse", Vec::new())?;
        let redacted: Vec<String> = config::get_or("redact", Vec::new())?;
        let instead = config::get_or("instead", String::from("[…]"))?;
        let mut texts = passage.pieces.iter().map(|piece| piece.text.as_str());
        if let Some(word) = texts.find_map(|text| first_of(&refused, text)) {
            return Ok(Verdict::Refuse(format!("it has the word {word:?}")));
        }
        Ok(passage.replace(|piece| without(&redacted, &piece.text, &instead)))
    }
}

/// The first of the words that a text has.
fn first_of<'a>(words: &'a [String], text: &str) -> Option<&'a str> {
    let mut words = words.iter().map(String::as_str);
    words.find(|word| find(text, word, 0).is_some())
}

/// The text without the words; none where it has none of them.
fn without(words: &[String], text: &str, instead: &str) -> Option<String> {
    let mut shown = String::new();
    let mut rest = 0;
    let next = |from| {
        let found = words.iter().filter_map(|word| find(text, word, from));
        found.min_by_key(|(start, end)| (*start, usize::MAX - end))
    };
    while let Some((start, end)) = next(rest) {
        shown.push_str(&text[rest..start]);
        shown.push_str(instead);
        rest = end;
    }
    shown.push_str(&text[rest..]);
    (rest > 0).then_some(shown)
}

/// Where a text has a word from `from` on, as a word of its own.
fn find(text: &str, word: &str, from: usize) -> Option<(usize, usize)> {
    let is_inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let places = text[from..].char_indices().map(|(at, _)| from + at);
    places
        .filter(|at| !is_inside(text[..*at].chars().next_back()))
        .filter_map(|at| Some((at, at + begins_with(&text[at..], word)?)))
        .find(|(_, end)| !is_inside(text[*end..].chars().next()))
}

/// How many bytes of a text are the word, in any case, if it begins with it.
fn begins_with(text: &str, word: &str) -> Option<usize> {
    let mut rest = text.chars();
    for wanted in word.chars() {
        if !wanted.to_lowercase().eq(rest.next()?.to_lowercase()) {
            return None;
        }
    }
    (!word.is_empty()).then(|| text.len() - rest.as_str().len())
}

#[cfg(test)]
mod tests {
    use anchorhold_agent::guardrail::{Stage, Verdict};
    use anchorhold_agent::testing::{Host, passage};

    use super::*;

    fn check(texts: &[&str]) -> Verdict {
        let _host = Host::new()
            .config("refuse", ["Operation Owl", "ß"])
            .config("redact", ["Zeus", "zeus two", "Ärger"])
            .config("instead", "[x]");
        Wordlist::check(passage(Stage::Input, texts)).unwrap()
    }

    #[test]
    fn words_are_found_in_any_case_and_only_whole() {
        let shown = ["of [x] and [x]: [x]", "zeuses, xzeus"].map(String::from);
        assert_eq!(
            check(&["of ZEUS and zeus Two: ärger", "zeuses, xzeus"]),
            Verdict::Redact(vec![shown[0].clone(), shown[1].clone()])
        );
        assert_eq!(check(&["nothing", ""]), Verdict::Allow);
    }

    #[test]
    fn one_word_refuses_all() {
        let Verdict::Refuse(reason) = check(&["Zeus", "the operation OWL!"]) else {
            panic!("it passes");
        };
        assert_eq!(reason, "it has the word \"Operation Owl\"");
    }

    #[test]
    fn the_manifest_looks_for_nothing() {
        let _host = Host::new();
        let passage = passage(Stage::Output, &["any text"]);
        assert_eq!(Wordlist::check(passage).unwrap(), Verdict::Allow);
        assert!(MANIFEST.contains("refuse = []"));
    }
}
