//! The gateway as its callers see it.

mod bedrock;
mod fake;
mod guarded;
mod requests;
mod responses;
mod routing;
mod structured;
pub(crate) mod support;
mod thoughts;
mod wires;

use std::time::Duration;

use support::{ask, gateway, say, text_of};
use wire::{ErrorKind, FinishReason, StreamEvent};

use super::*;

const SLOW: &str = "[fallback]\ntext = 'one two three four'\nchunk_delay_ms = 20\n";

#[tokio::test]
async fn the_default_model_is_the_script() {
    let gateway = gateway("");
    assert_eq!(gateway.models()[0].alias, "default");
    let response = ask(&gateway, say(&["Hello!"])).await.unwrap();
    assert!(text_of(&response).contains("not a language model"));
    assert_eq!(
        (response.provider.as_str(), response.attempts),
        ("scripted", 1)
    );
    assert_eq!(response.usage.cost_micro_usd, Some(0));
    assert!(!response.usage.estimated && response.usage.output_tokens > 10);
}

#[tokio::test]
async fn an_unknown_alias_names_the_line_that_is_missing() {
    let request = wire::Request {
        model: "fast".into(),
        ..say(&["hi"])
    };
    let error = ask(&gateway(""), request).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::ModelNotFound);
    assert!(
        error.message.contains("[llm.models.fast]"),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn waiting_pieces_come_as_one_event() {
    let gateway = gateway("[fallback]\ntext = 'one two three'\n");
    let mut generation = gateway.start(say(&["x"]), &Guard::default()).await.unwrap();
    let mut texts = Vec::new();
    loop {
        generation.ready().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let events = generation.next(1).await.unwrap();
        assert!(events.len() <= 1);
        match events.into_iter().next() {
            Some(StreamEvent::Text(delta)) => texts.push(delta.text),
            Some(_) => {}
            None => break,
        }
    }
    assert_eq!(texts, ["one two three"]);
    let whole = generation.finish().await.unwrap();
    assert_eq!(text_of(&whole), "one two three");
    assert_eq!(generation.usage(), whole.usage);
}

#[tokio::test]
async fn ready_can_be_dropped_and_loses_nothing() {
    let gateway = gateway(SLOW);
    let mut generation = gateway.start(say(&["x"]), &Guard::default()).await.unwrap();
    let mut text = String::new();
    loop {
        let waited = tokio::time::timeout(Duration::from_millis(3), generation.ready()).await;
        if waited.is_err() {
            continue;
        }
        let events = generation.next(100).await.unwrap();
        if events.is_empty() {
            break;
        }
        for event in events {
            if let StreamEvent::Text(delta) = event {
                text.push_str(&delta.text);
            }
        }
    }
    assert_eq!(text, "one two three four");
}

#[tokio::test]
async fn cancelling_keeps_what_came() {
    let gateway = gateway(SLOW);
    let mut generation = gateway.start(say(&["x"]), &Guard::default()).await.unwrap();
    generation.next(1).await.unwrap();
    generation.cancel();
    assert!(generation.next(1).await.unwrap().is_empty());
    let response = generation.finish().await.unwrap();
    assert_eq!(response.finish_reason, FinishReason::Cancelled);
    assert_eq!(text_of(&response), "one ");
    assert!(response.usage.estimated && response.usage.output_tokens > 0);
}

#[tokio::test]
async fn the_deadline_holds_before_and_within_the_answer() {
    let late = gateway("[fallback]\ntext = 'x'\ndelay_ms = 60000\n");
    let request = wire::Request {
        deadline_ms: Some(30),
        ..say(&["x"])
    };
    let error = ask(&late, request.clone()).await.unwrap_err();
    assert_eq!((error.kind, error.usage), (ErrorKind::TimedOut, None));
    let slow = gateway("[fallback]\ntext = 'x y'\nchunk_delay_ms = 60000\n");
    let error = ask(&slow, request).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut);
    assert!(error.usage.unwrap().estimated);
}

#[tokio::test]
async fn a_slow_reader_slows_the_provider() {
    let words = "word ".repeat(5000);
    let gateway = gateway(&format!("[fallback]\ntext = '{words}'\n"));
    let mut generation = gateway.start(say(&["x"]), &Guard::default()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    // 64 pieces wait, one more waits for room; the rest is not made yet.
    assert!(generation.usage().output_tokens < 100);
    let events = generation.next(3).await.unwrap();
    assert!(!events.is_empty() && events.len() <= 3);
    let bound = wire::Request {
        max_output_tokens: Some(1),
        ..say(&["x"])
    };
    assert_eq!(
        ask(&gateway, bound).await.unwrap().finish_reason,
        FinishReason::Length
    );
}

#[test]
fn work_runs_where_sockets_live() {
    let io = tokio::runtime::Runtime::new().unwrap();
    let script = "[fallback]\ntext = 'x y'\nchunk_delay_ms = 5\n";
    let gateway = support::gateway_on(script, io.handle().clone());
    // This runtime has neither timers nor sockets.
    let guests = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let response = guests.block_on(ask(&gateway, say(&["x"]))).unwrap();
    assert_eq!(text_of(&response), "x y");
}

#[tokio::test]
async fn embeddings_are_stable_unit_vectors() {
    let embed = |input: &[&str], dimensions| wire::EmbedRequest {
        model: "default".into(),
        input: input.iter().map(|text| (*text).to_owned()).collect(),
        kind: wire::InputKind::Other,
        dimensions,
    };
    let gateway = gateway("");
    let answer = gateway
        .embed(
            embed(&["a cat sat", "the cat sat", "", "stocks"], None),
            &Guard::default(),
        )
        .await;
    let vectors = answer.unwrap().vectors;
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    assert_eq!(vectors[0].len(), 64);
    assert!(
        vectors
            .iter()
            .all(|vector| (dot(vector, vector) - 1.0).abs() < 1e-5)
    );
    assert!(dot(&vectors[0], &vectors[1]) > dot(&vectors[0], &vectors[3]));
    for bad in [
        embed(&[], None),
        embed(&["x"; 257], None),
        embed(&["x"], Some(0)),
    ] {
        assert_eq!(
            gateway
                .embed(bad, &Guard::default())
                .await
                .unwrap_err()
                .kind,
            ErrorKind::InvalidRequest
        );
    }
}
