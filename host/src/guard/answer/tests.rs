//! Components see texts as a whole, however they come, and what cannot be looked at does not pass.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use proptest::prelude::*;

use super::super::{Checker, Guard, Guards, Whose};
use super::*;
use crate::config::{Action, Detector, Guardrail, On};
use crate::runtime::bindings::guardrail::{Passage, Stage, Verdict};
use crate::runtime::bindings::llm as wire;

type Look = fn(&Passage) -> Result<Verdict, String>;

/// Looks, and remembers what it saw.
struct Fake(Look, Mutex<Vec<Passage>>);

impl Checker for Fake {
    fn deciding(&self, tenant: &str, component: &str) -> BoxFuture<'_, Option<String>> {
        let known = (component != "gone").then(|| format!("{tenant}/{component}"));
        async { known }.boxed()
    }

    fn check(&self, _: &str, _: &str, passage: Passage) -> BoxFuture<'_, Result<Verdict, String>> {
        let verdict = (self.0)(&passage);
        self.1.lock().unwrap().push(passage);
        async { verdict }.boxed()
    }
}

fn rule(component: &str) -> Guardrail {
    Guardrail {
        name: "birds".to_owned(),
        on: On::Both,
        agents: Vec::new(),
        pattern: None,
        detect: Vec::new(),
        max_bytes: None,
        component: Some(component.to_owned()),
        action: None,
    }
}

fn mail() -> Guardrail {
    Guardrail {
        name: "mail".to_owned(),
        detect: vec![Detector::Email],
        component: None,
        action: Some(Action::Redact),
        ..rule("")
    }
}

fn guard(look: Look) -> (Guard, Arc<Fake>) {
    let guards = Guards::new(&[rule("birds"), mail()]).unwrap();
    let fake = Arc::new(Fake(look, Mutex::default()));
    guards.run_by(Arc::clone(&fake) as Arc<dyn Checker>);
    let whose = Whose {
        agent: "probe".to_owned(),
        user: Some("ann".to_owned()),
        ..Whose::default()
    };
    (guards.of(whose), fake)
}

/// Owls become birds; texts with a cat do not pass.
fn birds(passage: &Passage) -> Result<Verdict, String> {
    let texts = || passage.pieces.iter().map(|piece| &piece.text);
    if texts().any(|text| text.contains("cat")) {
        return Ok(Verdict::Refuse("there is a cat".to_owned()));
    }
    Ok(Verdict::Redact(
        texts().map(|text| text.replace("owl", "bird")).collect(),
    ))
}

async fn in_pieces(guard: &Guard, pieces: &[&str]) -> Result<String, Refusal> {
    let mut screen = guard.screen("default").unwrap();
    for piece in pieces {
        assert_eq!(screen.push(piece)?, "", "shown before it was looked at");
    }
    screen.end().await
}

fn say(parts: Vec<wire::ContentPart>) -> wire::Request {
    let mut request = crate::llm::tests::support::say(&["an owl"]);
    request.messages.push(wire::PromptMessage {
        role: wire::Role::Tool,
        content: parts,
        cache: None,
    });
    request
}

#[tokio::test]
async fn a_request_is_looked_at_as_a_whole_after_the_patterns() {
    let (guard, fake) = guard(birds);
    let result = wire::ContentPart::ToolResult(wire::ToolAnswer {
        call_id: "c1".to_owned(),
        output: vec![
            wire::ToolOutput::Json("{\"owls\": [1, \"an owl\"]}".to_owned()),
            wire::ToolOutput::Text("of ann@example.com".to_owned()),
        ],
        is_error: false,
    });
    let request = guard.request(say(vec![result])).unwrap();
    let sent = guard.checked(request).await.unwrap();
    assert_eq!(
        sent.messages[0].content[0],
        wire::ContentPart::Text("an bird".to_owned())
    );
    let wire::ContentPart::ToolResult(answer) = &sent.messages[1].content[0] else {
        panic!("a result");
    };
    assert_eq!(
        answer.output,
        [
            wire::ToolOutput::Json("{\"birds\":[1,\"an bird\"]}".to_owned()),
            wire::ToolOutput::Text("of [email]".to_owned()),
        ]
    );
    let seen = fake.1.lock().unwrap();
    let [passage] = seen.as_slice() else {
        panic!("looked at once");
    };
    assert_eq!(
        (
            passage.stage,
            passage.agent.as_str(),
            passage.user.as_deref()
        ),
        (Stage::Input, "probe", Some("ann"))
    );
    let pieces = passage.pieces.iter();
    let pieces: Vec<_> = pieces
        .map(|piece| (piece.role, piece.text.as_str()))
        .collect();
    assert_eq!(
        pieces,
        [
            (Role::User, "an owl"),
            (Role::Tool, "owls"),
            (Role::Tool, "1"),
            (Role::Tool, "an owl"),
            (Role::Tool, "of [email]"),
        ]
    );
}

#[tokio::test]
async fn what_cannot_be_looked_at_does_not_pass() {
    let failing: [Look; 2] = [
        |_| Err("it trapped at an owl".to_owned()),
        |_| Ok(Verdict::Redact(Vec::new())),
    ];
    for look in failing {
        let (guard, _) = guard(look);
        let refusal = in_pieces(&guard, &["an owl"]).await.unwrap_err();
        let error = wire::Error::from(refusal);
        assert_eq!(error.kind, wire::ErrorKind::ContentFiltered);
        assert!(
            error.message.contains("could not look"),
            "{}",
            error.message
        );
        assert!(!error.message.contains("owl"), "{}", error.message);
    }
    let nobody = Guards::new(&[rule("birds")]).unwrap().of(Whose::default());
    in_pieces(&nobody, &["an owl"]).await.unwrap_err();
    nobody.checked(say(Vec::new())).await.unwrap_err();
}

#[tokio::test]
async fn what_decides_is_the_component_and_whose_turn_it_is() {
    let deciding = async |component: &str, user: &str| {
        let guards = Guards::new(&[rule(component)]).unwrap();
        guards.run_by(Arc::new(Fake(birds, Mutex::default())));
        let guard = guards.of(Whose {
            user: Some(user.to_owned()),
            ..Whose::default()
        });
        let deciding = guard.deciding().await?;
        Some(serde_json::to_string(&deciding).unwrap())
    };
    let first = deciding("birds", "ann").await;
    assert!(first.is_some());
    assert_eq!(first, deciding("birds", "ann").await);
    assert_ne!(first, deciding("cats", "ann").await);
    assert_ne!(first, deciding("birds", "bob").await);
    assert_eq!(deciding("gone", "ann").await, None);
}

proptest! {
    #[test]
    fn verdicts_are_the_same_however_a_text_comes(
        text in "(owl|cat|ann@example\\.com|[a-zäß @.]{0,9}){0,12}",
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..9),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut cuts: Vec<usize> = cuts
            .iter()
            .map(|cut| text.floor_char_boundary(cut.index(text.len() + 1)))
            .collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&str> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
        let (guard, _) = guard(birds);
        let shown = runtime.block_on(in_pieces(&guard, &pieces));
        let whole = runtime.block_on(in_pieces(&guard, &[&text]));
        prop_assert_eq!(&shown, &whole);
        // A cat may be part of an address.
        let passed = guard.pattern_screen().whole(&text).unwrap();
        prop_assert_eq!(shown.is_err(), passed.contains("cat"));
    }
}
