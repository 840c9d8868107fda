//! `/mcp`: agents as tools, in both versions of the protocol, by raw requests and
//! by the host's own client.

use std::time::Duration;

use anchorhold_tests::{Answer, TestHost};
use serde_json::{Value, json};

const SCRIPT: &str = r#"
[[rules]]
when = { last = { contains = ["slow"] } }
reply = { text = "one two three four five six", chunk_delay_ms = 200 }
[[rules]]
when = { last = { contains = ["before"] }, has_previous = true }
reply = { text = "Before you said {previous}" }
[fallback]
text = "You said {last}"
"#;

const NOW: &str = "2026-07-28";
const BEFORE: &str = "2025-11-25";

async fn start() -> TestHost {
    let host = TestHost::new()
        .plugin("assistant")
        .plugin("hog")
        .plugin("probe")
        .plugin("webhook");
    host.script(SCRIPT).start().await
}

/// A request, without the headers that only one version has.
fn post(host: &TestHost, body: &Value) -> reqwest::RequestBuilder {
    let request = host.request("POST", "/mcp").json(body);
    request.header("accept", "application/json, text/event-stream")
}

/// A request of the version of now: all that it needs is in it.
fn request(host: &TestHost, method: &str, params: Value) -> reqwest::RequestBuilder {
    let mut params = params;
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = NOW.into();
    params["_meta"]["io.modelcontextprotocol/clientInfo"] = json!({"name": "test", "version": "1"});
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let request = post(host, &body)
        .header("mcp-protocol-version", NOW)
        .header("mcp-method", method);
    match params["name"].as_str() {
        Some(name) => request.header("mcp-name", name),
        None => request,
    }
}

/// What came back: messages, whether as one or as events.
async fn messages(request: reqwest::RequestBuilder) -> Vec<Value> {
    let text = request.send().await.unwrap().text().await.unwrap();
    if let Ok(message) = serde_json::from_str(&text) {
        return vec![message];
    }
    let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
    data.filter_map(|data| serde_json::from_str(data.trim()).ok())
        .collect()
}

/// The last of them.
async fn answer(request: reqwest::RequestBuilder) -> Value {
    messages(request).await.pop().unwrap()
}

async fn call(host: &TestHost, agent: &str, arguments: Value) -> Value {
    let params = json!({"name": agent, "arguments": arguments});
    answer(request(host, "tools/call", params)).await["result"].clone()
}

/// A session of the version before.
struct Session<'a> {
    host: &'a TestHost,
    id: String,
}

impl<'a> Session<'a> {
    async fn begin(host: &'a TestHost) -> Self {
        let params = json!({"protocolVersion": BEFORE, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let response = post(host, &body).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let id = response.headers()["mcp-session-id"].to_str().unwrap();
        let session = Self {
            host,
            id: id.to_owned(),
        };
        let text = response.text().await.unwrap();
        assert!(
            text.contains("\"protocolVersion\":\"2025-11-25\""),
            "{text}"
        );
        session.tell("notifications/initialized", json!({})).await;
        session
    }

    fn request(&self, id: u32, method: &str, params: &Value) -> reqwest::RequestBuilder {
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.headed(&body)
    }

    async fn tell(&self, method: &str, params: Value) {
        let body = json!({"jsonrpc": "2.0", "method": method, "params": params});
        let response = self.headed(&body).send().await.unwrap();
        assert_eq!(response.status(), 202);
    }

    fn headed(&self, body: &Value) -> reqwest::RequestBuilder {
        post(self.host, body)
            .header("mcp-session-id", &self.id)
            .header("mcp-protocol-version", BEFORE)
    }
}

fn names(listed: &Value) -> Vec<&str> {
    let tools = listed["result"]["tools"].as_array().unwrap();
    let names = tools.iter().map(|tool| tool["name"].as_str().unwrap());
    names.collect()
}

async fn running(host: &TestHost) -> usize {
    let turns = host.get("/api/v1/turns?status=running").await.body;
    turns["items"].as_array().unwrap().len()
}

async fn wait_for_running(host: &TestHost, count: usize) {
    host.wait_for("as many turns run", async || {
        (running(host).await == count).then_some(())
    })
    .await;
}

async fn cancelled(host: &TestHost) -> usize {
    let turns = host.get("/api/v1/turns?status=cancelled").await.body;
    turns["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn agents_are_tools_without_a_session() {
    let host = start().await;
    let found = answer(request(&host, "server/discover", json!({}))).await;
    let versions = found["result"]["supportedVersions"].to_string();
    assert!(
        versions.contains(NOW) && versions.contains(BEFORE),
        "{found:#}"
    );
    let listed = answer(request(&host, "tools/list", json!({}))).await;
    // An agent that takes no messages is no tool.
    assert_eq!(names(&listed), ["assistant", "hog", "probe"]);
    let tool = &listed["result"]["tools"][0];
    assert_eq!(tool["inputSchema"]["required"], json!(["text"]));
    assert!(tool["description"].as_str().unwrap().contains("model"));
    let rest = answer(request(&host, "tools/list", json!({"cursor": "hog"}))).await;
    assert_eq!(names(&rest), ["probe"]);

    let first = call(&host, "assistant", json!({"text": "red"})).await;
    assert_eq!(first["content"][0]["text"], "You said red", "{first:#}");
    assert_eq!(first["structuredContent"]["text"], "You said red");
    let conversation = &first["structuredContent"]["conversation"];
    let again = json!({"text": "what was before?", "conversation": conversation});
    let second = call(&host, "assistant", again).await;
    assert_eq!(second["content"][0]["text"], "Before you said red");
    let turn = second["structuredContent"]["turn"].as_str().unwrap();
    let turn = host.get(&format!("/api/v1/turns/{turn}")).await.body;
    assert_eq!(turn["channel"], "mcp");
    assert_eq!(turn["user"], "mcp:administrator");
}

#[tokio::test]
async fn agents_are_tools_in_a_session() {
    let host = start().await;
    let session = Session::begin(&host).await;
    let listed = answer(session.request(1, "tools/list", &json!({}))).await;
    assert_eq!(names(&listed), ["assistant", "hog", "probe"]);
    let params = json!({"name": "assistant", "arguments": {"text": "slow"}, "_meta": {"progressToken": "p"}});
    let told = messages(session.request(2, "tools/call", &params)).await;
    let (result, pieces) = told.split_last().unwrap();
    let whole = &result["result"]["content"][0]["text"];
    assert_eq!(whole, "one two three four five six");
    let text: String = pieces
        .iter()
        .map(|piece| piece["params"]["message"].as_str().unwrap())
        .collect();
    assert_eq!(text, "one two three four five six", "{told:#?}");
    let path = format!("{}/mcp", host.url);
    let end = host
        .client()
        .delete(path)
        .header("mcp-session-id", &session.id);
    assert_eq!(end.send().await.unwrap().status(), 204);
    let gone = session.request(3, "tools/list", &json!({})).send().await;
    assert_eq!(gone.unwrap().status(), 404);
}

#[tokio::test]
async fn a_cancelled_call_is_a_cancelled_turn() {
    let host = start().await;
    let slow = json!({"name": "assistant", "arguments": {"text": "slow"}});
    // Without a session the connection is the call.
    let gone = request(&host, "tools/call", slow.clone());
    let gone = tokio::spawn(async move { gone.send().await.unwrap().text().await });
    wait_for_running(&host, 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    gone.abort();
    wait_for_running(&host, 0).await;
    assert_eq!(cancelled(&host).await, 1);
    // In a session the client says so.
    let session = Session::begin(&host).await;
    let waiting = session.request(7, "tools/call", &slow);
    let waiting = tokio::spawn(async move { waiting.send().await });
    wait_for_running(&host, 1).await;
    let which = json!({"requestId": 7, "reason": "enough"});
    session.tell("notifications/cancelled", which).await;
    wait_for_running(&host, 0).await;
    assert_eq!(cancelled(&host).await, 2);
    waiting.abort();
}

#[tokio::test]
async fn what_fails_is_said_to_people() {
    let host = start().await;
    let trap = call(&host, "hog", json!({"text": "trap"})).await;
    assert_eq!(trap["isError"], true, "{trap:#}");
    assert!(trap["structuredContent"]["turn"].is_string());
    assert_eq!(
        trap["structuredContent"]["text"],
        trap["content"][0]["text"]
    );
    for arguments in [
        json!({}),
        json!({"text": 5}),
        json!({"text": "  "}),
        json!({"text": "x".repeat(300 << 10)}),
        json!({"text": "hi", "conversation": ""}),
        json!({"text": "hi", "user": "somebody"}),
    ] {
        let refused = call(&host, "assistant", arguments).await;
        assert_eq!(refused["isError"], true, "{refused:#}");
        assert!(!refused["content"][0]["text"].as_str().unwrap().is_empty());
    }
    let zero = json!({"window": "day", "requests": 0});
    host.put("/api/v1/budgets/channel:mcp", &zero).await;
    let spent = call(&host, "assistant", json!({"text": "hi"})).await;
    assert_eq!(spent["isError"], true);
    let unknown = json!({"name": "nobody", "arguments": {"text": "hi"}});
    let unknown = answer(request(&host, "tools/call", unknown)).await;
    assert_eq!(unknown["error"]["code"], -32602, "{unknown:#}");
}

#[tokio::test]
async fn a_turn_that_waits_for_a_person_is_named() {
    let host = start().await;
    let asked = call(
        &host,
        "probe",
        json!({"text": "ask text What is your name?"}),
    )
    .await;
    assert_eq!(asked["isError"], true, "{asked:#}");
    let turn = asked["structuredContent"]["turn"].as_str().unwrap();
    let text = asked["content"][0]["text"].as_str().unwrap();
    assert!(text.contains(turn), "{text}");
    let view = host.get(&format!("/api/v1/turns/{turn}")).await.body;
    assert_eq!(view["status"], "waiting", "{view:#}");
}

#[tokio::test]
async fn who_may_not_is_refused_before_anything_is_read() {
    let host = start().await;
    let nobody = reqwest::Client::new().post(format!("{}/mcp", host.url));
    let nobody = Answer::read(nobody.body("{").send().await.unwrap()).await;
    assert_eq!(nobody.status, 401);
    assert_eq!(nobody.header("www-authenticate"), Some("Bearer"));
    let reader = host
        .post(
            "/api/v1/tokens",
            &json!({"name": "reader", "scopes": ["read"]}),
        )
        .await;
    let reader = reader.body["token"].as_str().unwrap();
    let refused = reqwest::Client::new().post(format!("{}/mcp", host.url));
    let refused = refused.bearer_auth(reader).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    for (origin, status) in [
        ("https://evil.example", 403),
        ("null", 403),
        ("http://localhost:5173", 200),
    ] {
        let request = request(&host, "tools/list", json!({})).header("origin", origin);
        assert_eq!(request.send().await.unwrap().status(), status, "{origin}");
    }
    let host = host
        .stop()
        .await
        .set("server.allowed_origins", vec!["https://console.example"]);
    let host = host.start().await;
    let named = request(&host, "tools/list", json!({})).header("origin", "https://console.example");
    assert_eq!(named.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_session_is_there_for_its_token_alone() {
    let host = start().await;
    let session = Session::begin(&host).await;
    let other = json!({"name": "other", "scopes": ["chat"]});
    let other = host.post("/api/v1/tokens", &other).await.body;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}});
    let request = |token: &str| {
        let request = reqwest::Client::new().post(format!("{}/mcp", host.url));
        let request = request.bearer_auth(token).json(&list);
        request
            .header("accept", "application/json, text/event-stream")
            .header("mcp-session-id", &session.id)
            .header("mcp-protocol-version", BEFORE)
    };
    let other = request(other["token"].as_str().unwrap());
    assert_eq!(other.send().await.unwrap().status(), 404);
    let own = session.request(2, "tools/list", &json!({}));
    assert_eq!(own.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn what_is_not_the_protocol_is_refused() {
    let host = TestHost::new()
        .plugin("assistant")
        .set("server.max_body_bytes", 10_000);
    let host = host.start().await;
    for body in ["", "{", "[]", "{\"jsonrpc\": \"2.0\"}", "null", "\u{0}"] {
        let request = host.request("POST", "/mcp").body(body.to_owned());
        let request = request
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        let status = request.send().await.unwrap().status();
        assert!(status.is_client_error(), "{body:?}: {status}");
    }
    let large = json!({"name": "assistant", "arguments": {"text": "x".repeat(20_000)}});
    let large = request(&host, "tools/call", large).send().await.unwrap();
    assert_eq!(large.status(), 413);
    for method in ["GET", "PUT"] {
        let status = host.request(method, "/mcp").send().await.unwrap().status();
        assert!(status.is_client_error(), "{method}: {status}");
    }
    for params in [
        json!({"name": "assistant", "arguments": []}),
        json!({"arguments": {"text": "hi"}}),
    ] {
        let unread = answer(request(&host, "tools/call", params)).await;
        assert_eq!(unread["error"]["code"], -32602, "{unread:#}");
    }
    let unknown = answer(request(&host, "tools/invent", json!({}))).await;
    assert_eq!(unknown["error"]["code"], -32601, "{unknown:#}");
}

#[tokio::test]
async fn one_host_is_a_tool_server_of_another() {
    let served = start().await;
    let token = json!({"name": "other", "scopes": ["chat"]});
    let token = served.post("/api/v1/tokens", &token).await;
    let bearer = token.body["token"].as_str().unwrap();
    let host = TestHost::new().plugin("probe").grants(&["tools:served/*"]);
    let host = host
        .set("tools.servers.served.url", format!("{}/mcp", served.url))
        .set("tools.servers.served.bearer", bearer)
        .start()
        .await;
    let answer = host
        .ask("probe", "call served/assistant {\"text\": \"hi\"}")
        .await;
    assert!(answer.text().contains("You said hi"), "{}", answer.text());
    let turns = served.get("/api/v1/turns?agent=assistant").await.body;
    assert_eq!(turns["items"][0]["user"], "mcp:other", "{turns:#}");
}
