//! What grants allow, and what is said where they do not.

use proptest::prelude::*;

use super::*;

fn manifest(wants: &str) -> Manifest {
    Manifest::parse(&format!("[wants]\n{wants}")).unwrap()
}

fn grants(wants: &str, granted: &[&str]) -> Grants {
    let granted: Vec<String> = granted.iter().map(|grant| (*grant).to_owned()).collect();
    Grants::new(&manifest(wants), Some(&granted), &[]).unwrap()
}

const ALL: &str = r#"
    llm = "x"
    models = ["default", "fast"]
    database = "x"
    state = "x"
    events = "x"
    topics = ["note.*"]
    http = "x"
    hosts = ["api.example.com", "*.example.org"]
    secrets = ["token"]
"#;

#[test]
fn both_sides_are_needed() {
    let wide = ["llm", "database", "state", "events", "http", "secret"];
    for (grant, wanted) in [
        (Grant::Llm("default"), true),
        (Grant::Llm("fast"), true),
        (Grant::Llm("dear"), false),
        (Grant::Database, true),
        (Grant::State, true),
        (Grant::Events("note.added"), true),
        (Grant::Events("other"), false),
        (Grant::Http("api.example.com"), true),
        (Grant::Http("API.Example.com."), true),
        (Grant::Http("example.com"), false),
        (Grant::Http("a.b.example.org"), true),
        (Grant::Http("example.org"), false),
        (Grant::Http("evilexample.org"), false),
        (Grant::Http("api.example.com.evil.net"), false),
        (Grant::Secret("token"), true),
        (Grant::Secret("other"), false),
    ] {
        assert_eq!(grants(ALL, &wide).allows(grant), wanted, "{}", grant.name());
        assert!(!grants(ALL, &[]).allows(grant), "{}", grant.name());
        assert!(!grants("", &wide).allows(grant), "{}", grant.name());
    }
}

#[test]
fn a_grant_can_be_narrower_than_the_want() {
    let grants = grants(
        ALL,
        &["http:a.example.org", "events:note.added", "llm:fast"],
    );
    assert!(grants.allows(Grant::Http("a.example.org")));
    assert!(!grants.allows(Grant::Http("b.example.org")));
    assert!(!grants.allows(Grant::Events("note.removed")));
    assert_eq!(
        grants.effective(),
        ["events:note.added", "http:a.example.org", "llm:fast"]
    );
    let missing: Vec<String> = grants.missing("a").into_iter().map(|m| m.grant).collect();
    assert_eq!(
        missing,
        [
            "llm:default",
            "database",
            "state",
            "events:note.*",
            "http:api.example.com",
            "http:*.example.org",
            "secret:token"
        ]
    );
}

#[test]
fn a_refusal_says_who_changes_what() {
    let defaults = Grants::new(&manifest(ALL), None, &["llm".to_owned()]).unwrap();
    assert_eq!(
        defaults.refusal("notes", Grant::Http("api.example.com")),
        "agent notes lacks the grant http:api.example.com: the operator has not granted it; \
         add \"http:api.example.com\" to [registry] default_grants in anchorhold.toml, \
         or run: anchorhold agents grant notes http:api.example.com"
    );
    assert_eq!(
        grants(ALL, &[]).refusal("notes", Grant::State),
        "agent notes lacks the grant state: the operator has not granted it to this agent; \
         run: anchorhold agents grant notes state"
    );
    assert_eq!(
        defaults.refusal("notes", Grant::Events("other")),
        "agent notes lacks the grant events:other: its manifest does not want it; \
         its author adds events = \"why\" and topics = [\"other\"] below [wants]"
    );
}

#[test]
fn lists_without_entries_are_the_default_model_and_any_topic() {
    let grants = grants("llm = 'x'\nevents = 'x'", &["llm", "events:**"]);
    assert!(grants.allows(Grant::Llm("default")));
    assert!(!grants.allows(Grant::Llm("fast")));
    assert!(grants.allows(Grant::Events("any.thing")));
    assert_eq!(grants.effective(), ["events", "llm:default"]);
}

#[test]
fn a_star_is_any_model_or_host() {
    let grants = grants(
        "llm = 'x'\nmodels = ['*']\nhttp = 'x'\nhosts = ['*']",
        &["llm:*", "http:*"],
    );
    assert!(grants.allows(Grant::Llm("dear")));
    assert!(grants.allows(Grant::Http("example.net")));
    assert_eq!(grants.missing("a"), []);
}

#[test]
fn what_is_no_grant_is_an_error() {
    for bad in [
        "",
        "lmm",
        "llm:",
        "llm:a b",
        "database:x",
        "state:",
        "http:",
        "http:https://a.b",
        "http:a.b:80",
        "http:a.b/c",
        "http:*.*.b",
        "http:a*.b",
        "http:.b",
        "events:Note",
        "events:",
        "secret:",
        "sockets",
    ] {
        let error = parse_grants(&[bad.to_owned()]).unwrap_err().to_string();
        assert!(error.contains("is not a grant"), "{bad}: {error}");
    }
    for good in [
        "http:127.0.0.1",
        "http:[::1]",
        "http:Example.com",
        "events:a.**",
        "secret:x",
    ] {
        parse_grants(&[good.to_owned()]).unwrap();
    }
}

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned)
}

fn topic() -> impl Strategy<Value = String> {
    prop::collection::vec(word(), 1..5).prop_map(|words| words.join("."))
}

fn pattern() -> impl Strategy<Value = String> {
    let part = prop_oneof![3 => word(), 1 => Just("*".to_owned())];
    (prop::collection::vec(part, 0..4), any::<bool>()).prop_map(|(mut words, rest)| {
        if rest || words.is_empty() {
            words.push("**".to_owned());
        }
        words.join(".")
    })
}

fn host_pattern() -> impl Strategy<Value = String> {
    (topic(), any::<bool>()).prop_map(|(host, star)| if star { format!("*.{host}") } else { host })
}

fn permit() -> impl Strategy<Value = Permit> {
    prop_oneof![
        prop::option::of(word()).prop_map(Permit::Llm),
        Just(Permit::Database),
        Just(Permit::State),
        prop::option::of(pattern()).prop_map(Permit::Events),
        prop::option::of(host_pattern()).prop_map(Permit::Http),
        prop::option::of(word()).prop_map(Permit::Secret),
    ]
}

proptest! {
    #[test]
    fn a_permit_that_covers_another_allows_what_that_allows(
        ours in permit(), theirs in permit(), part in topic(), name in word(),
    ) {
        for grant in [
            Grant::Llm(&name), Grant::Database, Grant::State,
            Grant::Events(&part), Grant::Http(&part), Grant::Secret(&name),
        ] {
            if ours.covers(&theirs) && theirs.allows(grant) {
                prop_assert!(ours.allows(grant), "{ours} covers {theirs}, not {}", grant.name());
            }
        }
        prop_assert!(ours.covers(&ours));
    }

    #[test]
    fn a_permit_reads_back_as_it_is_written(permit in permit()) {
        prop_assert_eq!(permit.to_string().parse::<Permit>().unwrap(), permit);
    }

    #[test]
    fn a_host_below_ends_in_a_dot_and_the_name(host in topic(), name in topic()) {
        let permit: Permit = format!("http:*.{name}").parse().unwrap();
        prop_assert_eq!(
            permit.allows(Grant::Http(&host)),
            host.ends_with(&format!(".{name}"))
        );
    }

    #[test]
    fn nothing_is_allowed_that_one_side_lacks(
        ours in prop::collection::vec(permit(), 0..4), part in topic(),
    ) {
        let granted: Vec<String> = ours.iter().map(ToString::to_string).collect();
        let grants = Grants::new(&manifest(ALL), Some(&granted), &[]).unwrap();
        for grant in [Grant::Llm(&part), Grant::Events(&part), Grant::Http(&part), Grant::State] {
            let granted = ours.iter().any(|permit| permit.allows(grant));
            let wanted = wanted(&manifest(ALL)).iter().any(|permit| permit.allows(grant));
            prop_assert_eq!(grants.allows(grant), granted && wanted);
        }
    }

    #[test]
    fn reading_a_grant_never_panics(text in ".*") {
        let _ = text.parse::<Permit>();
    }
}
