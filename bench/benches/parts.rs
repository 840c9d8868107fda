//! Small parts of the path of a message, each beside a named baseline, by
//! criterion: what whole turns do not show.

#![allow(missing_docs, reason = "criterion's macros make functions without any")]

use std::hint::black_box;

use anchorhold::codec;
use anchorhold::events::topic_matches;
use anchorhold::runtime::Input;
use anchorhold::runtime::bindings::types::{Author, Message};
use criterion::{Criterion, criterion_group, criterion_main};

/// A message of a person, as the journal and the inbox keep it.
fn message() -> Input {
    Input::Chat(Message {
        id: "01a20489-0000-7000-8000-000000000000".to_owned(),
        conversation: "demo".to_owned(),
        channel: "http".to_owned(),
        author: Author {
            id: "http:ada".to_owned(),
            name: Some("ada".to_owned()),
        },
        text: "What did we decide about the colour of the boat? ".repeat(10),
        at_ms: 1_795_372_419_675,
        attachments: Vec::new(),
        history: Vec::new(),
        client_tools: Vec::new(),
        client_tool_results: Vec::new(),
        context_json: "{}".to_owned(),
    })
}

fn recording(c: &mut Criterion) {
    let mut group = c.benchmark_group("a message recorded and read back");
    let message = message();
    group.bench_function("baseline: serde_json", |b| {
        b.iter(|| {
            let bytes = serde_json::to_vec(black_box(&message));
            bytes.and_then(|bytes| serde_json::from_slice::<Input>(&bytes))
        });
    });
    group.bench_function("codec", |b| {
        b.iter(|| {
            let bytes = codec::encode(black_box(&message));
            bytes.and_then(|bytes| codec::decode::<Input>(&bytes))
        });
    });
    group.finish();
}

fn topics(c: &mut Criterion) {
    let mut group = c.benchmark_group("a topic and a subscription");
    let topic = "order.created.europe";
    group.bench_function("baseline: equal", |b| {
        b.iter(|| black_box(topic) == black_box("order.created.europe"));
    });
    group.bench_function("pattern", |b| {
        b.iter(|| topic_matches(black_box("order.*.europe"), black_box(topic)));
    });
    group.finish();
}

criterion_group!(parts, recording, topics);
criterion_main!(parts);
