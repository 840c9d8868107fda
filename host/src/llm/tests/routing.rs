//! Who is asked, and what happens when that fails.

use super::super::Gateway;
use super::fake::{Act, After, Fake, text};
use super::support::{ask, load, say};
use crate::guard::Guard;
use crate::runtime::bindings::llm as wire;
use wire::ErrorKind;

fn status(status: u16, headers: Vec<(&'static str, &'static str)>) -> Act {
    Act::Status(status, headers, "{}".to_owned())
}

/// An alias `default` over these, in this order of weight, with further keys of `[llm]`.
fn gateway(fakes: &[&Fake], keys: &str) -> Gateway {
    let mut config = format!("[llm]\nheader_timeout_ms = 400\nread_timeout_ms = 400\n{keys}\n");
    let mut candidates = Vec::new();
    for (at, fake) in fakes.iter().enumerate() {
        config.push_str(&format!(
            "[llm.providers.p{at}]\nkind = 'openai'\nbase_url = '{}'\napi_key = 'k'\n",
            fake.address
        ));
        // So uneven that the first is always drawn first.
        let weight = if at == 0 { 4_000_000_000_u32 } else { 1 };
        candidates.push(format!(
            "{{ provider = 'p{at}', model = 'm{at}', weight = {weight} }}"
        ));
    }
    let candidates = candidates.join(", ");
    config.push_str(&format!(
        "[llm.models.default]\ncandidates = [{candidates}]\n"
    ));
    Gateway::new(&load(&config).llm, tokio::runtime::Handle::current()).unwrap()
}

async fn two(first: Act) -> (Fake, Fake) {
    (
        Fake::start(first).await,
        Fake::start(text("openai", None)).await,
    )
}

#[tokio::test]
async fn another_candidate_answers_when_one_cannot() {
    for refusal in [
        status(503, vec![]),
        status(500, vec![]),
        status(429, vec![("retry-after", "30")]),
        status(401, vec![]),
        status(404, vec![]),
        Act::Hang,
        Act::Status(200, vec![], "this is no stream".to_owned()),
    ] {
        let (broken, well) = two(refusal).await;
        let gateway = gateway(&[&broken, &well], "");
        let response = ask(&gateway, say(&["hi"])).await.unwrap();
        assert_eq!(
            (response.provider.as_str(), response.model.as_str()),
            ("p1", "m1")
        );
        assert_eq!(response.attempts, 2);
        assert_eq!((broken.calls(), well.calls()), (1, 1));
    }
}

#[tokio::test]
async fn a_generation_says_who_makes_it() {
    let (broken, well) = two(status(503, vec![])).await;
    let gateway = gateway(&[&broken, &well], "");
    let generation = gateway
        .start(say(&["hi"]), &Guard::default())
        .await
        .unwrap();
    assert_eq!(
        (generation.provider().as_str(), generation.model().as_str()),
        ("p1", "m1")
    );
}

#[tokio::test]
async fn the_only_candidate_is_asked_again() {
    let fake = Fake::in_turn([status(500, vec![]), text("openai", None)]).await;
    let response = ask(&gateway(&[&fake], ""), say(&["hi"])).await.unwrap();
    assert_eq!((response.attempts, fake.calls()), (2, 2));
}

#[tokio::test]
async fn nobody_is_asked_more_often_than_attempts_says() {
    for (attempts, calls) in [(1, 1), (2, 2)] {
        let fake = Fake::start(status(500, vec![])).await;
        let gateway = gateway(&[&fake], &format!("attempts = {attempts}"));
        let error = ask(&gateway, say(&["hi"])).await.unwrap_err();
        assert_eq!(
            (error.kind, error.attempts),
            (ErrorKind::Upstream, attempts)
        );
        assert_eq!(fake.calls(), calls);
    }
}

#[tokio::test]
async fn what_was_seen_of_an_answer_is_never_begun_again() {
    let Act::Stream(media, frames, _) = text("openai", None) else {
        panic!("a stream");
    };
    let begun = Act::Stream(media, frames[..1].to_vec(), After::Break);
    let (broken, well) = two(begun).await;
    let error = ask(&gateway(&[&broken, &well], ""), say(&["hi"]))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::StreamInterrupted);
    assert!(
        error.usage.unwrap().output_tokens > 0,
        "what came is billed"
    );
    assert_eq!((broken.calls(), well.calls()), (1, 0));
}

#[tokio::test]
async fn a_wrong_request_is_not_carried_from_one_to_the_next() {
    for refusal in [400, 403, 422] {
        let (first, second) = two(status(refusal, vec![])).await;
        let asked = ask(&gateway(&[&first, &second], ""), say(&["hi"])).await;
        asked.unwrap_err();
        assert_eq!((first.calls(), second.calls()), (1, 0), "{refusal}");
    }
}

#[tokio::test]
async fn a_provider_is_left_alone_as_long_as_it_asks_for() {
    let fake = Fake::start(status(429, vec![("retry-after", "60")])).await;
    let gateway = gateway(&[&fake], "");
    for _ in 0..3 {
        let error = ask(&gateway, say(&["hi"])).await.unwrap_err();
        assert!(matches!(
            error.kind,
            ErrorKind::RateLimited | ErrorKind::Overloaded
        ));
        let wait = error.retry_after_ms.unwrap();
        assert!((50_000..=60_000).contains(&wait), "{wait}");
    }
    assert_eq!(fake.calls(), 1);
}

#[tokio::test]
async fn after_failures_in_a_row_a_model_is_left_alone() {
    let fake = Fake::start(status(500, vec![])).await;
    let keys = "attempts = 1\nbreaker_failures = 1\nbreaker_ms = 3600000";
    let gateway = gateway(&[&fake], keys);
    for _ in 0..3 {
        ask(&gateway, say(&["hi"])).await.unwrap_err();
    }
    assert_eq!(fake.calls(), 1);
}

#[tokio::test]
async fn after_its_rest_it_is_tried() {
    let fake = Fake::in_turn([status(500, vec![]), text("openai", None)]).await;
    let keys = "attempts = 1\nbreaker_failures = 1\nbreaker_ms = 1";
    let gateway = gateway(&[&fake], keys);
    ask(&gateway, say(&["hi"])).await.unwrap_err();
    // A moment of rest is waited for.
    ask(&gateway, say(&["hi"])).await.unwrap();
    assert_eq!(fake.calls(), 2);
}
