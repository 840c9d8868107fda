//! Agents in JavaScript and Python against the contract: one table drives both.

use anchorhold_tests::TestHost;

const SCRIPT: &str = r#"
[[rules]]
when = { last = { contains = ["weather"] } }
reply = { tool_calls = [{ name = "weather", arguments = { city = "Oslo" } }] }

[fallback]
text = "You said {last}"
"#;

/// Command and answer; `None` where the answer is not fixed.
const TABLE: &[(&str, Option<&str>)] = &[
    ("echo hello", Some("hello")),
    ("config nothing", Some("unset")),
    ("state get agent k", Some("unset")),
    ("state set agent k one", Some("ok")),
    ("state get agent k", Some("one")),
    ("state cas agent k - two", Some("error conflict")),
    ("sql execute CREATE TABLE t (a)", None),
    ("sql execute INSERT INTO t VALUES (7)", Some("1")),
    ("sql query SELECT a FROM t", Some("[[7]]")),
    ("publish probe.x {\"a\":1}", Some("published")),
    ("publish Bad {}", None),
    ("generate hi", Some("You said hi")),
    ("stream hi", Some("You said hi|ok")),
    ("forward hi", Some("You said hi")),
    ("tool weather", None),
    ("send a;;b", Some("ab")),
    ("log hello", Some("logged")),
    ("exact-integers", None),
    ("unicode", None),
    ("http GET https://example.com/", Some("error denied")),
    ("denied", None),
];

async fn speaks_the_contract(language: &str) {
    let host = TestHost::new()
        .plugin(language)
        .script(SCRIPT)
        .start()
        .await;
    host.wait_for_version(language, 1).await;
    for (text, expected) in TABLE {
        let answer = host.ask(language, text).await;
        if let Some(expected) = expected {
            assert_eq!(answer.text(), *expected, "{language}: {text}");
        } else {
            assert!(!answer.text().is_empty(), "{language}: {text}");
        }
        let replayed = host.replay(&answer.turn()).await;
        assert_eq!(
            replayed.body["same"], true,
            "{language}: {text}: {:#}",
            replayed.body
        );
    }
    let failed = host.ask(language, "error conflict no").await;
    assert_eq!(
        (failed.status, failed.code()),
        (502, "agent-error"),
        "{:#}",
        failed.body
    );
    assert_eq!(failed.detail(), "no");
    host.ask_in("t", language, "echo one").await.text();
    assert_eq!(
        host.ask_in("t", language, "history").await.text(),
        "echo one|one"
    );
    assert!(
        host.ask(language, "tool weather")
            .await
            .text()
            .starts_with("weather ")
    );
    assert!(host.ask(language, "denied").await.text().contains("http:"));
}

#[tokio::test]
async fn javascript() {
    speaks_the_contract("javascript").await;
}

#[tokio::test]
async fn python() {
    speaks_the_contract("python").await;
}
