//! The command language, against a host in memory.

use anchorhold_agent::events::ScheduleTime;
use anchorhold_agent::state::{self, Scope};
use anchorhold_agent::testing::{self, Host};
use anchorhold_agent::{Chat, ErrorKind, Subscriber, Web};

use crate::Probe;

fn say(text: &str) -> String {
    Probe::respond(testing::message(text)).unwrap().text
}

#[test]
fn runs_one_command_on_each_line() {
    let _host = Host::new().config("greeting", "hi");
    assert_eq!(
        say("echo a b\nconfig greeting\nconfig x\nnonsense"),
        [
            "a b",
            "\"hi\"",
            "absent",
            "error invalid-input: no command `nonsense`"
        ]
        .join("\n")
    );
}

#[test]
fn reads_and_writes_the_state() {
    let _host = Host::new();
    assert_eq!(say("state get user a"), "absent");
    assert_eq!(say("state set user a one two ttl=5"), "1");
    assert!(say("state get user a").contains(r#""value":"one two""#));
    assert!(say("state cas user a - x").starts_with("error conflict: "));
    assert_eq!(say("state keys user\nstate remove user a"), "[\"a\"]\ntrue");
}

#[test]
fn runs_sql_with_parameters() {
    let _host = Host::new();
    assert!(say("sql batch CREATE TABLE t (a, b);;INSERT INTO t VALUES (1, 'x')").contains('1'));
    let answer = say(r#"sql query SELECT a, b, ?1 AS c FROM t ## [{"big": "9007199254740993"}]"#);
    assert!(
        answer.contains(r#"[[1,"x",{"big":"9007199254740993"}]]"#),
        "{answer}"
    );
}

#[test]
fn asks_models_in_every_way() {
    let host = Host::new().model(|request| testing::response(request.messages[0].content.clone()));
    assert!(say("generate:fast hi there").contains(r#""text":"hi there""#));
    assert!(say("stream a b c").contains(r#"{"text":3,"usage":1}"#));
    assert_eq!(say("forward hello"), "hello");
    assert!(say("wait-any one;;two").contains(r#"["one","two"]"#));
    assert!(say("wait-any").starts_with("error invalid-request: "));
    assert_eq!(host.requests()[0].model, "fast");
    assert_eq!(say("models"), r#"["default"]"#);
}

#[test]
fn publishes_and_receives() {
    let host = Host::new();
    assert_eq!(say("publish probe.ping {\"n\": 1} key=k"), "event-1");
    assert_eq!(host.published()[0].ordering_key.as_deref(), Some("k"));

    let mut event = testing::event(
        "probe.ping",
        &anchorhold_agent::serde_json::json!({"fail": 1}),
    );
    Probe::receive(event.clone()).unwrap_err();
    event.attempt = 2;
    Probe::receive(event).unwrap();
    let log: Vec<String> = state::get(Scope::Agent, "log:-").unwrap().unwrap();
    assert_eq!(log, ["event-1"]);
}

#[test]
fn schedules_and_removes() {
    let host = Host::new();
    let line = "schedule tea probe.tea {} cron=0 16 * * * zone=Europe/London";
    assert_eq!(say(line), "scheduled");
    let (when, what) = host.schedules()["tea"].clone();
    assert_eq!(when, ScheduleTime::cron_in("Europe/London", "0 16 * * *"));
    assert_eq!(what.topic, "probe.tea");
    assert_eq!(say("schedule tea probe.tea {} at=5"), "scheduled");
    assert_eq!(host.schedules()["tea"].0, ScheduleTime::At(5));
    assert_eq!(say("unschedule tea\nunschedule tea"), "true\nfalse");
}

#[test]
fn fails_as_told() {
    let error = Probe::respond(testing::message("error not-found gone")).unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ErrorKind::NotFound, "gone")
    );
}

#[test]
fn shows_web_requests() {
    let response = Probe::serve(testing::web_request("PUT", "/a", "body")).unwrap();
    let text = String::from_utf8(response.body).unwrap();
    assert!(
        text.contains(r#""method":"PUT""#) && text.contains(r#""body":"body""#),
        "{text}"
    );
}
