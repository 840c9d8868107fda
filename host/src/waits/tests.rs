//! Waits and a clock that is set. All times are far in the future, so that the
//! host's own look at its clock ends none of them.

use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::app::Host;
use crate::config::Config;
use crate::runtime::Input;
use crate::runtime::bindings::web;
use crate::store::testing::{accept, new_turn};
use crate::store::{Begin, DEFAULT_TENANT, JournalPart, NewTurn, NewWait, TurnStatus};
use crate::turn::Expects;

const DAY_MS: i64 = 86_400_000;

/// In the year 2100.
const DUE: i64 = 4_102_444_800_000;

async fn host() -> (tempfile::TempDir, Arc<Host>) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.storage.data_dir = folder.path().join("data");
    config.registry.plugins_dir = folder.path().join("plugins");
    (folder, Host::start(config).await.unwrap())
}

/// A turn that waits until then.
async fn waiting(host: &Host, turn: &str, kind: WaitKind) {
    let question = Question {
        text: "Shall I?".to_owned(),
        expects: Expects::Approval,
        choices: Vec::new(),
        who: vec!["http:ada".to_owned()],
        expires_at: DUE,
    };
    let question = (kind == WaitKind::Question).then(|| serde_json::to_string(&question).unwrap());
    let wait = NewWait {
        tenant: DEFAULT_TENANT.to_owned(),
        turn: turn.to_owned(),
        seq: 1,
        kind,
        question,
        due_at: Some(DUE),
    };
    let begin = Begin {
        version: 1,
        digest: String::new(),
        limits: "{}".to_owned(),
        started_at: 1,
    };
    let part = JournalPart {
        begin: Some(Arc::new(begin)),
        ..JournalPart::default()
    };
    let store = &host.store;
    let new = NewTurn {
        input: codec::encode(&Input::Web(request())).unwrap(),
        ..new_turn(turn)
    };
    accept(store, new).await;
    store.begin_wait(wait, None, part, |_| ()).await.unwrap();
    let nothing = JournalPart::default();
    let suspended = store.suspend(DEFAULT_TENANT, turn, 0, nothing, |_| ());
    assert!(!suspended.await.unwrap());
}

fn request() -> web::Request {
    web::Request {
        method: "GET".to_owned(),
        path: "/".to_owned(),
        query: None,
        headers: Vec::new(),
        body: Vec::new(),
        caller: None,
    }
}

async fn status(host: &Host, turn: &str) -> TurnStatus {
    let row = host.store.turn_summary(DEFAULT_TENANT, turn).await.unwrap();
    row.unwrap().status
}

/// The outcomes of questions that were published.
async fn published(host: &Host) -> Vec<String> {
    let events = host
        .store
        .events(DEFAULT_TENANT, Some("user.answered"), 0, 9);
    let events = events.await.unwrap().into_iter();
    events.map(|event| event.data).collect()
}

fn approval() -> Answer {
    Answer {
        call: None,
        verdict: Verdict::Approved(String::new()),
        by: types::Author {
            id: "http:ada".to_owned(),
            name: None,
        },
    }
}

#[tokio::test]
async fn a_clock_that_is_set_ends_each_wait_once() {
    static NOW: AtomicI64 = AtomicI64::new(DUE - DAY_MS);
    let (_folder, host) = host().await;
    let (services, scheduler) = (Arc::clone(&host.services), Arc::clone(&host.scheduler));
    let waits = Waits::new(services, scheduler, || NOW.load(Ordering::Relaxed));
    waiting(&host, "asks", WaitKind::Question).await;
    waiting(&host, "sleeps", WaitKind::Time).await;
    for now in [DUE - 1, DUE - 100_000 * DAY_MS, DUE - DAY_MS] {
        NOW.store(now, Ordering::Relaxed);
        let wait = waits.end_due().await.unwrap();
        assert!(
            wait <= LONGEST_WAIT,
            "it looks at the clock again: {wait:?}"
        );
        assert_eq!(status(&host, "asks").await, TurnStatus::Waiting);
        assert_eq!(status(&host, "sleeps").await, TurnStatus::Waiting);
    }
    NOW.store(DUE + 1_000 * DAY_MS, Ordering::Relaxed);
    let late = waits.answer(DEFAULT_TENANT, "asks", approval()).await;
    assert!(matches!(late, Err(Unanswerable::Expired)), "{late:?}");
    for now in [DUE + 1_000 * DAY_MS, 0, DUE + 2_000 * DAY_MS] {
        NOW.store(now, Ordering::Relaxed);
        waits.end_due().await.unwrap();
    }
    // They went on and failed: their agent is not there.
    for turn in ["asks", "sleeps"] {
        if let Some(feed) = host.feeds.get(turn) {
            feed.ended().await;
        }
        assert_eq!(status(&host, turn).await, TurnStatus::Failed, "{turn}");
    }
    NOW.store(0, Ordering::Relaxed);
    let late = waits.answer(DEFAULT_TENANT, "asks", approval()).await;
    assert!(matches!(late, Err(Unanswerable::Expired)), "{late:?}");
    let told = r#"{"agent":"a","turn":"asks","call":1,"outcome":"expired"}"#;
    assert_eq!(published(&host).await, [told]);
}

#[tokio::test]
async fn an_answer_is_published_without_what_was_said() {
    let (_folder, host) = host().await;
    for (turn, verdict) in [
        ("yes", Verdict::Approved("secret".to_owned())),
        ("no", Verdict::Refused("secret".to_owned())),
    ] {
        waiting(&host, turn, WaitKind::Question).await;
        let answer = || Answer {
            verdict: verdict.clone(),
            ..approval()
        };
        let answered = host.waits.answer(DEFAULT_TENANT, turn, answer()).await;
        answered.unwrap();
        let again = host.waits.answer(DEFAULT_TENANT, turn, answer()).await;
        assert!(again.is_err());
    }
    assert_eq!(
        published(&host).await,
        [
            r#"{"agent":"a","turn":"yes","call":1,"outcome":"answered"}"#,
            r#"{"agent":"a","turn":"no","call":1,"outcome":"refused"}"#
        ]
    );
}
