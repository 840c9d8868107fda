//! The agents that come with the host.

use anchorhold_tests::TestHost;
use serde_json::json;

#[tokio::test]
async fn the_assistant_remembers_within_and_between_conversations() {
    let host = TestHost::new().plugin("assistant").start().await;
    let hello = host.ask_in("a", "assistant", "hello").await;
    assert!(
        hello.text().contains("not a language model"),
        "{}",
        hello.text()
    );
    host.ask_in("a", "assistant", "the door is green")
        .await
        .text();
    let said = host.ask_in("a", "assistant", "what did I say").await;
    assert!(said.text().contains("the door is green"), "{}", said.text());
    host.ask_in("a", "assistant", "remember that my cat is called Minka")
        .await
        .text();
    let recalled = host.ask_in("b", "assistant", "what do you remember").await;
    assert!(recalled.text().contains("Minka"), "{}", recalled.text());
}

#[tokio::test]
async fn the_assistant_streams() {
    let script = "[fallback]\ntext = \"one two three four\"\nchunk_delay_ms = 30\n";
    let host = TestHost::new()
        .plugin("assistant")
        .script(script)
        .start()
        .await;
    let events = host.ask_streaming("assistant", "hello").await;
    let pieces = events
        .iter()
        .filter(|event| event.event == "text.delta")
        .count();
    assert!(pieces > 1, "{events:?}");
    assert!(
        events.iter().all(|event| event.event != "text.reset"),
        "{events:?}"
    );
}

#[tokio::test]
async fn one_component_is_many_agents_by_configuration() {
    let script = "[[rules]]\nwhen = { system = \"pirate\" }\nreply = { text = \"Arr\" }\n[fallback]\ntext = \"Good day\"\n";
    let host = TestHost::new()
        .plugin("assistant")
        .script(script)
        .start()
        .await;
    let component = host.get("/api/v1/agents/assistant").await.body["component"].clone();
    let made = host
        .put(
            "/api/v1/agents/pirate",
            &json!({ "component": component, "config": { "prompt": "You are a pirate." } }),
        )
        .await;
    assert!(made.status < 300, "{:#}", made.body);
    assert_eq!(host.ask("pirate", "hello").await.text(), "Arr");
    assert_eq!(host.ask("assistant", "hello").await.text(), "Good day");
    assert_eq!(host.delete("/api/v1/agents/pirate").await.status / 100, 2);
    assert_eq!(host.ask("pirate", "hello").await.status, 404);
}

#[tokio::test]
async fn notes_are_kept_and_told_to_the_herald() {
    let host = TestHost::new()
        .plugin("notes")
        .plugin("herald")
        .start()
        .await;
    host.ask("notes", "add buy milk #home").await.text();
    host.ask("notes", "add call Ada").await.text();
    let list = host.ask("notes", "list").await;
    assert!(
        list.text().contains("buy milk") && list.text().contains("call Ada"),
        "{}",
        list.text()
    );
    assert!(!host.ask("notes", "list #home").await.text().contains("Ada"));
    assert!(
        host.ask("notes", "find milk")
            .await
            .text()
            .contains("buy milk")
    );
    host.wait_for("the herald's news", async || {
        host.ask("herald", "what's new")
            .await
            .text()
            .contains("milk")
            .then_some(())
    })
    .await;
}
