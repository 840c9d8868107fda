//! The assistant against a host in memory.

use anchorhold_agent::llm::{ContentPart, ToolChoice};
use anchorhold_agent::serde_json::json;
use anchorhold_agent::state::{self, Scope};
use anchorhold_agent::testing::{self, Host};
use anchorhold_agent::{Chat, Speaker, ToolCall, ToolDefinition, ToolResult};

use crate::Assistant;

fn host() -> Host {
    Host::new()
        .config("prompt", "Be kind.")
        .config("tools", json!(["remember", "recall"]))
}

#[test]
fn asks_with_prompt_and_history_and_streams_the_answer() {
    let host = host()
        .config("model", "fast")
        .config("history", 1)
        .answer("Hello, Ada.");
    let mut message = testing::message("Hi");
    message.history = vec![
        testing::past(Speaker::User, "old"),
        testing::past(Speaker::Assistant, "recent"),
    ];
    let reply = Assistant::respond(message).unwrap();
    assert_eq!(reply.text, "Hello, Ada.");
    assert_eq!(host.sent_text(), "Hello, Ada.");
    let request = &host.requests()[0];
    let texts: Vec<_> = request
        .messages
        .iter()
        .map(|message| message.as_text())
        .collect();
    assert_eq!(request.model, "fast");
    assert_eq!(texts, ["Be kind.", "recent", "Hi"]);
}

#[test]
fn remembers_a_fact_and_puts_it_into_the_next_prompt() {
    let host = host()
        .answer_call("call-1", "remember", &json!({"fact": "Ada likes tea."}))
        .answer("I will remember.");
    let reply = Assistant::respond(testing::message("I like tea")).unwrap();
    assert_eq!(reply.text, "I will remember.");
    assert_eq!(host.requests().len(), 2);
    assert_eq!(host.tasks()[0].title, "remember");

    let host = host.answer("You like tea.");
    Assistant::respond(testing::message("What do I like?")).unwrap();
    let prompt = host.requests().last().unwrap().messages[0].as_text();
    assert!(prompt.ends_with("- Ada likes tea."), "{prompt}");
}

#[test]
fn a_wrong_call_is_answered_to_the_model() {
    let host = host()
        .answer_call("call-1", "remember", &json!({"fakt": 1}))
        .answer("Sorry.");
    assert_eq!(
        Assistant::respond(testing::message("Hi")).unwrap().text,
        "Sorry."
    );
    let messages = &host.requests()[1].messages;
    let ContentPart::ToolResult(result) = &messages.last().unwrap().content[0] else {
        panic!("no tool result: {messages:?}");
    };
    assert!(result.is_error);
}

#[test]
fn the_last_step_is_made_without_tools() {
    let host = host()
        .config("max_steps", 2)
        .answer_call("call-1", "recall", &json!({}))
        .answer("That is all.");
    assert_eq!(
        Assistant::respond(testing::message("Hi")).unwrap().text,
        "That is all."
    );
    let choices: Vec<_> = host
        .requests()
        .into_iter()
        .map(|it| it.tool_choice)
        .collect();
    assert_eq!(choices, [ToolChoice::Auto, ToolChoice::Never]);
}

#[test]
fn a_call_of_the_clients_tool_ends_the_turn_and_its_result_continues_it() {
    let host = host().answer_call("call-1", "open-door", &json!({"door": 3}));
    let mut message = testing::message("Open door 3");
    message.client_tools = vec![ToolDefinition::new(
        "open-door",
        "Opens a door",
        &json!({"type": "object"}),
    )];
    let reply = Assistant::respond(message).unwrap();
    assert_eq!(reply.tool_calls[0].name, "open-door");

    let host = host.answer("It is open.");
    let mut message = testing::message("");
    let result = ToolResult {
        call: reply.tool_calls[0].clone(),
        text: "open".into(),
        is_error: false,
    };
    message.client_tool_results = vec![result];
    assert_eq!(Assistant::respond(message).unwrap().text, "It is open.");
    let messages = &host.requests()[1].messages;
    assert!(matches!(&messages[1].content[0], ContentPart::ToolCall(call) if call.id == "call-1"));
    assert!(matches!(&messages[2].content[0], ContentPart::ToolResult(it) if !it.is_error));
}

#[test]
fn its_own_tools_run_when_the_turn_ends_for_the_client() {
    let call = |id: &str, name: &str, arguments: &str| {
        ContentPart::ToolCall(ToolCall {
            id: id.into(),
            name: name.into(),
            arguments_json: arguments.into(),
        })
    };
    let calls = vec![
        call("call-1", "remember", r#"{"fact": "Ada has door 3."}"#),
        call("call-2", "open-door", "{}"),
    ];
    let _host = host().response(Ok(testing::response(calls)));
    let mut message = testing::message("Open my door, 3");
    let schema = json!({"type": "object"});
    message.client_tools = vec![ToolDefinition::new("open-door", "Opens a door", &schema)];
    let reply = Assistant::respond(message).unwrap();
    let names: Vec<_> = reply.tool_calls.iter().map(|call| &call.name).collect();
    assert_eq!(names, ["open-door"]);
    let facts: Option<Vec<String>> = state::get(Scope::User, "facts").unwrap();
    assert_eq!(facts.unwrap(), ["Ada has door 3."]);
}

#[test]
fn without_tools_the_state_is_left_alone() {
    let host = Host::new().answer("Hello.");
    assert_eq!(
        Assistant::respond(testing::message("Hi")).unwrap().text,
        "Hello."
    );
    assert!(host.requests()[0].tools.is_empty());
}

#[test]
fn the_tools_of_the_host_are_used_beside_its_own() {
    let host = host()
        .tool("calc/add", &json!({"type": "object"}), |_| Ok("7".into()))
        .answer_call("call-1", "calc_add", &json!({"a": 3}))
        .answer("Seven.");
    let reply = Assistant::respond(testing::message("3 + 4?")).unwrap();
    assert_eq!(reply.text, "Seven.");
    assert_eq!(
        host.tool_calls(),
        [("calc/add".to_owned(), json!({"a": 3}))]
    );
    let tools = &host.requests()[0].tools;
    let names: Vec<_> = tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["remember", "recall", "calc_add"]);
}
