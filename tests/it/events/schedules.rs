//! Schedules: one event for each time that is due.

use anchorhold_tests::{TestHost, now_ms};
use serde_json::json;

use super::{published, received};

async fn wait_for(host: &TestHost, topic: &str) {
    host.wait_for(topic, async || {
        (!published(host, topic).await.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_agent_schedules_and_receives_it_once() {
    let host = TestHost::new().plugin("probe").start().await;
    let at = now_ms() + 500;
    let text = format!(
        "schedule soon probe.soon {{\"n\":1}} at={at}\nschedule later probe.later {{}} cron=0 9 * * 1-5 zone=Europe/Berlin"
    );
    let answer = host.ask("probe", &text).await;
    assert_eq!(answer.text(), "scheduled\nscheduled");
    host.wait_for("the event", async || {
        (received(&host, "-").await.len() == 1).then_some(())
    })
    .await;
    let event = &published(&host, "probe.soon").await[0];
    assert_eq!(
        (&event["source"], &event["data"]["n"]),
        (&json!("agent:probe"), &json!(1))
    );
    assert!(event["at"].as_u64().unwrap() >= at);
    let listed = host.get("/api/v1/schedules").await.body;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed:#}");
    let later = &listed["items"][0];
    assert_eq!(
        (&later["name"], &later["agent"]),
        (&json!("later"), &json!("probe"))
    );
    assert_eq!(later["time_zone"], "Europe/Berlin");
    assert!(later["next_at"].as_u64().unwrap() > now_ms());
    let replayed = host.replay(&answer.turn()).await;
    assert_eq!(replayed.body["same"], true, "{:#}", replayed.body);
    let removed = host
        .ask("probe", "unschedule later\nunschedule later")
        .await;
    assert_eq!(removed.text(), "true\nfalse");
    assert_eq!(published(&host, "probe.soon").await.len(), 1);
}

#[tokio::test]
async fn what_was_due_while_the_host_was_down_is_one_event() {
    let host = TestHost::new().plugin("probe").start().await;
    let at = now_ms() + 1_500;
    let once = json!({ "at": at, "topic": "probe.once", "data": 1 });
    let set = host.put("/api/v1/schedules/once", &once).await;
    assert_eq!((set.status, &set.body["next_at"]), (200, &json!(at)));
    let cron = json!({ "cron": "* * * * *", "topic": "probe.cron", "data": 2 });
    assert_eq!(host.put("/api/v1/schedules/cron", &cron).await.status, 200);
    let stopped = host.crash().await;
    while now_ms() < at + 200 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let host = stopped.start().await;
    wait_for(&host, "probe.once").await;
    let host = host.crash().await.start().await;
    assert_eq!(published(&host, "probe.once").await.len(), 1);
    assert_eq!(host.get("/api/v1/schedules/once").await.status, 404);
    assert_eq!(host.get("/api/v1/schedules/cron").await.status, 200);
}

#[tokio::test]
async fn an_agent_that_lost_its_grant_or_is_gone_publishes_nothing_more() {
    let host = TestHost::new().plugin("probe").start().await;
    let at = now_ms() + 2_000;
    let text =
        format!("schedule once probe.once {{}} at={at}\nschedule cron probe.cron {{}} cron=@daily");
    assert_eq!(
        host.ask("probe", &text).await.text(),
        "scheduled\nscheduled"
    );
    let grants = json!({ "grants": ["state"] });
    assert_eq!(host.put("/api/v1/agents/probe", &grants).await.status, 200);
    let denied = host.ask("probe", "schedule x probe.x {} at=1").await;
    assert!(
        denied.text().starts_with("error denied"),
        "{}",
        denied.text()
    );
    host.wait_for("the time that passed", async || {
        let found = host.get("/api/v1/schedules/once?agent=probe").await;
        (found.status == 404).then_some(())
    })
    .await;
    assert!(host.log().contains("published nothing"), "{}", host.log());
    assert!(published(&host, "probe.once").await.is_empty());
    let cron = host.get("/api/v1/schedules/cron?agent=probe").await;
    assert_eq!(cron.status, 200);
    std::fs::remove_file(host.plugins_dir().join("probe.wasm")).unwrap();
    host.wait_for("its end", async || {
        host.delete("/api/v1/agents/probe").await;
        let found = host.get("/api/v1/schedules/cron?agent=probe").await;
        (found.status == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_scheduled_is_refused() {
    let host = TestHost::new().plugin("probe").start().await;
    for (name, body, part) in [
        ("a", json!({ "topic": "a.b", "data": 1 }), "either cron"),
        (
            "a",
            json!({ "topic": "a.b", "data": 1, "at": 1, "cron": "@daily" }),
            "either cron",
        ),
        (
            "a",
            json!({ "topic": "a.b", "data": 1, "cron": "every day" }),
            "not a cron expression",
        ),
        (
            "a",
            json!({ "topic": "a.b", "data": 1, "cron": "* * * * * *" }),
            "five fields",
        ),
        (
            "a",
            json!({ "topic": "a.b", "data": 1, "cron": "0 0 31 2 *" }),
            "no next time",
        ),
        (
            "a",
            json!({ "topic": "a.b", "data": 1, "cron": "@daily", "time_zone": "Mars" }),
            "not a time zone",
        ),
        (
            "a",
            json!({ "topic": "A b", "data": 1, "at": 1 }),
            "is not a topic",
        ),
        (
            "a",
            json!({ "topic": "system.x", "data": 1, "at": 1 }),
            "only the host",
        ),
        (
            "A%20b",
            json!({ "topic": "a.b", "data": 1, "at": 1 }),
            "not the name of a schedule",
        ),
    ] {
        let answer = host.put(&format!("/api/v1/schedules/{name}"), &body).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "invalid-request"),
            "{body}"
        );
        assert!(
            answer.detail().contains(part),
            "{body}: {}",
            answer.detail()
        );
    }
    assert_eq!(host.delete("/api/v1/schedules/none").await.status, 404);
    assert_eq!(host.get("/api/v1/schedules/none").await.status, 404);
}

#[tokio::test]
async fn what_an_agent_cannot_schedule_is_refused() {
    let host = TestHost::new().plugin("probe").start().await;
    for (line, part) in [
        ("schedule a probe.x {} cron=x", "error invalid-input"),
        ("schedule a.b probe.x {} at=1", "error invalid-input"),
        ("schedule a probe.x {no at=1", "error"),
        ("schedule a other.x {} at=1", "error denied"),
    ] {
        let answer = host.ask("probe", line).await;
        assert!(answer.text().starts_with(part), "{line}: {}", answer.text());
    }
}

#[tokio::test]
async fn an_agent_has_a_hundred_schedules_at_most() {
    let host = TestHost::new()
        .plugin("probe")
        .set("events.per_source_per_minute", 0)
        .start()
        .await;
    let line = |n: u32| format!("schedule s{n} probe.x {{}} cron=@yearly");
    let lines: Vec<String> = (0..=100).map(line).collect();
    let answer = host.ask("probe", &lines.join("\n")).await;
    let lines: Vec<&str> = answer.text().lines().collect();
    assert!(
        lines[..100].iter().all(|line| *line == "scheduled"),
        "{lines:?}"
    );
    assert!(lines[100].starts_with("error limit-exceeded"), "{lines:?}");
    let replayed = host.replay(&answer.turn()).await;
    assert_eq!(replayed.body["same"], true, "{:#}", replayed.body);
}

#[tokio::test]
async fn the_command_line_schedules() {
    let host = TestHost::new().start().await;
    let words = |line: &'static str| line.split(' ').collect::<Vec<_>>();
    let set = [
        words("events schedules set tea team.tea {} --zone Europe/London --cron"),
        vec!["0 16 * * 1-5"],
    ]
    .concat();
    let (code, text, errors) = host.run_cli(&set).await;
    assert!(code == 0 && text.contains("UTC"), "{text}{errors}");
    let (code, text, _) = host.run_cli(&words("events schedules list")).await;
    assert!(
        code == 0 && text.contains("0 16 * * 1-5 Europe/London"),
        "{text}"
    );
    let (_, text, _) = host.run_cli(&words("--json events schedules list")).await;
    let listed: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(listed["items"][0]["topic"], "team.tea");
    let (code, ..) = host.run_cli(&words("events schedules remove tea")).await;
    assert_eq!(code, 0);
    let (code, _, errors) = host.run_cli(&words("events schedules remove tea")).await;
    assert!(
        code == 1 && errors.contains("there is no schedule"),
        "{errors}"
    );
    let (code, _, errors) = host
        .run_cli(&words("events schedules set tea team.tea {} --cron never"))
        .await;
    assert!(
        code == 1 && errors.contains("not a cron expression"),
        "{errors}"
    );
    let (code, ..) = host
        .run_cli(&words(
            "events schedules set tea team.tea {no --cron @daily",
        ))
        .await;
    assert_eq!(code, 2);
    let (code, ..) = host
        .run_cli(&words("events schedules set tea team.tea {}"))
        .await;
    assert_eq!(code, 2);
}
