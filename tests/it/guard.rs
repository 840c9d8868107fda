//! What stands between agents and models besides money: schemas, answers given again, guardrails.

use anchorhold_tests::{Answer, TestHost};
use serde_json::{Value, json};

/// Answers a request for JSON wrongly, and rightly when it is told so.
const REPAIRED: &str = r#"
[[rules]]
when = { last = { contains = ["does not fit"] } }
reply = { json = { city = "Oslo" }, usage = { input = 30, output = 7 } }
[fallback]
text = "It is Oslo."
usage = { input = 10, output = 5 }
"#;

#[tokio::test]
async fn an_answer_that_does_not_fit_its_schema_is_made_to_on_one_bill() {
    let host = TestHost::new()
        .plugin("probe")
        .script(REPAIRED)
        .start()
        .await;
    let answer = host.ask("probe", "json where").await;
    assert_eq!(answer.json_text(), json!({"city": "Oslo"}));
    assert_eq!(answer.body["receipt"]["input_tokens"], 40);
    assert_eq!(answer.body["receipt"]["output_tokens"], 12);
    let usage = host.get("/api/v1/usage").await.body;
    assert_eq!(usage["items"][0]["calls"], 1, "{usage:#}");
    assert_eq!(usage["items"][0]["output_tokens"], 12, "{usage:#}");
    host.replay(&answer.turn()).await;

    let host = host
        .stop()
        .await
        .script("[fallback]\ntext = \"It is Oslo.\"\n")
        .start()
        .await;
    let refused = host.ask("probe", "json where").await;
    assert!(
        refused.text().contains("schema-mismatch"),
        "{}",
        refused.text()
    );
}

/// The keys of a rule, each with its value.
fn rule(keys: &[(&str, toml::Value)]) -> toml::Value {
    let keys = keys
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()));
    toml::Value::Table(keys.collect())
}

/// Takes personal data out of everything, and refuses a word of what comes back and all of what is
/// long.
fn rules() -> toml::Value {
    toml::Value::Array(vec![
        rule(&[
            ("name", "personal".into()),
            ("detect", vec!["email", "credit-card"].into()),
            ("action", "redact".into()),
        ]),
        rule(&[
            ("name", "owl".into()),
            ("on", "output".into()),
            ("pattern", "(?i)operation owl".into()),
            ("agents", vec!["probe"].into()),
            ("action", "refuse".into()),
        ]),
        rule(&[
            ("name", "short".into()),
            ("on", "input".into()),
            ("max_bytes", 200.into()),
            ("action", "refuse".into()),
        ]),
    ])
}

const CHATTY: &str = r#"
[[rules]]
when = { last = { contains = ["owl"] } }
reply = { text = "It is called Operation Owl.", chunk = 1 }
[[rules]]
when = { last = { contains = ["contact"] } }
reply = { text = "Write to ann@example.com, card 4111 1111 1111 1111.", chunk = 1 }
[fallback]
text = "You said {last}"
"#;

#[tokio::test]
async fn what_a_guardrail_finds_reaches_neither_models_nor_people() {
    let host = TestHost::new()
        .plugin("probe")
        .plugin_as("probe", "other")
        .script(CHATTY)
        .set("guardrails", rules())
        .start()
        .await;
    // In what is sent.
    let answer = host.ask("probe", "generate I am bob@example.com").await;
    assert_eq!(answer.json_text()["text"], "You said I am [email]");
    // In what comes back, however it is read.
    let shown = "Write to [email], card [credit-card].";
    let whole = host.ask("probe", "generate contact").await;
    assert_eq!(whole.json_text()["text"], shown);
    let read = host.ask("probe", "stream contact").await;
    assert_eq!(read.json_text()["text"], shown);
    let mut seen = String::new();
    for event in host.ask_streaming("probe", "forward contact").await {
        assert!(!event.data.to_string().contains("ann@"), "{event:?}");
        if event.event == "text.delta" {
            seen.push_str(event.data["text"].as_str().unwrap());
        }
    }
    assert_eq!(seen, shown);
    // The journal has what the guest saw.
    let journal = host.journal(&whole.turn()).await;
    assert!(!format!("{journal:?}").contains("ann@"), "{journal:?}");
    assert_eq!(host.replay(&whole.turn()).await.body["same"], true);
}

#[tokio::test]
async fn a_refusal_names_the_rule_is_counted_and_is_for_its_agents() {
    let host = TestHost::new()
        .plugin("probe")
        .plugin_as("probe", "other")
        .script(CHATTY)
        .set("guardrails", rules())
        .start()
        .await;
    for command in ["generate owl", "stream owl", "forward owl"] {
        let refused = host.ask("probe", command).await;
        let said = refused.text();
        assert!(
            said.contains("content-filtered") && said.contains("\"owl\""),
            "{said}"
        );
        assert!(!said.contains("Operation"), "{said}");
    }
    let answer = host.ask("other", "generate owl").await;
    assert_eq!(answer.json_text()["text"], "It is called Operation Owl.");
    for command in ["generate", "stream", "embed"] {
        let long = format!("{command} {}", "x".repeat(201));
        let refused = host.ask("probe", &long).await;
        assert!(refused.text().contains("\"short\""), "{}", refused.text());
    }
    let metrics = host.get("/metrics").await;
    let counted = "anchorhold_guardrail_total{rule=\"owl\",action=\"refuse\"} 3";
    assert!(
        metrics
            .body
            .to_string()
            .replace("\\\"", "\"")
            .contains(counted),
        "{:#}",
        metrics.body
    );
    assert!(!host.log().contains("Operation"), "the log has content");
    let budgets = host.get("/api/v1/budgets").await.body;
    for budget in budgets["items"].as_array().unwrap() {
        assert_eq!(budget["reserved"]["tokens"], 0, "{budgets:#}");
    }
}

#[tokio::test]
async fn a_rule_that_cannot_work_keeps_the_host_from_starting() {
    for (key, value) in [("pattern", "("), ("pattern", "a*")] {
        let wrong = rule(&[
            ("name", "wrong".into()),
            (key, value.into()),
            ("action", "redact".into()),
        ]);
        let host = TestHost::new().set("guardrails", toml::Value::Array(vec![wrong]));
        let (_, said) = host.start_fails().await;
        assert!(
            said.contains("guardrails") && said.contains("wrong"),
            "{said}"
        );
    }
}

/// A rule that a component decides.
fn by(component: &str, more: &[(&str, toml::Value)]) -> toml::Value {
    let mut keys = vec![("name", "checked".into()), ("component", component.into())];
    keys.extend_from_slice(more);
    toml::Value::Array(vec![rule(&keys)])
}

const WORDS: &str = r#"
[config]
refuse = ["operation owl"]
redact = ["ann@example.com", "bob"]
instead = "[x]"
"#;

fn with_words() -> anchorhold_tests::HostBuilder {
    let manifest = include_str!("../../plugins/wordlist/wordlist.toml");
    let (manifest, _) = manifest.split_once("[config]").unwrap();
    TestHost::new()
        .plugin("probe")
        .plugin("wordlist")
        .manifest("wordlist", &format!("{manifest}{WORDS}"))
        .script(CHATTY)
        .set("guardrails", by("wordlist", &[]))
}

#[tokio::test]
async fn a_component_redacts_and_refuses_what_is_said_to_models_and_by_them() {
    let host = with_words().start().await;
    let answer = host.ask("probe", "generate I am Bob").await;
    assert_eq!(answer.json_text()["text"], "You said I am [x]");
    // However the answer is read, and nothing before it was looked at.
    let shown = "Write to [x], card 4111 1111 1111 1111.";
    for command in ["generate contact", "stream contact"] {
        let answer = host.ask("probe", command).await;
        assert_eq!(answer.json_text()["text"], shown);
    }
    let mut seen = String::new();
    for event in host.ask_streaming("probe", "forward contact").await {
        if event.event == "text.delta" {
            seen.push_str(event.data["text"].as_str().unwrap());
        }
    }
    assert_eq!(seen, shown);
    for command in ["generate owl", "stream owl", "forward owl"] {
        let events = host.ask_streaming("probe", command).await;
        let all = format!("{events:?}");
        assert!(all.contains("content-filtered"), "{all}");
        assert!(!all.contains("Operation"), "{all}");
    }
    let log = host.log();
    assert!(log.contains("it has the word"), "{log}");
    assert!(counted(&host, "refuse", 3).await);
}

async fn counted(host: &TestHost, action: &str, times: u32) -> bool {
    let metrics = host.get("/metrics").await.body.to_string();
    let line =
        format!("anchorhold_guardrail_total{{rule=\"checked\",action=\"{action}\"}} {times}");
    metrics.replace("\\\"", "\"").contains(&line)
}

#[tokio::test]
async fn a_component_that_fails_lets_nothing_pass_and_the_log_says_why() {
    let host = TestHost::new()
        .plugin("probe")
        .plugin("warden")
        .script(CHATTY)
        .set("guardrails", by("warden", &[("on", "input".into())]))
        .start()
        .await;
    let passed = host.ask("probe", "generate hello").await;
    assert_eq!(passed.json_text()["text"], "You said HELLO");
    let told = [
        ("trap", "Trap"),
        ("loop", "OutOfFuel"),
        ("memory", "MemoryLimit"),
        ("error", "AgentError"),
        ("few", "it answered 0 texts in the place of 1"),
    ];
    for (at, (word, why)) in (1..).zip(told) {
        let said = host.ask("probe", &format!("generate {word}")).await;
        let said = said.text();
        assert!(said.contains("content-filtered"), "{word}: {said}");
        assert!(said.contains("could not look"), "{word}: {said}");
        let log = host.log();
        assert!(log.contains(why), "{word}: {log}");
        assert!(counted(&host, "failed", at).await, "{word}");
    }
    // It is lent nothing by which it could be asked itself.
    let refused = host.ask("probe", "generate lend").await;
    assert!(
        refused.text().contains("does not let"),
        "{}",
        refused.text()
    );
    let log = host.log();
    for lent in ["llm Some", "state Some", "events Some"] {
        let denied = format!("{lent}(ErrorKind::Denied)");
        assert!(log.contains(&denied), "{log}");
    }
    assert!(log.contains("reply true"), "{log}");
}

#[tokio::test]
async fn a_component_has_so_much_time() {
    let host = TestHost::new()
        .plugin("probe")
        .plugin("warden")
        .manifest("warden", "name = 'warden'\n[limits]\nwall_ms = 50\n")
        .script(CHATTY)
        .set("guardrails", by("warden", &[("on", "input".into())]))
        .start()
        .await;
    let said = host.ask("probe", "generate loop").await;
    assert!(said.text().contains("could not look"), "{}", said.text());
    assert!(host.log().contains("Deadline"), "{}", host.log());
}

#[tokio::test]
async fn a_component_that_is_not_there_lets_nothing_pass_until_it_is() {
    for (component, why) in [
        ("warden", "There is no agent \\\"warden\\\""),
        ("probe", "does not export \\\"guardrail\\\""),
    ] {
        let host = TestHost::new()
            .plugin("probe")
            .script(CHATTY)
            .set("guardrails", by(component, &[("on", "output".into())]))
            .start()
            .await;
        let said = host.ask("probe", "generate hello").await;
        assert!(said.text().contains("could not look"), "{}", said.text());
        let log = host.log();
        assert!(
            log.replace("\\\"", "\"")
                .contains(&why.replace("\\\"", "\"")),
            "{log}"
        );
    }
}

#[tokio::test]
async fn a_replay_and_what_is_given_again_ask_no_component() {
    let host = with_words().start().await;
    let answer = say(&host, "ann", "probe", "cached contact").await;
    let shown = "Write to [x], card 4111 1111 1111 1111.";
    assert_eq!(answer.json_text()["text"], shown);
    let again = say(&host, "ann", "probe", "cached contact").await;
    assert_eq!(again.json_text()["cached"], false, "another conversation");
    let journal = format!("{:?}", host.journal(&answer.turn()).await);
    assert!(
        journal.contains("[x]") && !journal.contains("ann@"),
        "{journal}"
    );
    let folder = host.plugins_dir();
    std::fs::remove_file(folder.join("wordlist.wasm")).unwrap();
    host.wait_for("the guardrail to be gone", async || {
        let said = host.ask("probe", "generate contact").await;
        said.text().contains("could not look").then_some(())
    })
    .await;
    let replayed = host.replay(&answer.turn()).await;
    assert_eq!(replayed.body["same"], true, "{:#}", replayed.body);
}

#[tokio::test]
async fn a_component_takes_no_action() {
    for (more, part) in [
        (&[("action", "redact".into())][..], "take out its action"),
        (&[("pattern", "a".into())][..], "has one of"),
    ] {
        let host = TestHost::new().set("guardrails", by("wordlist", more));
        let (_, said) = host.start_fails().await;
        assert!(said.contains("checked") && said.contains(part), "{said}");
    }
}

const TALK: &str = "[fallback]\ntext = \"You said {last}\"\nusage = { input = 7, output = 5 }\n";

async fn say(host: &TestHost, user: &str, agent: &str, text: &str) -> Answer {
    let path = format!("/api/v1/agents/{agent}/messages");
    let body = json!({ "text": text, "user": user });
    host.post(&path, &body).await
}

async fn is_cached(host: &TestHost, user: &str, agent: &str, text: &str) -> bool {
    let answer = say(host, user, agent, text).await.json_text();
    let last = text.split_once(' ').unwrap().1;
    assert_eq!(answer["text"], format!("You said {last}"));
    let is_cached = answer["cached"].as_bool().unwrap();
    assert_eq!(answer["attempts"], if is_cached { 0 } else { 1 });
    is_cached
}

#[tokio::test]
async fn an_answer_is_given_again_to_whom_it_belongs_and_to_nobody_else() {
    let host = TestHost::new()
        .plugin("probe")
        .plugin_as("probe", "other")
        .script(TALK)
        .start()
        .await;
    for (user, agent, text, cached) in [
        ("ann", "probe", "generate a", false),
        // Nobody wanted to have that again.
        ("ann", "probe", "cached a", false),
        ("ann", "probe", "cached a", true),
        ("ann", "probe", "generate a", false),
        ("ann", "probe", "cached b", false),
        ("bob", "probe", "cached a", false),
        ("bob", "probe", "cached a", true),
        ("ann", "other", "cached a", false),
        // Nor is what was made for one person everyone's.
        ("ann", "probe", "shared a", false),
        ("bob", "probe", "shared a", true),
        ("bob", "other", "shared a", false),
    ] {
        let given_again = is_cached(&host, user, agent, text).await;
        assert_eq!(given_again, cached, "{user} {agent} {text}");
    }
}

#[tokio::test]
async fn what_is_given_again_is_free_survives_a_restart_and_is_replayed_from_the_journal() {
    let host = TestHost::new().plugin("probe").script(TALK).start().await;
    say(&host, "ann", "probe", "cached a").await.text();
    let budget = json!({"window": "day", "requests": 1});
    let set = host.put("/api/v1/budgets/agent:probe", &budget).await;
    assert_eq!(set.status, 200);
    let host = host.crash().await.start().await;
    let again = say(&host, "ann", "probe", "cached a").await;
    assert_eq!(again.json_text()["cached"], true);
    let receipt = &again.body["receipt"];
    assert_eq!(receipt["input_tokens"], 0, "{receipt:#}");
    assert_eq!(receipt["cost_micro_usd"], 0, "{receipt:#}");
    let refused = say(&host, "ann", "probe", "cached new").await;
    assert!(refused.text().contains("budget-exceeded"));
    let budgets = host.get("/api/v1/budgets").await.body;
    let items = budgets["items"].as_array().unwrap();
    let budget = items.iter().find(|budget| budget["scope"] == "agent:probe");
    assert_eq!(budget.unwrap()["used"]["requests"], 1, "{budgets:#}");
    let replayed = host.replay(&again.turn()).await;
    assert_eq!(replayed.status, 200);
    assert_eq!(replayed.body["same"], true, "{:#}", replayed.body);
}

#[tokio::test]
async fn the_cache_keeps_as_many_as_it_is_told() {
    let host = TestHost::new()
        .plugin("probe")
        .script(TALK)
        .set("llm.cache.max_entries", 1)
        .start()
        .await;
    for (text, cached) in [
        ("cached a", false),
        ("cached a", true),
        ("cached b", false),
        ("cached a", false),
    ] {
        assert_eq!(
            is_cached(&host, "ann", "probe", text).await,
            cached,
            "{text}"
        );
    }
    let host = host.stop().await.set("llm.cache.ttl_s", 0).start().await;
    assert!(!is_cached(&host, "ann", "probe", "cached a").await);
}

#[tokio::test]
async fn what_was_cut_off_is_not_kept() {
    let host = TestHost::new()
        .plugin("probe")
        .script(TALK)
        .set("llm.max_output_tokens", 1)
        .start()
        .await;
    for _ in 0..2 {
        let answer: Value = say(&host, "ann", "probe", "cached long").await.json_text();
        assert_eq!(
            (&answer["finish"], &answer["cached"]),
            (&json!("length"), &json!(false))
        );
    }
}
