//! Turns that wait: for a person, a time, another agent. They hold no instance
//! meanwhile, survive the end of the process, and go on where they were.

use anchorhold_tests::{Answer, HostBuilder, TestHost};
use serde_json::{Value, json};

/// A probe and another one, which may talk to each other.
fn two_agents() -> HostBuilder {
    TestHost::new()
        .plugin("probe")
        .plugin_as("probe", "other")
        .grants(&["llm", "state", "database", "events", "agents"])
}

/// Waits until a turn has given up its instance.
async fn resting(host: &TestHost, turn: &str) -> Value {
    host.wait_for("the turn waits", async || {
        let view = host.get(&format!("/api/v1/turns/{turn}")).await.body;
        (view["status"] == "waiting").then_some(view)
    })
    .await
}

/// Waits until a turn asks something.
async fn asking(host: &TestHost, turn: &str) -> Value {
    host.wait_for("the turn asks", async || {
        let view = host.get(&format!("/api/v1/turns/{turn}")).await.body;
        view["question"].is_object().then_some(view)
    })
    .await
}

async fn answer(host: &TestHost, turn: &str, answer: Value) -> Answer {
    host.post(&format!("/api/v1/turns/{turn}/answer"), &answer)
        .await
}

fn kinds(journal: &[Value]) -> Vec<String> {
    journal
        .iter()
        .map(|entry| {
            format!(
                "{} {}",
                entry["kind"].as_str().unwrap(),
                entry["status"].as_str().unwrap()
            )
        })
        .collect()
}

#[tokio::test]
async fn a_person_is_asked_and_the_turn_goes_on_after_a_restart() {
    let host = TestHost::new().plugin("probe").start().await;
    let text =
        "state set agent before 1\nclock\nask approval Shall I?\nclock\nstate set agent after 1";
    let turn = host.ask_async("probe", text).await.turn();
    let view = resting(&host, &turn).await;
    assert_eq!(view["question"]["text"], "Shall I?", "{view:#}");
    assert_eq!(view["question"]["expects"], "approval");
    assert_eq!(
        host.get("/api/v1/status").await.body["turns_in_progress"],
        0,
        "it holds no place"
    );

    let host = host.crash().await.start().await;
    let listed = host.get("/api/v1/questions").await.body;
    assert_eq!(listed["items"][0]["turn"], turn.as_str(), "{listed:#}");
    let who = listed["items"][0]["who"][0].as_str().unwrap().to_owned();
    let user = who.strip_prefix("http:").unwrap();

    let host = host.stop().await.start().await;
    let said = answer(
        &host,
        &turn,
        json!({"approve": true, "text": "go ahead", "user": user}),
    )
    .await;
    assert_eq!(said.status, 202, "{:#}", said.body);
    let ended = host.ended(&turn).await;
    let lines: Vec<&str> = ended["text"].as_str().unwrap().lines().collect();
    assert_eq!(lines[2], format!("answered {who}: go ahead"), "{ended:#}");
    assert_eq!(ended["attempts"], 1, "waiting is no failed start");
    assert_eq!(
        kinds(&host.journal(&turn).await),
        ["state.set done", "reply.ask done", "state.set done"]
    );
    assert!(ended["receipt"]["rerun_fuel"].as_u64().unwrap() > 0);
    let replayed = host.replay(&turn).await;
    assert_eq!(replayed.body["same"], true, "{:#}", replayed.body);
}

#[tokio::test]
async fn a_question_takes_one_fitting_answer_of_who_may_give_it() {
    let host = TestHost::new().plugin("probe").start().await;
    let text = "ask red;;blue Which? ## who=http:ada;;http:bob\necho done";
    let turn = host.ask_async("probe", text).await.turn();
    asking(&host, &turn).await;
    for (said, status, code) in [
        (json!({"text": "red"}), 403, "forbidden"),
        (
            json!({"text": "green", "user": "ada"}),
            400,
            "invalid-request",
        ),
        (
            json!({"approve": true, "user": "ada"}),
            400,
            "invalid-request",
        ),
        (json!({"user": "ada"}), 400, "invalid-request"),
        (
            json!({"text": "red", "user": "ada", "call": 7}),
            409,
            "conflict",
        ),
        (json!({"text": "red", "colour": 1}), 400, "invalid-request"),
    ] {
        let refused = answer(&host, &turn, said.clone()).await;
        assert_eq!(
            (refused.status, refused.code()),
            (status, code),
            "{said} {:#}",
            refused.body
        );
    }
    let taken = answer(&host, &turn, json!({"text": "blue", "user": "bob"})).await;
    assert_eq!(taken.status, 202, "{:#}", taken.body);
    assert_eq!(
        host.ended(&turn).await["text"],
        "answered http:bob: blue\ndone"
    );
    let late = answer(&host, &turn, json!({"text": "red", "user": "ada"})).await;
    assert_eq!((late.status, late.code()), (409, "conflict"));
    let nowhere = answer(&host, "no-such-turn", json!({"text": "red"})).await;
    assert_eq!((nowhere.status, nowhere.code()), (404, "not-found"));
    let silent = host.ask("probe", "echo hello").await.turn();
    let unasked = answer(&host, &silent, json!({"text": "red"})).await;
    assert_eq!((unasked.status, unasked.code()), (409, "conflict"));
}

#[tokio::test]
async fn refusal_and_expiry_are_answers() {
    let host = TestHost::new().plugin("probe").start().await;
    let turn = host
        .ask_async("probe", "ask text Why? ## who=http:ada")
        .await
        .turn();
    asking(&host, &turn).await;
    answer(
        &host,
        &turn,
        json!({"approve": false, "text": "never", "user": "ada"}),
    )
    .await;
    assert_eq!(host.ended(&turn).await["text"], "refused http:ada: never");

    let turn = host
        .ask_async("probe", "ask text Why? ## expires=6000")
        .await
        .turn();
    resting(&host, &turn).await;
    let host = host.crash().await.start().await;
    assert_eq!(host.ended(&turn).await["text"], "expired");
    let late = answer(&host, &turn, json!({"text": "because"})).await;
    assert!(late.detail().contains("expired"), "{:#}", late.body);

    for (text, part) in [
        ("ask text  ", "a question is"),
        ("ask approval x ## expires=0", "90 days"),
        ("ask ;; x", "choices"),
    ] {
        let refused = host.ask("probe", text).await;
        assert!(
            refused.text().starts_with("error invalid-input") && refused.text().contains(part),
            "{text}: {}",
            refused.text()
        );
    }
}

#[tokio::test]
async fn a_time_is_waited_for_across_a_restart() {
    let host = TestHost::new().plugin("probe").start().await;
    let soon = host.ask("probe", "wait 50").await;
    assert_eq!(soon.text(), "waited", "a moment is waited for at once");
    let turn = host
        .ask_async("probe", "wait 6000\necho on time")
        .await
        .turn();
    resting(&host, &turn).await;
    let host = host.crash().await.start().await;
    assert_eq!(host.ended(&turn).await["text"], "waited\non time");
    let far = host
        .ask("probe", &format!("wait {}", 400_u64 * 86_400_000))
        .await;
    assert!(far.text().contains("366 days"), "{}", far.text());
}

#[tokio::test]
async fn agents_ask_and_tell_each_other() {
    let host = two_agents().start().await;
    let asked = host.ask("probe", "agent ask other message").await;
    let seen = asked.json_text();
    assert_eq!(seen["author"]["id"], "agent:probe", "{seen:#}");
    assert_eq!(seen["channel"], "agents");

    let slow = host
        .ask_async("probe", "agent ask other wait 6000\necho after")
        .await
        .turn();
    resting(&host, &slow).await;
    let host = host.crash().await.start().await;
    assert_eq!(host.ended(&slow).await["text"], "waited\nafter");
    let turns = host.get("/api/v1/turns?agent=other").await.body;
    let child = &turns["items"][0];
    assert_eq!(child["parent"], slow.as_str(), "{child:#}");

    let told = host
        .ask("probe", "agent tell other state set agent told 1")
        .await;
    assert_eq!(host.ended(told.text()).await["status"], "completed");

    let missing = host.ask("probe", "agent ask nobody hello").await;
    assert!(
        missing.text().starts_with("error not-found"),
        "{}",
        missing.text()
    );
    let failing = host
        .ask("probe", "agent ask other error invalid-input on purpose")
        .await;
    assert!(
        failing
            .text()
            .starts_with("error internal: the other agent failed"),
        "{}",
        failing.text()
    );
}

#[tokio::test]
async fn agents_ask_each_other_only_so_deep() {
    let host = two_agents().set("turns.max_hops", 2).start().await;
    let deep = host
        .ask(
            "probe",
            "agent ask probe agent ask probe agent ask probe echo too deep",
        )
        .await;
    assert!(
        deep.text().contains("limit-exceeded") && deep.text().contains("max_hops"),
        "{}",
        deep.text()
    );
    let fine = host
        .ask("probe", "agent ask probe agent ask probe echo deep")
        .await;
    assert_eq!(fine.text(), "deep");
}

#[tokio::test]
async fn a_question_of_an_asked_agent_reaches_the_person() {
    let host = two_agents().start().await;
    let turn = host
        .ask_async("probe", "agent ask other ask approval Really?")
        .await
        .turn();
    let asked = host
        .wait_for("the question", async || {
            let listed = host.get("/api/v1/questions").await.body;
            let item = listed["items"][0].clone();
            item.is_object().then_some(item)
        })
        .await;
    assert_ne!(
        asked["turn"],
        turn.as_str(),
        "it is the other turn that asks"
    );
    let user = asked["who"][0]
        .as_str()
        .unwrap()
        .strip_prefix("http:")
        .unwrap()
        .to_owned();
    let child = asked["turn"].as_str().unwrap();
    resting(&host, &turn).await;
    answer(&host, child, json!({"approve": true, "user": user})).await;
    assert_eq!(
        host.ended(&turn).await["text"],
        format!("answered http:{user}: ")
    );
}

/// Says something in the conversation `c` without waiting; answers the turn.
async fn say(host: &TestHost, text: &str) -> String {
    let body = json!({"text": text, "conversation": "c"});
    let request = host.request("POST", "/api/v1/agents/probe/messages");
    let request = request.json(&body).header("prefer", "respond-async");
    Answer::read(request.send().await.unwrap()).await.turn()
}

/// The answers in the conversation `c`, in order.
async fn answers(host: &TestHost) -> Vec<String> {
    let messages = host.get("/api/v1/conversations/c/messages").await.body;
    let messages = messages["items"].as_array().unwrap().clone();
    messages
        .iter()
        .filter(|message| message["role"] == "assistant")
        .map(|message| message["text"].as_str().unwrap().to_owned())
        .collect()
}

/// Who may answer what a turn asks, as a user of the API.
fn asked_user(view: &Value) -> String {
    let who = view["question"]["who"][0].as_str().unwrap();
    who.strip_prefix("http:").unwrap().to_owned()
}

#[tokio::test]
async fn messages_behind_a_waiting_turn_keep_their_order() {
    let host = TestHost::new().plugin("probe").start().await;
    let status = async |host: &TestHost, turn: &str| {
        host.get(&format!("/api/v1/turns/{turn}")).await.body["status"].clone()
    };
    let first = say(&host, "ask text Which?").await;
    resting(&host, &first).await;
    let second = say(&host, "echo 2").await;
    let third = say(&host, "echo 3").await;
    let fourth = say(&host, "echo 4").await;
    assert_eq!(status(&host, &second).await, "queued");
    // One of them is not wanted any more.
    let cancel = format!("/api/v1/turns/{third}/cancel");
    assert_eq!(host.post(&cancel, &json!({})).await.status, 202);
    assert_eq!(host.ended(&third).await["status"], "cancelled");

    let host = host.crash().await.start().await;
    let user = asked_user(&asking(&host, &first).await);
    assert_eq!(status(&host, &second).await, "queued");
    answer(&host, &first, json!({"text": "one", "user": user})).await;
    assert_eq!(host.ended(&fourth).await["text"], "4");
    let one = format!("answered http:{user}: one");
    assert_eq!(answers(&host).await, [one.as_str(), "2", "4"]);
    let times = [&first, &second, &fourth].map(|turn| {
        let host = &host;
        async move { host.ended(turn).await["finished_at"].as_i64().unwrap() }
    });
    let times = futures_util::future::join_all(times).await;
    assert!(times.is_sorted(), "{times:?}");
}

#[tokio::test]
async fn a_waiting_turn_is_cancelled_with_what_it_waits_for() {
    let host = two_agents().start().await;
    let turn = host
        .ask_async("probe", "log info why\nagent ask other ask text Why?")
        .await
        .turn();
    resting(&host, &turn).await;
    assert_eq!(logged(&host, &turn).await, ["why"]);
    let turns = host.get("/api/v1/turns?agent=other").await.body;
    let child = turns["items"][0]["turn"].as_str().unwrap().to_owned();
    let cancelled = host
        .post(&format!("/api/v1/turns/{turn}/cancel"), &json!({}))
        .await;
    assert_eq!(cancelled.status, 202);
    assert_eq!(host.ended(&turn).await["status"], "cancelled");
    assert_eq!(logged(&host, &turn).await, ["why"]);
    assert_eq!(host.ended(&child).await["status"], "cancelled");
    let late = answer(&host, &child, json!({"text": "because"})).await;
    assert_eq!(
        (late.status, late.code()),
        (409, "conflict"),
        "{:#}",
        late.body
    );
    let listed = host.get("/api/v1/questions").await.body;
    assert_eq!(listed["items"], json!([]), "nobody is asked any more");
}

#[tokio::test]
async fn who_watches_sees_the_question_and_the_rest() {
    let host = TestHost::new().plugin("probe").start().await;
    let turn = host
        .ask_async("probe", "send before\nask approval Shall I?\nsend after")
        .await
        .turn();
    let asked = resting(&host, &turn).await;
    let user = asked_user(&asked);
    let watching = {
        let request = host.request("GET", &format!("/api/v1/turns/{turn}/events"));
        tokio::spawn(async move { request.send().await.unwrap().text().await.unwrap() })
    };
    answer(&host, &turn, json!({"approve": true, "user": user})).await;
    let events = anchorhold_tests::SseEvent::parse_all(&watching.await.unwrap());
    let names: Vec<&str> = events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(names.last(), Some(&"turn.completed"), "{names:?}");
    let waiting = host
        .ask_streaming("probe", "ask approval Now? ## expires=6000\necho done")
        .await;
    let names: Vec<&str> = waiting.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(
        names,
        [
            "turn.started",
            "approval.requested",
            "turn.waiting",
            "text.delta",
            "turn.completed"
        ]
    );
}

#[tokio::test]
async fn an_event_may_wait_too() {
    let host = TestHost::new()
        .plugin("probe")
        .set("events.backoff_ms", 100)
        .start()
        .await;
    let turn = host
        .ask("probe", "publish probe.slow {\"wait\": 6000}")
        .await;
    assert_eq!(turn.status, 200);
    host.wait_for("the turn of the event waits", async || {
        let turns = host.get("/api/v1/turns?status=waiting").await.body;
        turns["items"][0].is_object().then_some(())
    })
    .await;
    let ended = host
        .wait_for("the turn of the event ends", async || {
            let turns = host.get("/api/v1/turns?status=completed").await.body;
            let items = turns["items"].as_array()?.clone();
            items.into_iter().find(|turn| turn["kind"] == "event")
        })
        .await;
    assert_eq!(ended["attempts"], 1);
    let state = host.ask("probe", "state keys agent event:").await;
    assert_eq!(state.json_text().as_array().unwrap().len(), 1);
    let events = host.get("/api/v1/turns?agent=probe").await.body;
    let of_events = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|turn| turn["kind"] == "event");
    assert_eq!(of_events.count(), 1, "it is delivered once");
}

#[tokio::test]
async fn the_command_line_lists_and_answers_questions() {
    let host = TestHost::new().plugin("probe").start().await;
    let turn = host
        .ask_async("probe", "ask approval Shall I? ## who=http:ada")
        .await
        .turn();
    asking(&host, &turn).await;
    let (code, out, _) = host.run_cli(&["turns", "questions"]).await;
    assert!(
        code == 0 && out.contains("Shall I?") && out.contains(&turn),
        "{out}"
    );
    let (code, out, _) = host.run_cli(&["turns", "show", &turn]).await;
    assert!(code == 0 && out.contains("--approve"), "{out}");
    let (code, _, error) = host.run_cli(&["turns", "answer", &turn, "yes"]).await;
    assert!(code != 0 && error.contains("may not answer"), "{error}");
    let (code, _, error) = host
        .run_cli(&[
            "turns",
            "answer",
            &turn,
            "fine by me",
            "--approve",
            "--user",
            "ada",
        ])
        .await;
    assert_eq!(code, 0, "{error}");
    assert_eq!(
        host.ended(&turn).await["text"],
        "answered http:ada: fine by me"
    );
}

#[tokio::test]
async fn instances_that_wait_for_models_are_given_up_when_they_are_many() {
    const SCRIPT: &str = "[[rules]]\nwhen = { last = { contains = \"slowly\" } }\n\
        reply = { text = \"at last\", delay_ms = 3500 }\n\n[fallback]\ntext = \"You said: {last}\"\n";
    let host = TestHost::new()
        .plugin("probe")
        .script(SCRIPT)
        .set("turns.waiting_instances", 0)
        .start()
        .await;
    let answered = host
        .ask(
            "probe",
            "clock\nsend a;;b\nstate set agent k v\ngenerate slowly\nclock",
        )
        .await;
    assert!(answered.text().contains("at last"), "{}", answered.text());
    let turn = answered.turn();
    let view = host.get(&format!("/api/v1/turns/{turn}")).await.body;
    assert!(
        view["receipt"]["rerun_fuel"].as_u64().unwrap() > 0,
        "{view:#}"
    );
    assert!(
        view["receipt"]["output_tokens"].as_u64().unwrap() > 0,
        "{view:#}"
    );
    let usage = host.get("/api/v1/usage").await.body;
    assert_eq!(usage["items"][0]["calls"], 1, "{usage:#}");
    assert_eq!(host.replay(&turn).await.body["same"], true);

    let text = "log info before\ngenerate slowly";
    let turn = host.ask_async("probe", text).await.turn();
    host.wait_for("the instance is given up", async || {
        let metrics = host.get("/metrics").await.body.to_string();
        metrics.contains("anchorhold_parked_calls 1").then_some(())
    })
    .await;
    host.post(&format!("/api/v1/turns/{turn}/cancel"), &json!({}))
        .await;
    let cancelled = host.ended(&turn).await;
    assert_eq!(cancelled["status"], "cancelled");
    let receipt = &cancelled["receipt"];
    assert!(receipt["input_tokens"].as_u64().unwrap() > 0, "{receipt:#}");
    assert_eq!(logged(&host, &turn).await, ["before"]);
    let usage = host.get("/api/v1/usage").await.body;
    assert_eq!(
        usage["items"][0]["calls"], 2,
        "what was cut off is billed: {usage:#}"
    );
}

/// What a turn logged.
async fn logged(host: &TestHost, turn: &str) -> Vec<String> {
    let log = host.get(&format!("/api/v1/turns/{turn}/log")).await.body;
    let lines = log["items"].as_array().unwrap().iter();
    let messages = lines.map(|line| line["message"].as_str().unwrap().to_owned());
    messages.collect()
}
