//! Scripts, and the one that comes with the program.

use serde_json::json;

use crate::guard::Guard;
use crate::llm::tests::support::{ask, gateway, message, say, text_of};
use crate::runtime::bindings::types::{ToolCall, ToolDefinition};
use wire::{ContentPart, ErrorKind, FinishReason, Role};

use super::*;

fn with_tools(texts: &[&str]) -> wire::Request {
    let tool = |name: &str| ToolDefinition {
        name: name.into(),
        description: None,
        input_schema_json: "{}".into(),
        strict: false,
    };
    wire::Request {
        tools: vec![tool("remember"), tool("recall")],
        ..say(texts)
    }
}

fn calls(response: &wire::Response) -> Vec<ToolCall> {
    let parts = response.content.iter().filter_map(|part| match part {
        ContentPart::ToolCall(call) => Some(call.clone()),
        _ => None,
    });
    parts.collect()
}

fn answered(mut request: wire::Request, call: &ToolCall, result: &str) -> wire::Request {
    request.messages.push(wire::PromptMessage {
        content: vec![ContentPart::ToolCall(call.clone())],
        ..message(Role::Assistant, "")
    });
    request.messages.push(wire::PromptMessage {
        content: vec![ContentPart::ToolResult(wire::ToolAnswer {
            call_id: call.id.clone(),
            output: vec![wire::ToolOutput::Text(result.into())],
            is_error: false,
        })],
        ..message(Role::Tool, "")
    });
    request
}

#[tokio::test]
async fn the_bundled_script_remembers_with_the_tools_of_the_assistant() {
    let gateway = gateway("");
    let request = with_tools(&["Remember that my cat is called Minka"]);
    let response = ask(&gateway, request.clone()).await.unwrap();
    assert_eq!(response.finish_reason, FinishReason::ToolCalls);
    let call = calls(&response).remove(0);
    assert_eq!(call.name, "remember");
    assert_eq!(call.arguments_json, r#"{"fact":"my cat is called Minka"}"#);
    let response = ask(&gateway, answered(request, &call, "remembered"))
        .await
        .unwrap();
    assert!(text_of(&response).contains("remembered"));
    assert_eq!(response.finish_reason, FinishReason::Stop);

    let request = with_tools(&["hi", "What do you remember?"]);
    let call = calls(&ask(&gateway, request.clone()).await.unwrap()).remove(0);
    assert_eq!(
        (call.name.as_str(), call.arguments_json.as_str()),
        ("recall", "{}")
    );
    let response = ask(&gateway, answered(request, &call, "a cat, Minka"))
        .await
        .unwrap();
    assert!(text_of(&response).contains("a cat, Minka"));
}

#[tokio::test]
async fn the_bundled_script_calls_no_tool_that_it_may_not_call() {
    let request = wire::Request {
        tool_choice: wire::ToolChoice::Never,
        ..with_tools(&["remember that I like tea"])
    };
    let response = ask(&gateway(""), request).await.unwrap();
    assert!(calls(&response).is_empty() && text_of(&response).contains("I like tea"));
}

#[tokio::test]
async fn the_bundled_script_knows_what_was_said_and_how_to_do_better() {
    let gateway = gateway("");
    let said = ask(&gateway, say(&["blue", "green"])).await.unwrap();
    assert!(text_of(&said).contains("You said before: blue"));
    let help = text_of(&ask(&gateway, say(&["What can you do?"])).await.unwrap());
    for word in [
        "not from a model",
        "OPENAI_API_KEY",
        "OPENAI_MODEL",
        "ANTHROPIC_API_KEY",
        "ollama",
    ] {
        assert!(help.contains(word), "{word}");
    }
    let request = wire::Request {
        response_format: wire::ResponseFormat::Json,
        ..say(&["what is \"up\"?"])
    };
    let answer = text_of(&ask(&gateway, request).await.unwrap());
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["answer"], json!("what is \"up\"?"));
}

#[tokio::test]
async fn what_a_person_writes_is_not_a_placeholder() {
    let gateway = gateway("[fallback]\ntext = '{last}|{turns}|{unknown}|{'\n");
    let response = ask(&gateway, say(&["{system} {previous}"])).await.unwrap();
    assert_eq!(text_of(&response), "{system} {previous}|1|{unknown}|{");
}

#[tokio::test]
async fn a_script_fails_as_told() {
    let gateway = gateway(
        "[[rules]]\nwhen = { last = { equals = 'refuse' } }\n\
         reply = { failure = { kind = 'rate-limited', retry_after_ms = 1500 } }\n\
         [[rules]]\nreply = { text = 'a b c', failure = { kind = 'stream-interrupted', after_chunks = 2 } }\n",
    );
    let error = ask(&gateway, say(&["refuse"])).await.unwrap_err();
    assert_eq!(
        (error.kind, error.retry_after_ms),
        (ErrorKind::RateLimited, Some(1500))
    );
    assert_eq!(error.retry, wire::RetryClass::AfterDelay);
    assert_eq!(error.provider.as_deref(), Some("scripted"));
    let mut generation = gateway.start(say(&["x"]), &Guard::default()).await.unwrap();
    generation.ready().await;
    tokio::task::yield_now().await;
    let mut text = String::new();
    let error = loop {
        match generation.next(8).await {
            Ok(events) => events.into_iter().for_each(|event| {
                if let wire::StreamEvent::Text(delta) = event {
                    text.push_str(&delta.text);
                }
            }),
            Err(error) => break error,
        }
    };
    assert_eq!(
        (text.as_str(), error.kind),
        ("a b ", ErrorKind::StreamInterrupted)
    );
    assert!(error.usage.is_some_and(|usage| usage.output_tokens > 0));
}

#[tokio::test]
async fn a_script_says_what_it_costs_and_in_which_pieces() {
    let gateway =
        gateway("[fallback]\ntext = 'äöüß'\nchunk = 3\nusage = { input = 7, output = 9 }\n");
    let response = ask(&gateway, say(&["x"])).await.unwrap();
    assert_eq!(
        (response.usage.input_tokens, response.usage.output_tokens),
        (7, 9)
    );
    assert_eq!(
        pieces("äöüß", Some(Chunk(3.try_into().unwrap()))),
        ["äöü", "ß"]
    );
    assert_eq!(pieces("a b\nc ", None), ["a ", "b\nc "]);
}

#[test]
fn a_broken_script_is_refused_with_its_place() {
    let broken = [
        ("[[rules]]\nreply = { txt = 'x' }", "txt"),
        (
            "[[rules]]\nwhen = { lst = { equals = 'x' } }\nreply = { text = 'x' }",
            "lst",
        ),
        ("[[rules]]\nreply = {}", "rule 1"),
        ("[[rules]]\nreply = { text = 'a', json = 1 }", "both"),
        ("[fallback]\nfailure = { kind = 'tired' }", "tired"),
        ("[fallback]\nchunk = 0", "nonzero"),
    ];
    for (script, word) in broken {
        let error = format!("{:#}", Scripted::parse(script).err().unwrap());
        assert!(error.contains(word), "{error}");
    }
    let missing = Scripted::open(&Some("/nowhere/script.toml".into()))
        .err()
        .unwrap();
    assert!(format!("{missing:#}").contains("/nowhere/script.toml"));
}
