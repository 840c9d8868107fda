//! OpenAI's API: chat completions and responses, as clients of it see them.

use std::time::Duration;

use anchorhold_tests::{Answer, TestHost};
use serde_json::{Value, json};

const SCRIPT: &str = r#"
[[rules]]
when = { has_tool_result = true }
reply = { text = "The tool said {tool_result}" }
[[rules]]
when = { last = { contains = ["both"] }, tool = "weather" }
reply = { tool_calls = [{ name = "weather", arguments = { city = "Oslo" } }, { name = "weather", arguments = { city = "Rome" } }] }
[[rules]]
when = { last = { contains = ["weather"] }, tool = "weather" }
reply = { tool_calls = [{ name = "weather", arguments = { city = "Oslo" } }] }
[[rules]]
when = { last = { contains = ["slow"] } }
reply = { text = "one two three four five six", chunk_delay_ms = 200 }
[[rules]]
when = { system = "Speak like a pirate", last = { contains = ["ahoy"] } }
reply = { text = "Arr" }
[[rules]]
when = { last = { contains = ["before"] }, has_previous = true }
reply = { text = "Before you said {previous}" }
[fallback]
text = "You said {last}"
usage = { input = 7, output = 5 }
"#;

async fn start() -> TestHost {
    let host = TestHost::new().plugin("assistant").plugin("hog");
    host.script(SCRIPT).start().await
}

async fn complete(host: &TestHost, body: Value) -> Answer {
    host.post("/v1/chat/completions", &body).await
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

/// The data of each event of a stream.
async fn stream(host: &TestHost, path: &str, body: &Value) -> Vec<Value> {
    let request = host.request("POST", path).json(body);
    let text = request.send().await.unwrap().text().await.unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data)))
        .collect()
}

fn weather() -> Value {
    json!({"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}})
}

#[tokio::test]
async fn agents_are_models() {
    let host = start().await;
    let models = host.get("/v1/models").await.body;
    let names: Vec<_> = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["assistant", "hog"]);
    assert_eq!(host.get("/v1/models/hog").await.body["object"], "model");
    assert_eq!(host.get("/v1/models/nobody").await.status, 404);
}

#[tokio::test]
async fn a_completion_has_text_and_usage_and_is_a_turn() {
    let host = start().await;
    let body =
        json!({"model": "assistant", "messages": [user("hi")], "temperature": 0.5, "unknown": 1});
    let answer = complete(&host, body).await;
    assert_eq!(answer.status, 200, "{:#}", answer.body);
    let choice = &answer.body["choices"][0];
    assert_eq!(choice["message"]["content"], "You said hi");
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(answer.body["usage"]["total_tokens"], 12);
    let turn = answer.header("anchorhold-turn").unwrap();
    let turn = host.get(&format!("/api/v1/turns/{turn}")).await.body;
    assert_eq!(turn["channel"], "openai");
    assert_eq!(turn["status"], "completed");
    let usage = host.get("/api/v1/usage?by=channel").await.body;
    assert_eq!(usage["items"][0]["channel"], "openai");
}

#[tokio::test]
async fn a_completion_knows_what_it_is_given_and_nothing_else() {
    let host = start().await;
    for first in ["red", "blue"] {
        let messages = [
            user(first),
            json!({"role": "assistant", "content": "ok"}),
            user("what was before?"),
        ];
        let body = json!({"model": "assistant", "messages": messages, "user": "one"});
        let answer = complete(&host, body).await;
        let text = &answer.body["choices"][0]["message"]["content"];
        assert_eq!(*text, format!("Before you said {first}"));
    }
    let body = json!({"model": "assistant", "messages": [user("what was before?")], "user": "one"});
    let text = &complete(&host, body).await.body["choices"][0]["message"]["content"];
    assert_eq!(text, "You said what was before?");
}

#[tokio::test]
async fn an_agent_hears_the_instructions_of_the_client() {
    let host = start().await;
    let messages = json!([{"role": "system", "content": "Speak like a pirate."}, user("ahoy")]);
    let answer = complete(&host, json!({"model": "assistant", "messages": messages})).await;
    assert_eq!(answer.body["choices"][0]["message"]["content"], "Arr");
    let body =
        json!({"model": "assistant", "input": "ahoy", "instructions": "Speak like a pirate."});
    let answer = host.post("/v1/responses", &body).await.body;
    assert_eq!(answer["output"][0]["content"][0]["text"], "Arr");
}

#[tokio::test]
async fn a_stream_has_the_same_text_in_pieces() {
    let host = start().await;
    let body = json!({
        "model": "assistant", "messages": [user("hi there")], "stream": true,
        "stream_options": {"include_usage": true},
    });
    let chunks = stream(&host, "/v1/chat/completions", &body).await;
    assert_eq!(chunks.last().unwrap(), "[DONE]");
    let chunks = &chunks[..chunks.len() - 1];
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(text, "You said hi there");
    let usage = chunks.last().unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], 5);
    let id = &chunks[0]["id"];
    assert!(chunks.iter().all(|chunk| chunk["id"] == *id));
    let finish = &chunks[chunks.len() - 2]["choices"][0]["finish_reason"];
    assert_eq!(finish, "stop");
}

#[tokio::test]
async fn tools_of_the_client_are_called_by_the_client() {
    let host = start().await;
    let tools = json!([{"type": "function", "function": weather()}]);
    let asked = user("how is the weather?");
    let body = json!({"model": "assistant", "messages": [asked], "tools": tools});
    let answer = complete(&host, body).await.body;
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
    let message = answer["choices"][0]["message"].clone();
    let call = message["tool_calls"][0].clone();
    assert_eq!(call["function"]["name"], "weather");
    assert_eq!(call["function"]["arguments"], "{\"city\":\"Oslo\"}");
    let result = json!({"role": "tool", "tool_call_id": call["id"], "content": "sunny"});
    let body = json!({"model": "assistant", "messages": [asked, message, result], "tools": tools});
    let answer = complete(&host, body).await.body;
    let text = &answer["choices"][0]["message"]["content"];
    assert_eq!(text, "The tool said sunny", "{answer:#}");
    let body = json!({"model": "assistant", "messages": [asked], "tools": tools, "stream": true});
    let chunks = stream(&host, "/v1/chat/completions", &body).await;
    let calls: Vec<_> = chunks
        .iter()
        .filter_map(|chunk| {
            chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["name"].as_str()
        })
        .collect();
    assert_eq!(calls, ["weather"]);
}

#[tokio::test]
async fn responses_are_kept_and_continued() {
    let host = start().await;
    let first = json!({"model": "assistant", "input": "red", "instructions": "Be brief."});
    let first = host.post("/v1/responses", &first).await.body;
    assert_eq!(first["status"], "completed", "{first:#}");
    assert_eq!(first["output"][0]["content"][0]["text"], "You said red");
    assert_eq!(first["usage"]["input_tokens"], 7);
    let id = first["id"].as_str().unwrap();
    let second = json!({
        "model": "assistant", "previous_response_id": id,
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "what was before?"}]}],
    });
    let second = host.post("/v1/responses", &second).await.body;
    let text = &second["output"][0]["content"][0]["text"];
    assert_eq!(text, "Before you said red", "{second:#}");
    let shown = host.get(&format!("/v1/responses/{id}")).await.body;
    assert_eq!(shown["output"], first["output"]);
    let unknown = json!({"model": "assistant", "input": "x", "previous_response_id": "resp_x"});
    assert_eq!(host.post("/v1/responses", &unknown).await.status, 404);
}

#[tokio::test]
async fn a_response_is_streamed_by_named_events() {
    let host = start().await;
    let body = json!({"model": "assistant", "input": "hi there", "stream": true});
    let events = stream(&host, "/v1/responses", &body).await;
    let kinds: Vec<_> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds[..4],
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added"
        ]
    );
    assert_eq!(*kinds.last().unwrap(), "response.completed");
    let numbers: Vec<_> = events
        .iter()
        .map(|event| event["sequence_number"].as_u64().unwrap())
        .collect();
    assert!(numbers.iter().copied().eq(0..numbers.len() as u64));
    let text: String = events
        .iter()
        .filter(|event| event["type"] == "response.output_text.delta")
        .map(|event| event["delta"].as_str().unwrap())
        .collect();
    assert_eq!(text, "You said hi there");
    let whole = &events.last().unwrap()["response"];
    assert_eq!(
        whole["output"][0]["content"][0]["text"],
        "You said hi there"
    );
}

#[tokio::test]
async fn a_responses_tool_goes_to_the_client_and_back() {
    let host = start().await;
    let mut tool = weather();
    tool["type"] = "function".into();
    let first = json!({"model": "assistant", "input": "weather?", "tools": [tool]});
    let first = host.post("/v1/responses", &first).await.body;
    let call = &first["output"][0];
    assert_eq!(call["type"], "function_call", "{first:#}");
    let second = json!({
        "model": "assistant", "previous_response_id": first["id"], "tools": [tool],
        "input": [{"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}],
    });
    let second = host.post("/v1/responses", &second).await.body;
    let text = &second["output"][0]["content"][0]["text"];
    assert_eq!(text, "The tool said sunny", "{second:#}");
}

#[tokio::test]
async fn calls_of_one_streamed_response_have_places_of_their_own() {
    let host = start().await;
    let mut tool = weather();
    tool["type"] = "function".into();
    let body = json!({"model": "assistant", "input": "both?", "tools": [tool], "stream": true});
    let events = stream(&host, "/v1/responses", &body).await;
    let calls: Vec<_> = events
        .iter()
        .filter(|event| event["type"] == "response.output_item.done")
        .filter(|event| event["item"]["type"] == "function_call")
        .map(|event| (&event["output_index"], &event["item"]["arguments"]))
        .collect();
    let (oslo, rome) = (json!(r#"{"city":"Oslo"}"#), json!(r#"{"city":"Rome"}"#));
    assert_eq!(
        calls,
        [(&json!(0), &oslo), (&json!(1), &rome)],
        "{events:#?}"
    );
    let completed = &events[events.len() - 1]["response"]["output"];
    assert_eq!(completed[1]["arguments"], rome, "{completed:#}");
}

#[tokio::test]
async fn a_client_that_goes_cancels_its_turn() {
    let host = start().await;
    for wants_stream in [false, true] {
        let body =
            json!({"model": "assistant", "messages": [user("slow")], "stream": wants_stream});
        let request = host.request("POST", "/v1/chat/completions").json(&body);
        let request = tokio::spawn(async move { request.send().await.unwrap().text().await });
        host.wait_for("the turn runs", async || {
            let turns = host.get("/api/v1/turns?status=running").await.body;
            (!turns["items"].as_array().unwrap().is_empty()).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        request.abort();
        host.wait_for("the turn is cancelled", async || {
            let turns = host.get("/api/v1/turns?status=running").await.body;
            turns["items"].as_array().unwrap().is_empty().then_some(())
        })
        .await;
    }
    let turns = host.get("/api/v1/turns?status=cancelled").await.body;
    assert_eq!(turns["items"].as_array().unwrap().len(), 2, "{turns:#}");
}

#[tokio::test]
async fn errors_have_openais_shape() {
    let host = start().await;
    let hi = [user("hi")];
    for (body, status, code) in [
        (
            json!({"model": "nobody", "messages": hi}),
            404,
            "model_not_found",
        ),
        (
            json!({"model": "assistant", "messages": []}),
            400,
            "invalid_request",
        ),
        (json!({"model": "assistant"}), 400, "invalid_request"),
        (
            json!({"model": "assistant", "messages": hi, "n": 2}),
            400,
            "invalid_request",
        ),
        (
            json!({"model": "assistant", "messages": [{"role": "wizard", "content": "x"}]}),
            400,
            "invalid_request",
        ),
        (
            json!({"model": "assistant", "messages": hi, "tools": [{"type": "web_search"}]}),
            400,
            "invalid_request",
        ),
        (
            json!({"model": "assistant", "messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]}),
            400,
            "invalid_request",
        ),
        (
            json!({"model": "hog", "messages": [user("trap")]}),
            502,
            "trap",
        ),
    ] {
        let answer = complete(&host, body.clone()).await;
        let error = &answer.body["error"];
        assert_eq!(answer.status, status, "{body}: {:#}", answer.body);
        assert_eq!(error["code"], code, "{body}: {:#}", answer.body);
        assert!(error["message"].is_string() && error["type"].is_string());
    }
}

#[tokio::test]
async fn strangers_are_refused_in_that_shape() {
    let host = start().await;
    let path = format!("{}/v1/chat/completions", host.url);
    let nobody = reqwest::Client::new().post(path).json(&json!({})).send();
    let nobody = Answer::read(nobody.await.unwrap()).await;
    assert_eq!(nobody.status, 401);
    assert_eq!(nobody.body["error"]["code"], "invalid_api_key");
}

#[tokio::test]
async fn a_spent_budget_is_a_spent_quota() {
    let host = start().await;
    let hi = [user("hi")];
    let zero = json!({"window": "day", "requests": 0});
    host.put("/api/v1/budgets/channel:openai", &zero).await;
    let refused = complete(&host, json!({"model": "assistant", "messages": hi})).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.body["error"]["code"], "insufficient_quota");
    let body = json!({"model": "assistant", "messages": hi, "stream": true});
    let chunks = stream(&host, "/v1/chat/completions", &body).await;
    assert_eq!(
        chunks.last().unwrap()["error"]["code"],
        "insufficient_quota"
    );
}
