//! The host is killed again and again while people talk to it: nothing is lost,
//! nothing happens twice, and the order stays.
//!
//! `cargo xtask chaos --seed N --messages M` runs it longer, or again as it was.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use anchorhold_tests::{Answer, TestHost};
use serde_json::{Value, json};

const CONVERSATIONS: usize = 8;

/// What a run is made of.
#[derive(Debug, Clone, Copy)]
struct Plan {
    seed: u64,
    messages: usize,
    kills: usize,
}

impl Plan {
    fn of_environment() -> Self {
        let number = |name: &str, default: usize| {
            std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
        };
        let messages = number("ANCHORHOLD_CHAOS_MESSAGES", 160);
        Self {
            seed: number("ANCHORHOLD_CHAOS_SEED", 1) as u64,
            messages,
            kills: (messages / 40).max(1),
        }
    }

    fn in_each(self) -> usize {
        self.messages.div_ceil(CONVERSATIONS)
    }
}

/// SplitMix64, for moments that can be had again.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Everything that a message does would show if it were done twice.
fn text(conversation: usize, number: usize) -> String {
    let mark = format!("c{conversation}-{number}");
    format!(
        "state cas agent {mark} - x\nsql execute INSERT INTO t VALUES ('{mark}')\n\
         publish probe.done {{\"mark\":\"{mark}\"}} key=c{conversation}\ngenerate {mark}"
    )
}

/// Asks until there is an answer, wherever the host is by then.
async fn ask(
    client: &reqwest::Client,
    url: &RwLock<String>,
    conversation: usize,
    number: usize,
) -> Value {
    let body =
        json!({"text": text(conversation, number), "conversation": format!("c{conversation}")});
    loop {
        let address = url.read().unwrap().clone();
        let asked = client
            .post(format!("{address}/api/v1/agents/probe/messages"))
            .header("idempotency-key", format!("{conversation}-{number}"))
            .json(&body)
            .send()
            .await;
        if let Ok(response) = asked
            && response.status() == 200
            && let Ok(answer) = response.json::<Value>().await
        {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn talk(
    client: reqwest::Client,
    url: Arc<RwLock<String>>,
    conversation: usize,
    count: usize,
) {
    for number in 0..count {
        let answer = ask(&client, &url, conversation, number).await;
        let said = answer["text"].as_str().unwrap();
        assert!(!said.contains("error "), "c{conversation}-{number}: {said}");
    }
}

#[tokio::test]
async fn nothing_is_lost_and_nothing_happens_twice_when_the_host_is_killed() {
    let plan = Plan::of_environment();
    let script = "[fallback]\ntext = \"heard\"\ndelay_ms = 5\n";
    let host = TestHost::new()
        .plugin("probe")
        .script(script)
        .set("events.per_source_per_minute", 0);
    let prices = host.folder().join("prices.toml");
    let price = "[\"scripted/script\"]\ninput_usd = 100\noutput_usd = 200\n";
    std::fs::write(&prices, price).unwrap();
    let host = host.set("llm.prices", prices.to_str().unwrap());
    let mut host = host.set("llm.max_output_tokens", 100).start().await;
    let budget = json!({"window": "total", "cost_micro_usd": 1_000_000_000_000_u64});
    for scope in ["all", "agent:probe"] {
        host.delete(&format!("/api/v1/budgets/{scope}")).await;
        host.put(&format!("/api/v1/budgets/{scope}"), &budget).await;
    }
    host.ask("probe", "sql execute CREATE TABLE t (mark TEXT)")
        .await
        .text();
    let url = Arc::new(RwLock::new(host.url.clone()));
    let client = host.client();
    let people: Vec<_> = (0..CONVERSATIONS)
        .map(|conversation| {
            tokio::spawn(talk(
                client.clone(),
                Arc::clone(&url),
                conversation,
                plan.in_each(),
            ))
        })
        .collect();
    let mut moments = plan.seed;
    for _ in 0..plan.kills {
        tokio::time::sleep(Duration::from_millis(20 + next(&mut moments) % 400)).await;
        host = host.crash().await.start_now().await;
        url.write().unwrap().clone_from(&host.url);
    }
    for person in people {
        person.await.unwrap();
    }
    check(&host, plan).await;
}

async fn check(host: &TestHost, plan: Plan) {
    let total = plan.in_each() * CONVERSATIONS;
    for conversation in 0..CONVERSATIONS {
        check_conversation(host, plan, conversation).await;
    }
    let rows = host
        .ask(
            "probe",
            "sql query SELECT count(*), count(DISTINCT mark) FROM t",
        )
        .await;
    assert!(
        rows.text().contains(&format!("[[{total},{total}]]")),
        "{plan:?}: {}",
        rows.text()
    );
    for status in ["queued", "running", "failed"] {
        let left = host
            .get(&format!("/api/v1/turns?status={status}"))
            .await
            .body;
        assert_eq!(left["items"], json!([]), "{plan:?}: {status}: {left:#}");
    }
    let usage = host.get("/api/v1/usage").await.body;
    let calls = usage["items"][0]["calls"].as_u64().unwrap();
    assert!(
        calls >= total as u64,
        "{plan:?}: every call is on the bill: {calls}"
    );
    // A call that a kill cut off is on the bill, too, and made again.
    let lost = usage["items"][0]["failed_calls"].as_u64().unwrap();
    assert_eq!(calls - lost, total as u64, "{plan:?}: {usage:#}");
    let budgets = host.get("/api/v1/budgets").await.body;
    for budget in budgets["items"].as_array().unwrap() {
        assert_eq!(
            budget["used"]["cost_micro_usd"], usage["items"][0]["cost_micro_usd"],
            "{plan:?}: {budgets:#}"
        );
        assert_eq!(
            budget["reserved"]["cost_micro_usd"], 0,
            "{plan:?}: {budgets:#}"
        );
    }
}

async fn check_conversation(host: &TestHost, plan: Plan, conversation: usize) {
    let shown = host
        .get(&format!(
            "/api/v1/conversations/c{conversation}/messages?limit=500"
        ))
        .await
        .body;
    let messages = shown["items"].as_array().unwrap();
    assert_eq!(
        messages.len(),
        2 * plan.in_each(),
        "{plan:?}: c{conversation}"
    );
    for (number, pair) in messages.chunks(2).enumerate() {
        assert_eq!(pair[0]["text"], text(conversation, number), "{plan:?}");
        assert_eq!(pair[1]["role"], "assistant", "{plan:?}");
        assert_eq!(pair[0]["turn"], pair[1]["turn"], "{plan:?}");
    }
    let received = host
        .wait_for("every event is received", async || {
            let log: Answer = host
                .ask("probe", &format!("state get agent log:c{conversation}"))
                .await;
            let value = log.json_text()["value"].as_str().unwrap_or("[]").to_owned();
            let ids: Vec<String> = serde_json::from_str(&value).unwrap();
            (ids.len() >= plan.in_each()).then_some(ids)
        })
        .await;
    let mut once = received.clone();
    once.sort();
    once.dedup();
    let published = host.get("/api/v1/events?topic=probe.done&limit=1000").await;
    assert_eq!(
        once.len(),
        plan.in_each(),
        "{plan:?}: each event once: {received:?} {:#}",
        published.body
    );
    assert_eq!(received.len(), once.len(), "{plan:?}: each event once");
}
