//! Answers that must fit a schema.

use serde_json::json;

use super::super::Gateway;
use super::fake::Fake;
use super::support::{gateway, load, say, text_of};
use crate::gate::Gate;
use crate::guard::Guard;
use crate::runtime::bindings::llm as wire;
use wire::{ErrorKind, StreamEvent};

/// Answers wrongly until it is told so, then with what is said in `then`.
fn wrong_then(then: &str) -> String {
    format!(
        "[[rules]]\nwhen = {{ last = {{ contains = ['does not fit'] }} }}\nreply = {then}\n\
         [fallback]\ntext = 'It is Oslo.'\nusage = {{ input = 10, output = 5 }}\n"
    )
}

const RIGHT: &str = "{ json = { city = 'Oslo' }, usage = { input = 30, output = 7 } }";
const WRONG: &str = "{ json = { town = 'Oslo' }, usage = { input = 30, output = 7 } }";

fn asked() -> wire::Request {
    let schema = json!({"type": "object", "required": ["city"],
        "properties": {"city": {"type": "string"}}});
    wire::Request {
        response_format: wire::ResponseFormat::JsonSchema(wire::JsonSchema {
            name: "place".to_owned(),
            schema_json: schema.to_string(),
            strict: true,
        }),
        ..say(&["Where?"])
    }
}

async fn whole(gateway: &Gateway) -> Result<wire::Response, wire::Error> {
    gateway
        .begin(asked(), &Guard::default(), Gate::opened())
        .unwrap()
        .answer()
        .await
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_asked_for_once_more() {
    let gateway = gateway(&wrong_then(RIGHT));
    let mut beginning = gateway
        .begin(asked(), &Guard::default(), Gate::opened())
        .unwrap();
    let response = beginning.answer().await.unwrap();
    assert_eq!(text_of(&response), "{\"city\":\"Oslo\"}");
    assert_eq!(response.attempts, 2);
    let usage = response.usage;
    assert_eq!((usage.input_tokens, usage.output_tokens), (40, 12));
    assert_eq!(beginning.generation().usage(), usage);
    assert_eq!(usage.cost_micro_usd, Some(0));
}

#[tokio::test]
async fn what_is_still_wrong_is_an_error_that_says_why_and_what_it_cost() {
    let error = whole(&gateway(&wrong_then(WRONG))).await.unwrap_err();
    assert_eq!((error.kind, error.attempts), (ErrorKind::SchemaMismatch, 2));
    let usage = error.usage.unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens), (40, 12));
    let detail = error.detail_json.unwrap();
    assert!(
        detail.contains("errors") && detail.contains("city"),
        "{detail}"
    );
}

#[tokio::test]
async fn a_second_answer_that_fails_costs_only_the_first() {
    let script = wrong_then("{ failure = { kind = 'overloaded' } }");
    let error = whole(&gateway(&script)).await.unwrap_err();
    assert_eq!((error.kind, error.attempts), (ErrorKind::Overloaded, 2));
    let usage = error.usage.unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens), (10, 5));
}

#[tokio::test]
async fn what_was_read_while_it_was_made_is_not_asked_for_again() {
    let gateway = gateway(&wrong_then(RIGHT));
    let mut generation = gateway.start(asked(), &Guard::default()).await.unwrap();
    let mut text = String::new();
    let error = loop {
        match generation.next(64).await {
            Ok(events) => {
                assert!(!events.is_empty(), "it ended well");
                for event in events {
                    if let StreamEvent::Text(delta) = event {
                        text.push_str(&delta.text);
                    }
                }
            }
            Err(error) => break error,
        }
    };
    assert_eq!(text, "It is Oslo.");
    assert_eq!((error.kind, error.attempts), (ErrorKind::SchemaMismatch, 1));
    assert_eq!(error.usage.unwrap().output_tokens, 5);
    assert_eq!(generation.finish().await.unwrap_err().kind, error.kind);
}

#[tokio::test]
async fn calls_of_tools_and_cut_answers_are_not_asked_for_again() {
    let script = "[fallback]\ntext = 'Let me see.'\ntool_calls = [{ name = 'map' }]\n";
    let response = whole(&gateway(script)).await.unwrap();
    assert_eq!(response.finish_reason, wire::FinishReason::ToolCalls);
    let short = wire::Request {
        max_output_tokens: Some(1),
        ..asked()
    };
    let gateway = gateway(&wrong_then(RIGHT));
    let error = gateway
        .begin(short, &Guard::default(), Gate::opened())
        .unwrap()
        .answer()
        .await
        .unwrap_err();
    assert_eq!((error.kind, error.attempts), (ErrorKind::SchemaMismatch, 1));
}

#[tokio::test]
async fn what_is_no_schema_is_refused_before_anybody_is_asked() {
    let fake = Fake::start(super::fake::text("openai", None)).await;
    let gateway = fake.gateway("openai");
    for schema in ["{", "{\"type\": \"strange\"}", "{\"$ref\": \"#\"}"] {
        let request = wire::Request {
            response_format: wire::ResponseFormat::JsonSchema(wire::JsonSchema {
                name: "place".to_owned(),
                schema_json: schema.to_owned(),
                strict: true,
            }),
            ..say(&["Where?"])
        };
        let error = gateway
            .start(request.clone(), &Guard::default())
            .await
            .err()
            .unwrap();
        assert_eq!((error.kind, error.usage), (ErrorKind::InvalidRequest, None));
        let error = gateway
            .begin(request, &Guard::default(), Gate::opened())
            .unwrap()
            .answer()
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
    }
    assert_eq!(fake.calls(), 0);
}

#[tokio::test]
async fn the_same_model_gets_its_answer_and_what_is_wrong_with_it() {
    let fake = Fake::start(super::fake::text("openai", None)).await;
    let error = whole(&fake.gateway("openai")).await.unwrap_err();
    assert_eq!((error.kind, fake.calls()), (ErrorKind::SchemaMismatch, 2));
    let seen = fake.last().body;
    let messages = seen["messages"].as_array().unwrap();
    assert_eq!(messages[1]["role"], "assistant");
    assert_eq!(messages[1]["content"], "Hello world");
    let last = messages[2]["content"].to_string();
    assert!(
        last.contains("does not fit") && last.contains("not JSON"),
        "{last}"
    );
}

#[tokio::test]
async fn what_is_reserved_covers_both() {
    let config = load("[llm]\nmax_output_tokens = 1000\n");
    let gateway = Gateway::new(&config.llm, tokio::runtime::Handle::current()).unwrap();
    let once = gateway.estimate(&asked()).unwrap();
    let both = gateway.estimate_of_answer(&asked()).unwrap();
    assert_eq!(both.output_tokens, 2 * once.output_tokens);
    // The prompt twice, and the answer and what is wrong with it.
    assert!(both.input_tokens >= 2 * once.input_tokens + 1000 + 500);
    let plain = say(&["Where?"]);
    let both = gateway.estimate_of_answer(&plain).unwrap();
    assert_eq!(both, gateway.estimate(&plain).unwrap());
}
