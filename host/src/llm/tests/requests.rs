//! What is sent over the wires, and what is refused because a wire cannot carry it.

use serde_json::{Value, json};

use crate::guard::Guard;
use crate::runtime::bindings::llm as wire;
use crate::runtime::bindings::types::{MediaSource, ToolCall, ToolDefinition};
use wire::{ContentPart, ErrorKind, Role};

use super::fake::{self, Act, Fake};
use super::support::{ask, message, say};

/// What a provider of this kind is sent.
pub(super) async fn sent(kind: &str, request: wire::Request) -> Value {
    let up = Fake::start(fake::text(kind, None)).await;
    // What it answers fits no schema.
    match ask(&up.gateway(kind), request).await {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind, ErrorKind::SchemaMismatch),
    }
    up.last().body
}

pub(super) async fn refused(kind: &str, request: wire::Request) -> ErrorKind {
    let up = Fake::start(fake::text(kind, None)).await;
    ask(&up.gateway(kind), request).await.unwrap_err().kind
}

pub(super) fn with(role: Role, content: Vec<ContentPart>) -> wire::PromptMessage {
    wire::PromptMessage {
        content,
        ..message(role, "")
    }
}

pub(super) fn photo(source: MediaSource) -> ContentPart {
    media("image/png", source)
}

pub(super) fn media(mime_type: &str, source: MediaSource) -> ContentPart {
    ContentPart::Media(wire::Media {
        mime_type: mime_type.into(),
        source,
        name: None,
    })
}

fn result(id: &str, output: wire::ToolOutput, is_error: bool) -> ContentPart {
    ContentPart::ToolResult(wire::ToolAnswer {
        call_id: id.into(),
        output: vec![output],
        is_error,
    })
}

fn call(id: &str) -> ContentPart {
    ContentPart::ToolCall(ToolCall {
        id: id.into(),
        name: "weather".into(),
        arguments_json: r#"{"city":"Oslo"}"#.into(),
    })
}

pub(super) fn weather() -> ToolDefinition {
    ToolDefinition {
        name: "weather".into(),
        description: Some("tells the weather".into()),
        input_schema_json: r#"{"type":"object","properties":{"city":{"type":"string"}}}"#.into(),
        strict: false,
    }
}

/// A whole round with a tool, two results, one of them an error.
pub(super) fn round() -> wire::Request {
    let mut request = say(&["weather?"]);
    request
        .messages
        .insert(0, message(Role::System, "Be brief."));
    request.messages.push(with(
        Role::Assistant,
        vec![ContentPart::Text("I look.".into()), call("a"), call("b")],
    ));
    request.messages.push(with(
        Role::Tool,
        vec![
            result("a", wire::ToolOutput::Text("sunny".into()), false),
            result("b", wire::ToolOutput::Json("{\"no\":1}".into()), true),
        ],
    ));
    request.tools.push(weather());
    request
}

#[tokio::test]
async fn a_round_with_tools_is_sent_to_openai() {
    let body = sent("openai", round()).await;
    assert_eq!(body["model"], "m");
    assert_eq!(body["stream_options"]["include_usage"], true);
    assert_eq!(body["tools"][0]["function"]["name"], "weather");
    let messages = body["messages"].as_array().unwrap();
    let roles: Vec<_> = messages
        .iter()
        .map(|message| message["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "tool"]);
    assert_eq!(
        messages[2]["tool_calls"][1]["function"]["arguments"],
        r#"{"city":"Oslo"}"#
    );
    assert_eq!(messages[3]["content"], "sunny");
    assert_eq!(
        (&messages[4]["tool_call_id"], &messages[4]["content"]),
        (&json!("b"), &json!("Error: {\"no\":1}"))
    );
}

#[tokio::test]
async fn a_round_with_tools_is_sent_to_anthropic() {
    let body = sent("anthropic", round()).await;
    assert_eq!(body["system"], "Be brief.");
    let results = &body["messages"][2];
    assert_eq!(results["role"], "user");
    assert_eq!(results["content"][0]["tool_use_id"], "a");
    assert_eq!(results["content"][1]["is_error"], true);
    assert_eq!(results["content"][1]["content"][0]["text"], "{\"no\":1}");
}

#[tokio::test]
async fn a_round_with_tools_is_sent_to_gemini_and_ollama() {
    let body = sent("gemini", round()).await;
    assert_eq!(body["systemInstruction"]["parts"][0]["text"], "Be brief.");
    let results = body["contents"][2]["parts"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    assert_eq!(results[0]["functionResponse"]["name"], "weather");
    let body = sent("ollama", round()).await;
    let messages = body["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 5);
    assert_eq!(
        (&messages[3]["content"], &messages[4]["role"]),
        (&json!("sunny"), &json!("tool"))
    );
}

#[tokio::test]
async fn media_goes_where_it_can() {
    let with_photo = |part| wire::Request {
        messages: vec![with(
            Role::User,
            vec![ContentPart::Text("see".into()), part],
        )],
        ..say(&[])
    };
    let inline = || MediaSource::Inline(vec![1, 2, 3]);
    let url = || MediaSource::Url("https://example.com/a.png".into());
    let body = sent("openai", with_photo(photo(inline()))).await;
    assert_eq!(
        body["messages"][0]["content"][1]["image_url"]["url"],
        "data:image/png;base64,AQID"
    );
    let body = sent("openai", with_photo(photo(url()))).await;
    assert_eq!(
        body["messages"][0]["content"][1]["image_url"]["url"],
        "https://example.com/a.png"
    );
    let body = sent("anthropic", with_photo(photo(url()))).await;
    assert_eq!(
        body["messages"][0]["content"][1]["source"]["url"],
        "https://example.com/a.png"
    );
    let body = sent("anthropic", with_photo(media("application/pdf", inline()))).await;
    assert_eq!(body["messages"][0]["content"][1]["type"], "document");
    let body = sent("gemini", with_photo(photo(inline()))).await;
    assert_eq!(
        body["contents"][0]["parts"][1]["inline_data"]["data"],
        "AQID"
    );
    let body = sent("ollama", with_photo(photo(inline()))).await;
    assert_eq!(body["messages"][0]["images"][0], "AQID");
    for (kind, part) in [
        ("ollama", photo(url())),
        ("ollama", media("audio/wav", inline())),
        ("anthropic", media("audio/wav", inline())),
        ("openai", media("audio/wav", url())),
        ("openai", photo(MediaSource::Blob("b".into()))),
        ("gemini", photo(MediaSource::Blob("b".into()))),
        ("anthropic", photo(MediaSource::Blob("b".into()))),
    ] {
        assert_eq!(
            refused(kind, with_photo(part)).await,
            ErrorKind::Unsupported,
            "{kind}"
        );
    }
}

#[tokio::test]
async fn extensions_are_for_the_provider_they_name() {
    let request = |kind: &str| wire::Request {
        messages: vec![with(
            Role::User,
            vec![ContentPart::Extension(wire::Extension {
                kind: kind.into(),
                json: r#"{"type":"search_result","title":"x"}"#.into(),
            })],
        )],
        ..say(&[])
    };
    let body = sent("anthropic", request("anthropic")).await;
    assert_eq!(body["messages"][0]["content"][0]["title"], "x");
    assert_eq!(
        refused("openai", request("anthropic")).await,
        ErrorKind::Unsupported
    );
    assert_eq!(
        refused("anthropic", request("odd")).await,
        ErrorKind::Unsupported
    );
}

#[tokio::test]
async fn choices_about_tools_are_kept_or_refused() {
    let choose = |tool_choice, parallel| wire::Request {
        tool_choice,
        parallel_tool_calls: parallel,
        tools: vec![weather()],
        ..say(&["hi"])
    };
    use wire::ToolChoice::{Auto, Named, Never, Required};
    let body = sent("openai", choose(Named("weather".into()), Some(false))).await;
    assert_eq!(body["tool_choice"]["function"]["name"], "weather");
    assert_eq!(body["parallel_tool_calls"], false);
    let body = sent("anthropic", choose(Required, Some(false))).await;
    assert_eq!(
        body["tool_choice"],
        json!({"type": "any", "disable_parallel_tool_use": true})
    );
    let body = sent("gemini", choose(Required, None)).await;
    assert_eq!(body["toolConfig"]["functionCallingConfig"]["mode"], "ANY");
    assert_eq!(sent("ollama", choose(Never, None)).await.get("tools"), None);
    assert_eq!(
        refused("ollama", choose(Required, None)).await,
        ErrorKind::Unsupported
    );
    assert_eq!(
        refused("gemini", choose(Auto, Some(false))).await,
        ErrorKind::Unsupported
    );
    assert_eq!(
        refused("openai", choose(Named("other".into()), None)).await,
        ErrorKind::InvalidRequest
    );
    let mut request = choose(Auto, None);
    request.tools[0].name = "web_search".into();
    assert_eq!(
        refused("anthropic", request.clone()).await,
        ErrorKind::Unsupported
    );
    request.tools[0].input_schema_json = "[]".into();
    assert_eq!(refused("openai", request).await, ErrorKind::InvalidRequest);
}

#[tokio::test]
async fn json_is_asked_for_in_the_way_of_each_wire() {
    let schema = |strict| {
        wire::ResponseFormat::JsonSchema(wire::JsonSchema {
            name: "city".into(),
            schema_json: r#"{"type":"object","properties":{"n":{"type":"string"}}}"#.into(),
            strict,
        })
    };
    let format = |response_format| wire::Request {
        response_format,
        ..say(&["hi"])
    };
    let body = sent("openai", format(wire::ResponseFormat::Json)).await;
    assert_eq!(body["response_format"]["type"], "json_object");
    assert!(
        body["messages"][0]["content"]
            .as_str()
            .unwrap()
            .contains("JSON")
    );
    let body = sent("openai", format(schema(false))).await;
    assert_eq!(body["response_format"]["json_schema"]["strict"], false);
    assert_eq!(
        body["response_format"]["json_schema"]["schema"]["properties"]["n"]["type"],
        "string"
    );
    let body = sent("openai", format(schema(true))).await;
    assert_eq!(body["response_format"]["json_schema"]["strict"], true);
    let body = sent("anthropic", format(schema(true))).await;
    assert_eq!(body["output_config"]["format"]["type"], "json_schema");
    let body = sent("anthropic", format(wire::ResponseFormat::Json)).await;
    assert!(body["system"].as_str().unwrap().contains("JSON"));
    for form in [schema(true), wire::ResponseFormat::Json] {
        let body = sent("gemini", format(form)).await;
        assert_eq!(
            body["generationConfig"]["responseMimeType"],
            "application/json"
        );
    }
    let body = sent("ollama", format(schema(false))).await;
    assert_eq!(body["format"], "json");
    assert!(
        body["messages"][0]["content"]
            .as_str()
            .unwrap()
            .contains("properties")
    );
    assert_eq!(
        refused("ollama", format(schema(true))).await,
        ErrorKind::Unsupported
    );
}

#[tokio::test]
async fn knobs_are_passed_on() {
    let request = wire::Request {
        max_output_tokens: Some(5),
        temperature: Some(0.5),
        top_p: Some(0.25),
        stop: vec!["END".into()],
        seed: Some(7),
        reasoning: Some(wire::ReasoningEffort::Low),
        ..say(&["hi"])
    };
    let body = sent("openai", request.clone()).await;
    assert_eq!(
        (&body["max_tokens"], &body["temperature"], &body["top_p"]),
        (&json!(5), &json!(0.5), &json!(0.25))
    );
    assert_eq!(
        (&body["seed"], &body["stop"][0]),
        (&json!(7), &json!("END"))
    );
    assert_eq!(body["reasoning_effort"], "low");
    let body = sent("anthropic", request.clone()).await;
    assert_eq!(
        (&body["max_tokens"], &body["stop_sequences"][0]),
        (&json!(5), &json!("END"))
    );
    let body = sent("gemini", request.clone()).await;
    assert_eq!(body["generationConfig"]["seed"], 7);
    assert!(body["generationConfig"]["thinkingConfig"]["thinkingBudget"].as_u64() > Some(0));
    let off = wire::Request {
        reasoning: Some(wire::ReasoningEffort::Off),
        ..request.clone()
    };
    let body = sent("gemini", off).await;
    assert_eq!(
        body["generationConfig"]["thinkingConfig"]["thinkingBudget"],
        0
    );
    assert_eq!(sent("ollama", request).await["think"], "low");
}

#[tokio::test]
async fn caches_are_hinted_to_anthropic() {
    let mut request = round();
    request.messages[0].cache = Some(wire::CacheHint::Long);
    let body = sent("anthropic", request).await;
    assert_eq!(body["system"][0]["cache_control"]["ttl"], "1h");
}

#[tokio::test]
async fn openai_without_a_key_is_asked_without_one() {
    let up = Fake::start(fake::text("openai", None)).await;
    let text = format!(
        "[llm.providers.up]\nkind = 'openai'\nbase_url = '{}/v1'\n[llm.models.default]\nprovider = 'up'\nmodel = 'gpt-5-codex-high'\n",
        up.address
    );
    let config = super::support::load(&text);
    let gateway = crate::llm::Gateway::new(&config.llm, tokio::runtime::Handle::current()).unwrap();
    ask(&gateway, say(&["hi"])).await.unwrap();
    let seen = up.last();
    assert!(seen.headers.get("authorization").is_none());
    // Neither the wire nor the name is guessed from the name.
    assert_eq!(
        (seen.path.as_str(), &seen.body["model"]),
        ("/v1/chat/completions", &json!("gpt-5-codex-high"))
    );
}

#[tokio::test]
async fn embeddings_come_in_order() {
    let body = json!({"model": "m", "usage": {"prompt_tokens": 4, "total_tokens": 4}, "data": [
        {"index": 1, "embedding": [0.0, 1.0]}, {"index": 0, "embedding": [1.0, 0.0]}]});
    let up = Fake::start(Act::Status(200, Vec::new(), body.to_string())).await;
    let request = wire::EmbedRequest {
        model: "default".into(),
        input: vec!["a".into(), "b".into()],
        kind: wire::InputKind::Query,
        dimensions: Some(2),
    };
    let answer = up
        .gateway("openai")
        .embed(request.clone(), &Guard::default())
        .await
        .unwrap();
    assert_eq!(answer.vectors, [[1.0, 0.0], [0.0, 1.0]]);
    assert_eq!(
        (answer.usage.input_tokens, answer.usage.estimated),
        (4, false)
    );
    let seen = up.last();
    assert_eq!(
        (seen.path.as_str(), &seen.body["dimensions"]),
        ("/v1/embeddings", &json!(2))
    );
    let error = up
        .gateway("anthropic")
        .embed(request.clone(), &Guard::default())
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, error.provider.as_deref()),
        (ErrorKind::Unsupported, Some("up"))
    );
    let hanging = Fake::start(Act::Hang).await;
    let error = hanging
        .gateway("ollama")
        .embed(request, &Guard::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut);
}
