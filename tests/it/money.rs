//! What model calls cost: prices, budgets, bills, and that none gets around them.

use std::time::Duration;

use anchorhold_tests::{HostBuilder, TestHost};
use serde_json::{Value, json};

/// One dollar for a million tokens in, two for a million out: 10 and 500 tokens
/// are 1,010 millionths.
const PRICES: &str = "[\"scripted/script\"]\ninput_usd = 1\noutput_usd = 2\n";

const COST: i64 = 1_010;

const SCRIPT: &str = r#"
[[rules]]
when = { last = { contains = ["slow"] } }
reply = { text = "a long answer in many pieces that takes its time", chunk_delay_ms = 300 }
[[rules]]
when = { last = { contains = ["late"] } }
reply = { text = "late", delay_ms = 60000 }
[[rules]]
when = { last = { contains = ["refuse"] } }
reply = { failure = { kind = "overloaded" } }
[[rules]]
when = { last = { contains = ["break"] } }
reply = { text = "some words", failure = { kind = "upstream", after_chunks = 1 } }
[fallback]
text = "You said {last}"
usage = { input = 10, output = 500 }
"#;

/// A host whose scripted model costs something.
fn priced(host: HostBuilder) -> HostBuilder {
    let path = host.folder().join("prices.toml");
    std::fs::write(&path, PRICES).unwrap();
    host.script(SCRIPT)
        .set("llm.prices", path.to_str().unwrap())
        .set("llm.max_output_tokens", 600)
}

async fn start() -> TestHost {
    priced(TestHost::new().plugin("probe")).start().await
}

async fn set_budget(host: &TestHost, scope: &str, budget: Value) {
    let path = format!("/api/v1/budgets/{scope}");
    let set = host.put(&path, &budget).await;
    assert_eq!(set.status, 200, "{:#}", set.body);
}

async fn budget(host: &TestHost, scope: &str) -> Value {
    let budgets = host.get("/api/v1/budgets").await.body;
    let items = budgets["items"].as_array().unwrap();
    let found = items.iter().find(|budget| budget["scope"] == scope);
    found.unwrap_or_else(|| panic!("{budgets:#}")).clone()
}

/// What is used and reserved of a budget's money, when nothing is under way.
async fn spent(host: &TestHost, scope: &str) -> i64 {
    host.wait_for("nothing is reserved", async || {
        let budget = budget(host, scope).await;
        (budget["reserved"]["cost_micro_usd"] == 0)
            .then(|| budget["used"]["cost_micro_usd"].as_i64().unwrap())
    })
    .await
}

#[tokio::test]
async fn a_call_costs_the_same_however_it_is_read() {
    let host = start().await;
    for command in ["generate", "stream", "forward"] {
        let answer = host.ask("probe", &format!("{command} x")).await;
        answer.text();
        assert_eq!(
            answer.body["receipt"]["cost_micro_usd"], COST,
            "{command}: {:#}",
            answer.body
        );
    }
    let usage = host.get("/api/v1/usage?by=user,model").await.body;
    assert_eq!(usage["items"][0]["cost_micro_usd"], 3 * COST, "{usage:#}");
    assert_eq!(spent(&host, "all").await, 3 * COST);
}

#[tokio::test]
async fn a_budget_refuses_says_why_and_survives_a_restart() {
    let host = start().await;
    let day = json!({"window": "day", "cost_micro_usd": 3_000});
    set_budget(&host, "agent:probe", day).await;
    for _ in 0..2 {
        host.ask("probe", "generate x").await.text();
    }
    let host = host.crash().await.start().await;
    assert_eq!(spent(&host, "agent:probe").await, 2 * COST);
    let refused = host.ask("probe", "generate x").await;
    let said = refused.text();
    assert!(said.contains("budget-exceeded"), "{said}");
    assert!(said.contains("agent:probe for today"), "{said}");
    assert!(said.contains("$0.0021 of $0.0030"), "{said}");
    assert!(said.contains("begins again at 20"), "{said}");
    assert_eq!(refused.body["receipt"]["cost_micro_usd"], 0);
    // Started and embedded calls do not get around it.
    for command in ["stream x", "forward x"] {
        let refused = host.ask("probe", command).await;
        assert!(refused.text().contains("budget-exceeded"), "{command}");
    }
    // More money, and it goes on.
    let day = json!({"window": "day", "cost_micro_usd": 50_000});
    set_budget(&host, "agent:probe", day).await;
    host.ask("probe", "generate x").await.text();
    assert_eq!(spent(&host, "agent:probe").await, 3 * COST);
}

#[tokio::test]
async fn people_are_told_in_plain_words() {
    let host = priced(TestHost::new().plugin("assistant")).start().await;
    set_budget(&host, "all", json!({"window": "day", "cost_micro_usd": 1})).await;
    let refused = host.ask("assistant", "hello").await;
    assert_eq!((refused.status, refused.code()), (429, "budget-exceeded"));
    let said = refused.detail();
    assert!(said.contains("The budget of everyone for today"), "{said}");
}

#[tokio::test]
async fn two_hundred_calls_at_once_stay_within_a_budget() {
    let host = start().await;
    let budget = 50 * COST;
    let limits = json!({"window": "total", "cost_micro_usd": budget});
    set_budget(&host, "channel:http", limits).await;
    let asked = (0..25).map(|_| host.ask("probe", "parallel 8"));
    let answers = futures_util::future::join_all(asked).await;
    let made: i64 = answers
        .iter()
        .flat_map(|answer| answer.json_text().as_array().unwrap().clone())
        .map(|outcome| i64::from(outcome == "You said parallel"))
        .sum();
    let spent = spent(&host, "channel:http").await;
    assert_eq!(spent, made * COST);
    assert!(made > 0 && spent <= budget, "{made} calls for {spent}");
}

#[tokio::test]
async fn what_fails_costs_what_came() {
    let host = priced(TestHost::new().plugin("probe").set("llm.attempts", 1))
        .start()
        .await;
    host.ask("probe", "generate refuse").await.text();
    assert_eq!(spent(&host, "all").await, 0);
    host.ask("probe", "stream refuse").await.text();
    assert_eq!(spent(&host, "all").await, 0);
    host.ask("probe", "generate break").await.text();
    let usage = host.get("/api/v1/usage").await.body;
    assert!(spent(&host, "all").await > 0, "{usage:#}");
    let usage = host.get("/api/v1/usage").await.body;
    assert_eq!(usage["items"][0]["calls"], 3, "{usage:#}");
    assert_eq!(usage["items"][0]["failed_calls"], 3, "{usage:#}");
}

#[tokio::test]
async fn what_is_cancelled_costs_what_came_and_holds_nothing() {
    let host = start().await;
    for command in ["generate slow", "stream slow", "forward slow"] {
        let before = spent(&host, "all").await;
        let turn = host.ask_async("probe", command).await.turn();
        host.wait_for("money is reserved", async || {
            let budget = budget(&host, "all").await;
            (budget["reserved"]["cost_micro_usd"] != 0).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        let path = format!("/api/v1/turns/{turn}/cancel");
        host.post(&path, &json!({})).await;
        let ended = host.ended(&turn).await;
        assert_eq!(ended["status"], "cancelled");
        let cost = ended["receipt"]["cost_micro_usd"].as_i64().unwrap();
        assert!((1..1_000).contains(&cost), "{command}: {cost}");
        assert_eq!(spent(&host, "all").await, before + cost, "{command}");
    }
}

#[tokio::test]
async fn an_answer_that_a_crash_lost_costs_its_reservation() {
    for command in ["generate late", "stream late"] {
        let host = start().await;
        host.ask_async("probe", command).await;
        let reserved = host
            .wait_for("money is reserved", async || {
                let budget = budget(&host, "all").await;
                let reserved = budget["reserved"]["cost_micro_usd"].as_i64().unwrap();
                (reserved > 0).then_some(reserved)
            })
            .await;
        let builder = host
            .builder()
            .script("[fallback]\ntext = \"now\"\nusage = { input = 10, output = 500 }\n");
        drop(host.crash().await);
        let host = builder.start().await;
        let spent = host
            .wait_for("the turn has ended", async || {
                let turns = host.get("/api/v1/turns?status=completed").await.body;
                turns["items"][0]["receipt"]["cost_micro_usd"].as_i64()
            })
            .await;
        assert_eq!(spent, reserved + COST, "{command}");
        assert_eq!(self::spent(&host, "all").await, spent, "{command}");
        let usage = host.get("/api/v1/usage").await.body;
        assert_eq!(usage["items"][0]["failed_calls"], 1, "{usage:#}");
    }
}

#[tokio::test]
async fn one_turn_takes_no_more_than_its_limits() {
    for (limit, value, what) in [
        ("model_calls", 2, "2 model calls of 2 model calls"),
        ("tokens", 1_500, "1020 tokens of 1500 tokens"),
        ("cost_micro_usd", 3_000, "$0.0021 of $0.0030"),
    ] {
        let host = priced(TestHost::new().plugin("probe").limit(limit, value))
            .start()
            .await;
        let said = host
            .ask("probe", "generate x\ngenerate x\ngenerate x")
            .await;
        let said = said.text();
        assert!(said.contains("What one turn may take"), "{limit}: {said}");
        assert!(said.contains(what), "{limit}: {said}");
        host.ask("probe", "generate x").await.text();
    }
}

#[tokio::test]
async fn an_unknown_price_is_not_nothing() {
    let host = TestHost::new()
        .plugin("probe")
        .script(SCRIPT)
        .set("llm.providers.scripted.kind", "scripted")
        .set("llm.providers.scripted.free", false)
        .set("llm.unknown_input_usd", 10)
        .set("llm.unknown_output_usd", 20)
        .start()
        .await;
    let answer = host.ask("probe", "generate x").await;
    answer.text();
    assert_eq!(answer.body["receipt"]["cost_micro_usd"], Value::Null);
    assert_eq!(spent(&host, "all").await, 10 * 10 + 500 * 20);
    let usage = host.get("/api/v1/usage").await.body;
    assert_eq!(usage["items"][0]["unpriced_calls"], 1);
    set_budget(&host, "all", json!({"window": "day", "cost_micro_usd": 0})).await;
    let refused = host.ask("probe", "generate x").await;
    let said = refused.text();
    assert!(said.contains("price of this model is not known"), "{said}");
}

#[tokio::test]
async fn agents_see_what_is_left() {
    let host = priced(TestHost::new().plugin("probe").limit("model_calls", 9))
        .start()
        .await;
    let limits = json!({"window": "month", "requests": 7, "tokens": 10_000});
    set_budget(&host, "agent:probe", limits).await;
    set_budget(
        &host,
        "agent:other",
        json!({"window": "day", "requests": 1}),
    )
    .await;
    let said = host.ask("probe", "generate x\nbudgets default").await;
    let list = said.text().lines().last().unwrap().to_owned();
    let budgets: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(budgets[0]["scope"], "turn");
    assert_eq!(budgets[0]["requests_left"], 8);
    let mine = budgets.as_array().unwrap().iter();
    let mine: Vec<_> = mine.filter(|budget| budget["scope"] != "all").collect();
    assert_eq!(mine.len(), 2, "{budgets:#}");
    assert_eq!(mine[1]["requests_left"], 6, "{budgets:#}");
    assert_eq!(mine[1]["cost_left_micro_usd"], Value::Null);
}

#[tokio::test]
async fn money_is_watched_by_commands_events_and_metrics() {
    let host = start().await;
    let set = [
        "budgets",
        "set",
        "agent:probe",
        "--window",
        "day",
        "--cost-usd",
        "0.002",
    ];
    let (code, out, err) = host.run_cli(&set).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("$0.002"), "{out}");
    host.ask("probe", "generate x").await.text();
    let (_, out, _) = host.run_cli(&["budgets", "list"]).await;
    assert!(out.contains("agent:probe") && out.contains("50 %"), "{out}");
    let events = host
        .get("/api/v1/events?topic=system.budget-used")
        .await
        .body;
    assert_eq!(events["items"][0]["data"]["percent"], 50, "{events:#}");
    let by = ["usage", "--by", "day,user,channel", "--csv"];
    let (_, out, _) = host.run_cli(&by).await;
    assert!(out.starts_with("day,agent,user,"), "{out}");
    assert!(
        out.lines().nth(1).unwrap().ends_with(",10,500,1010,0"),
        "{out}"
    );
    let metrics = host.get("/metrics").await.body;
    let metrics = metrics.as_str().unwrap();
    for line in [
        "anchorhold_llm_cost_micro_usd_total{provider=\"scripted\",model=\"script\"} 1010",
        "anchorhold_budget_left{scope=\"agent:probe\",window=\"day\",what=\"cost_micro_usd\"} 990",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let (code, _, _) = host.run_cli(&["budgets", "remove", "agent:probe"]).await;
    assert_eq!(code, 0);
    let (code, _, err) = host.run_cli(&["budgets", "remove", "agent:probe"]).await;
    assert!(code != 0 && err.contains("no such budget"), "{err}");
}

#[tokio::test]
async fn budgets_that_make_no_sense_are_refused() {
    let host = start().await;
    for (scope, body) in [
        ("everyone", json!({"window": "day", "requests": 1})),
        ("planet:earth", json!({"window": "day", "requests": 1})),
        ("agent:", json!({"window": "day", "requests": 1})),
        ("all", json!({"window": "day"})),
        ("all", json!({"window": "week", "requests": 1})),
        ("all", json!({"requests": 1})),
        ("all", json!({"window": "day", "requests": -1})),
        ("all", json!({"window": "day", "requests": u64::MAX})),
        ("all", json!({"window": "day", "dollars": 1})),
    ] {
        let answer = host.put(&format!("/api/v1/budgets/{scope}"), &body).await;
        assert_eq!(answer.status, 400, "{scope} {body}: {:#}", answer.body);
    }
    let answer = host.get("/api/v1/usage?by=mood").await;
    assert_eq!(answer.status, 400, "{:#}", answer.body);
    assert_eq!(host.delete("/api/v1/budgets/user:x").await.status, 404);
}
