//! Traces, as a collector gets them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anchorhold_tests::TestHost;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SCRIPT: &str = "[fallback]\ntext = \"You said {last}\"\nusage = { input = 7, output = 5 }\n";

/// Keeps the spans that are sent to it.
struct Collector {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = Self {
            port: listener.local_addr().unwrap().port(),
            heads: Arc::default(),
            spans: Arc::default(),
        };
        let (heads, spans) = (Arc::clone(&collector.heads), Arc::clone(&collector.spans));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (heads, spans) = (Arc::clone(&heads), Arc::clone(&spans));
                tokio::spawn(async move { take(socket, &heads, &spans).await });
            }
        });
        collector
    }

    async fn wait_for(&self, host: &TestHost, count: usize) -> BTreeMap<String, Span> {
        host.wait_for("the spans", async || {
            let spans = self.spans.lock().unwrap();
            (spans.len() >= count).then(|| {
                let named = spans.iter().map(|span| (span.name.clone(), span.clone()));
                named.collect()
            })
        })
        .await
    }
}

/// One connection: requests, one after the other.
async fn take(mut socket: TcpStream, heads: &Mutex<Vec<String>>, spans: &Mutex<Vec<Span>>) {
    let mut bytes = Vec::new();
    loop {
        let Some((head, body)) = request(&mut socket, &mut bytes).await else {
            return;
        };
        if head.starts_with("POST /v1/traces ") {
            let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
            let resources = request.resource_spans.into_iter();
            let scopes = resources.flat_map(|resource| resource.scope_spans);
            spans
                .lock()
                .unwrap()
                .extend(scopes.flat_map(|scope| scope.spans));
        }
        heads.lock().unwrap().push(head);
        let answer =
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn request(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    loop {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end.map(|end| end + 4) {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if bytes.len() >= end + length {
                let body = bytes[end..end + length].to_vec();
                let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
                bytes.drain(..end + length);
                return Some((head, body));
            }
        }
        if socket.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn text(span: &Span, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|found| found.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_turn_is_a_trace_of_what_it_did() {
    let collector = Collector::start().await;
    let host = TestHost::new()
        .plugin("probe")
        .script(SCRIPT)
        .set(
            "telemetry.endpoint",
            format!("http://127.0.0.1:{}/", collector.port),
        )
        .set("telemetry.headers.x-key", "secret")
        .start()
        .await;
    let turn = host
        .ask("probe", "state set agent k one\ngenerate words")
        .await
        .turn();
    let spans = collector.wait_for(&host, 3).await;
    let root = &spans["invoke_agent probe"];
    assert_eq!(hex(&root.trace_id), turn.replace('-', ""));
    assert_eq!(
        text(root, "gen_ai.usage.input_tokens").as_deref(),
        Some("7")
    );
    assert_eq!(text(root, "anchorhold.turn"), Some(turn));
    assert!(root.parent_span_id.is_empty());
    let model = &spans["chat script"];
    assert_eq!(model.parent_span_id, root.span_id);
    assert_eq!(model.trace_id, root.trace_id);
    assert_eq!(
        text(model, "gen_ai.provider.name").as_deref(),
        Some("scripted")
    );
    assert!(model.start_time_unix_nano >= root.start_time_unix_nano / 1_000_000 * 1_000_000);
    assert!(spans.contains_key("state.set"));
    let all = format!("{:?}", collector.spans.lock().unwrap());
    assert!(!all.contains("words"), "what was said is not sent: {all}");
    let heads = collector.heads.lock().unwrap().clone();
    assert!(
        heads.iter().all(|head| head.contains("x-key: secret")),
        "{heads:?}"
    );
}

#[tokio::test]
async fn what_was_said_is_sent_where_that_is_asked_for_and_a_failure_is_told() {
    let collector = Collector::start().await;
    let host = TestHost::new()
        .plugin("probe")
        .plugin("hog")
        .script(SCRIPT)
        .set(
            "telemetry.endpoint",
            format!("http://127.0.0.1:{}", collector.port),
        )
        .set("telemetry.content", true)
        .start()
        .await;
    host.ask("probe", "generate words").await.text();
    host.ask("hog", "trap").await;
    let spans = collector.wait_for(&host, 3).await;
    let root = &spans["invoke_agent probe"];
    assert!(
        text(root, "gen_ai.input.messages")
            .unwrap()
            .contains("generate words")
    );
    assert!(
        text(root, "gen_ai.output.messages")
            .unwrap()
            .contains("You said words")
    );
    let model = &spans["chat script"];
    assert!(
        text(model, "anchorhold.call.result")
            .unwrap()
            .contains("You said words")
    );
    let failed = &spans["invoke_agent hog"];
    assert_eq!(text(failed, "error.type").as_deref(), Some("trap"));
}

#[tokio::test]
async fn turns_that_ask_turns_and_callers_with_a_trace_are_one_trace() {
    let collector = Collector::start().await;
    let manifest = "name = \"probe\"\n[wants]\nagents = \"a test\"\nagent_names = [\"other\"]\n";
    let host = TestHost::new()
        .plugin("probe")
        .manifest("probe", manifest)
        .plugin_as("probe", "other")
        .grants(&["agents"])
        .set(
            "telemetry.endpoint",
            format!("http://127.0.0.1:{}", collector.port),
        )
        .start()
        .await;
    let request = host
        .request("POST", "/api/v1/agents/probe/messages")
        .header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        .json(&json!({"text": "agent ask other echo hi"}));
    let answer = anchorhold_tests::Answer::read(request.send().await.unwrap()).await;
    assert_eq!(answer.text(), "hi");
    let spans = collector.wait_for(&host, 3).await;
    let (asking, asked) = (&spans["invoke_agent probe"], &spans["invoke_agent other"]);
    assert_eq!(hex(&asking.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex(&asking.parent_span_id), "b7ad6b7169203331");
    assert_eq!(asked.trace_id, asking.trace_id);
    assert_eq!(asked.parent_span_id, asking.span_id);
}

#[tokio::test]
async fn every_way_in_goes_on_with_the_trace_of_its_caller() {
    let collector = Collector::start().await;
    let endpoint = format!("http://127.0.0.1:{}", collector.port);
    let host = TestHost::new().plugin("assistant").script(SCRIPT);
    let host = host.set("telemetry.endpoint", endpoint).start().await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "assistant", "arguments": {"text": "hi"}, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    }});
    let asks = json!([{"role": "user", "content": "hi"}]);
    let ways = [
        ("/mcp", call, "a"),
        (
            "/v1/chat/completions",
            json!({"model": "assistant", "messages": asks}),
            "b",
        ),
        (
            "/v1/responses",
            json!({"model": "assistant", "input": "hi"}),
            "c",
        ),
    ];
    for (path, body, digit) in &ways {
        let trace = format!("00-{}-b7ad6b7169203331-01", digit.repeat(32));
        let request = host.request("POST", path).header("traceparent", trace);
        let request = request
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", "assistant");
        let response = request.json(body).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.bytes().await.unwrap();
    }
    // What has just ended is sent before the host goes.
    host.stop().await;
    let spans = collector.spans.lock().unwrap();
    for (path, _, digit) in ways {
        let found = spans
            .iter()
            .any(|span| hex(&span.trace_id) == digit.repeat(32));
        assert!(found, "{path}");
    }
}

#[tokio::test]
async fn a_collector_that_is_not_there_keeps_nobody_waiting() {
    let host = TestHost::new()
        .plugin("probe")
        .set("telemetry.endpoint", "http://127.0.0.1:9")
        .start()
        .await;
    assert_eq!(host.ask("probe", "echo hi").await.text(), "hi");
    host.wait_for("the failure is counted", async || {
        let metrics = host.get("/metrics").await.body;
        let metrics = metrics.as_str().unwrap().to_owned();
        metrics
            .contains("anchorhold_telemetry_failures_total")
            .then_some(())
    })
    .await;
    host.stop().await;
}
