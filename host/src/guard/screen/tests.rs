//! What comes in pieces is what comes whole, and what a rule finds is never shown.

use proptest::prelude::*;

use super::super::{Guards, Whose};
use super::*;
use crate::config::{Action, Detector, Guardrail, On};

fn rule(name: &str, action: Action) -> Guardrail {
    Guardrail {
        name: name.to_owned(),
        on: On::Both,
        agents: Vec::new(),
        pattern: None,
        detect: Vec::new(),
        max_bytes: None,
        component: None,
        action: Some(action),
    }
}

fn pattern(name: &str, pattern: &str, action: Action) -> Guardrail {
    Guardrail {
        pattern: Some(pattern.to_owned()),
        ..rule(name, action)
    }
}

fn detect(detect: &[Detector]) -> Guardrail {
    Guardrail {
        detect: detect.to_vec(),
        ..rule("personal", Action::Redact)
    }
}

fn screen(rules: &[Guardrail]) -> Screen {
    Guards::new(rules)
        .unwrap()
        .of(Whose::default())
        .pattern_screen()
}

fn whole(rules: &[Guardrail], text: &str) -> String {
    screen(rules).whole(text).unwrap()
}

const ALL: [Detector; 8] = [
    Detector::Email,
    Detector::Phone,
    Detector::CreditCard,
    Detector::Iban,
    Detector::Ipv4,
    Detector::UsSsn,
    Detector::ApiKey,
    Detector::PrivateKey,
];

#[test]
fn what_has_a_form_is_found() {
    let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIBOgIBAAJB\nAKj3\n-----END RSA PRIVATE KEY-----";
    for (text, shown) in [
        ("write to ann.b+c@mail.example.com.", "write to [email]."),
        ("call +49 (0) 30 1234567 now", "call [phone] now"),
        ("call (212) 555-0123 now", "call [phone] now"),
        ("4111 1111 1111 1111", "[credit-card]"),
        ("4111-1111-1111-1111 12", "[credit-card] 12"),
        ("DE89 3704 0044 0532 0130 00!", "[iban]!"),
        ("GB82WEST12345698765432 and", "[iban] and"),
        ("at 192.168.0.12:80", "at [ipv4]:80"),
        ("123-45-6789", "[us-ssn]"),
        ("sk-proj-abcdefghijklmnopqrstuv", "[api-key]"),
        ("AKIAIOSFODNN7EXAMPLE", "[api-key]"),
        (key, "[private-key]"),
    ] {
        assert_eq!(whole(&[detect(&ALL)], text), shown);
    }
}

#[test]
fn what_only_looks_like_it_is_not() {
    for text in [
        "4111 1111 1111 1112",
        "on 2026-11-23 at 10:15, 1.2.3",
        "DE00 3704 0044 0532 0130 00",
        "000-12-3456 and 666-12-3456 and 912-12-3456",
        "256.1.1.1",
        "user@localhost",
        "1700000000000",
        "sk-short",
    ] {
        assert_eq!(whole(&[detect(&ALL)], text), text);
    }
}

#[test]
fn a_rule_with_a_pattern_says_its_own_name() {
    let rules = [pattern("project", "(?i)operation [a-z]+", Action::Redact)];
    assert_eq!(whole(&rules, "for Operation Owl."), "for [project].");
}

#[test]
fn a_refusal_names_the_rule_and_never_the_content() {
    let rules = [pattern("project", "owl", Action::Refuse)];
    let refusal = screen(&rules).whole("an owl").unwrap_err();
    let error = crate::runtime::bindings::llm::Error::from(refusal);
    assert!(error.message.contains("\"project\""), "{}", error.message);
    assert!(!error.message.contains("owl"));
}

#[test]
fn nothing_of_a_match_is_shown_before_all_of_it_came() {
    let mut screen = screen(&[detect(&[Detector::ApiKey])]);
    let mut shown = String::new();
    for piece in ["x".repeat(5_000).as_str(), " sk-", &"a".repeat(40), " rest"] {
        shown.push_str(&screen.push(piece).unwrap());
        assert!(!shown.contains("sk-"), "{shown}");
    }
    shown.push_str(&screen.end().unwrap());
    assert_eq!(shown, format!("{} [api-key] rest", "x".repeat(5_000)));
}

#[test]
fn what_is_held_back_is_bounded() {
    let mut screen = screen(&[pattern("long", "a.*b", Action::Redact)]);
    let shown = screen.push(&"a".repeat(100_000)).unwrap();
    assert!(shown.len() > 100_000 - 1_200, "{}", shown.len());
}

#[test]
fn a_match_without_end_is_cut() {
    let rules = [pattern("long", "<.*>", Action::Redact)];
    let short = format!("<{}>", "x".repeat(900));
    assert_eq!(whole(&rules, &short), "[long]");
    let far = format!("<{}>", "x".repeat(9_000));
    assert_eq!(whole(&rules, &far), far);
}

#[test]
fn a_text_has_at_most_so_many_bytes() {
    let rules = [Guardrail {
        max_bytes: Some(10),
        ..rule("short", Action::Refuse)
    }];
    let mut screen = screen(&rules);
    screen.push("12345").unwrap();
    screen.push("12345").unwrap();
    screen.push("1").unwrap_err();
}

#[test]
fn what_cannot_work_is_refused_at_the_start() {
    for wrong in ["(", "a*", "", "\\b", "(?:a{1000}){1000}"] {
        assert!(
            Guards::new(&[pattern("x", wrong, Action::Redact)]).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn rules_are_for_their_agents_and_their_side() {
    let rules = [Guardrail {
        agents: vec!["notes".to_owned()],
        on: On::Input,
        ..detect(&ALL)
    }];
    let guards = Guards::new(&rules).unwrap();
    let of = |agent: &str| {
        guards.of(Whose {
            agent: agent.to_owned(),
            ..Whose::default()
        })
    };
    assert!(of("notes").looks_at_input() && of("notes").screen("default").is_none());
    assert!(!of("other").looks_at_input());
}

/// Texts in which much is found.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("ann@example.com".to_owned()),
        Just("4111 1111 1111 1111".to_owned()),
        Just("sk-abcdefghijklmnopqrstuvwx".to_owned()),
        Just("+49 30 1234567".to_owned()),
        Just("secret".to_owned()),
        Just("<open".to_owned()),
        Just(">".to_owned()),
        "[a-z0-9 @.äß€-]{0,40}",
        "[a-z]{100,400}",
    ];
    proptest::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn pieces_come_to_the_same_as_the_whole(
        text in texts(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..30),
    ) {
        let rules = [
            detect(&ALL[..7]),
            pattern("word", "(?i)\\bsecret\\b", Action::Redact),
            pattern("angle", "<.*?>", Action::Redact),
        ];
        let mut cuts: Vec<usize> = cuts
            .iter()
            .map(|cut| text.floor_char_boundary(cut.index(text.len() + 1)))
            .collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let mut screen = screen(&rules);
        let mut shown = String::new();
        for cut in cuts.windows(2) {
            shown.push_str(&screen.push(&text[cut[0]..cut[1]]).unwrap());
        }
        shown.push_str(&screen.end().unwrap());
        prop_assert_eq!(shown, whole(&rules, &text));
    }

    #[test]
    fn the_whole_is_what_replacing_all_makes_of_it(text in texts()) {
        let rules = [pattern("word", "(?i)\\bsecret\\b|[0-9]{4}", Action::Redact)];
        let regex = regex::Regex::new("(?i)\\bsecret\\b|[0-9]{4}").unwrap();
        prop_assert_eq!(whole(&rules, &text), regex.replace_all(&text, "[word]"));
    }

    #[test]
    fn what_was_refused_was_never_shown(text in texts()) {
        let mut screen = screen(&[pattern("word", "secret", Action::Refuse)]);
        let mut shown = String::new();
        let refused = text.chars().try_for_each(|c| {
            shown.push_str(&screen.push(&c.to_string())?);
            Ok::<_, Refusal>(())
        });
        let refused = refused.and_then(|()| screen.end().map(|rest| shown.push_str(&rest)));
        prop_assert_eq!(refused.is_err(), text.contains("secret"));
        prop_assert!(!shown.contains("secret"));
    }
}
