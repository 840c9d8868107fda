//! A guest that does what a test tells it to and says what it saw.
//!
//! The text of a message is one command on each line; the answers come back on as many lines (a
//! single answer may be longer). What the host refuses is answered as `error KIND: MESSAGE`, and
//! the next line still runs. `A;;B` is a list of texts.
//!
//! | command | answer |
//! |---|---|
//! | `echo TEXT` | the text |
//! | `message` | the message as JSON |
//! | `history` | the texts of the history, joined by `\|` |
//! | `config KEY` | the value as JSON, or `absent` |
//! | `config` | the whole configuration as JSON |
//! | `state set SCOPE KEY VALUE [ttl=MS]` | the revision |
//! | `state get SCOPE KEY` | `{"value", "revision", "expires_at_ms"}`, or `absent` |
//! | `state cas SCOPE KEY EXPECTED VALUE` | the revision; `-` expects no value |
//! | `state remove SCOPE KEY` | `true` or `false` |
//! | `state keys SCOPE [PREFIX]` | a JSON list |
//! | `sql query SQL [## PARAMS]` | `{"columns", "rows", "truncated"}`; PARAMS is a JSON list |
//! | `sql execute SQL [## PARAMS]` | `{"rows_affected", "last_insert_id"}` |
//! | `sql batch SQL1;;SQL2` | a list of those |
//! | `publish TOPIC JSON [key=KEY]` | the id of the event |
//! | `schedule NAME TOPIC JSON (cron=EXPRESSION [zone=ZONE] \| at=MS)` | `scheduled` |
//! | `unschedule NAME` | `true` or `false` |
//! | `http METHOD URL [NAME:VALUE;;NAME:VALUE] [\| BODY]` | `{"status", "url", "headers", "body"}` |
//! | `generate[:ALIAS] TEXT` | `{"text", "finish", "model", "provider", "attempts", "usage"}` |
//! | `stream[:ALIAS] TEXT` | read one event at a time: `{"text", "events"}` with counts |
//! | `forward[:ALIAS] TEXT` | the text, which the person saw being made |
//! | `cancel[:ALIAS] TEXT` | as `generate`, after reading one event and cancelling |
//! | `wait-any[:ALIAS] TEXT1;;TEXT2` | `{"order", "texts"}`; without a text it waits for nothing |
//! | `tool[:ALIAS] TEXT` | offers a function `weather`; `{"calls", "text"}` |
//! | `json[:ALIAS] TEXT` | asks for JSON `{"city"}` by schema; the text |
//! | `embed[:ALIAS] TEXT1;;TEXT2` | the lengths of the vectors |
//! | `models` | a JSON list of aliases |
//! | `budgets` | what is left of each budget, a JSON list |
//! | `parallel ALIAS N` | how N generations at once came out, a JSON list |
//! | `clock` | `{"wall_ns", "elapsed_ns"}`, three reads of each |
//! | `random` | `{"bytes", "order"}`: 16 bytes and the order of a hash map |
//! | `environment` | `{"variables", "arguments", "file"}`: what leaks in |
//! | `sleep MS` | `slept` |
//! | `calls N` | reads the state N times; N |
//! | `spin MILLIONS` | turns a loop; a checksum |
//! | `exact-integers` | what becomes of integers at the edge of 53 and 64 bits |
//! | `send TEXT1;;TEXT2` | sends the pieces; the whole text |
//! | `progress` | shows a task running, then done; `done` |
//! | `ask text\|approval\|A;;B TEXT [## NAME=VALUE]` with `who=ID;;ID` or `expires=MS` | `answered ID: TEXT`, `refused ID: TEXT` or `expired` |
//! | `agent ask NAME TEXT` | what that agent answers |
//! | `agent tell NAME TEXT` | the id of its turn |
//! | `tools` | `{NAME: {"source", "read_only", "destructive", "needs_approval"}}` |
//! | `call NAME JSON` | what the tool answers; `failed TEXT` if it failed, `cut TEXT` if it was cut |
//! | `run-tools[:ALIAS] TEXT` | what a model answers that has all granted tools |
//! | `wait MS` | `waited`: until a time so far ahead |
//! | `interjections` | the texts of messages that came meanwhile, joined by `\|` |
//! | `log LEVEL TEXT`, `stdout TEXT`, `stderr TEXT` | `logged` |
//! | `attach NAME TEXT` | `attached`; the answer has a file with this text |
//! | `sure NUMBER` | `sure`; the answer says how sure it is |
//! | `error KIND MESSAGE` | none: `respond` fails with this error |
//!
//! Events: stored in the state of the agent as `event:ID`, the id appended to the list
//! `log:ORDERING-KEY` (`log:-` without one). Data `{"fail": N}` fails the first N attempts,
//! `{"wait": MS}` waits before that without an instance, `{"sleep": MS}` with one, `{"to": TOPIC}`
//! publishes the same there with the topics swapped.
//!
//! Web: answers 200 with method, path, query, headers, caller and body as JSON.

mod machine;
mod model;
mod outside;
mod people;
mod show;
mod store;
mod toolbox;

use anchorhold_agent::serde_json::json;
use anchorhold_agent::state::{self, Scope};
use anchorhold_agent::{
    Chat, Error, ErrorKind, Event, Message, Reply, Result, Subscriber, Web, config, events, web,
};

anchorhold_agent::manifest!("probe.toml");
anchorhold_agent::export!(Probe: Chat, Subscriber, Web);

struct Probe;

impl Chat for Probe {
    fn respond(message: Message) -> Result<Reply> {
        if let Some(asked_for) = message.text.strip_prefix("error ") {
            return Err(show::error_named(asked_for));
        }
        let answers: Vec<_> = message
            .text
            .lines()
            .map(|line| answer(line, &message))
            .collect();
        let mut reply: Reply = answers.join("\n").into();
        for line in message.text.lines() {
            match show::split(line) {
                ("attach", file) => reply.attachments.push(show::file(file)),
                ("sure", number) => {
                    reply.metadata_json = Some(format!("{{\"confidence\": {number}}}"));
                }
                _ => {}
            }
        }
        Ok(reply)
    }
}

/// The answer to one line; a refusal is one too.
fn answer(line: &str, message: &Message) -> String {
    run(line, message).unwrap_or_else(|error| show::refusal(error.kind, &error.message))
}

fn run(line: &str, message: &Message) -> Result<String> {
    let (command, rest) = show::split(line);
    let (name, alias) = command.split_once(':').unwrap_or((command, "default"));
    match name {
        "echo" => Ok(rest.into()),
        "attach" => Ok("attached".into()),
        "sure" => Ok("sure".into()),
        "message" => Ok(show::message(message)),
        "history" => Ok(show::history(message)),
        "config" => configuration(rest),
        "state" => store::state(rest),
        "sql" => store::sql(rest),
        "publish" => outside::publish(rest),
        "schedule" => outside::schedule(rest),
        "unschedule" => Ok(events::unschedule(rest)?.to_string()),
        "http" => outside::http(rest),
        "generate" | "stream" | "forward" | "cancel" | "wait-any" | "tool" | "json" | "embed"
        | "models" | "budgets" | "parallel" | "cached" | "shared" => {
            Ok(model::run(name, alias, rest))
        }
        "ask" => people::ask(rest),
        "interjections" => people::interjections(),
        "agent" => people::agent(rest),
        "wait" => people::wait(rest),
        "tools" => toolbox::list(),
        "call" => toolbox::call(rest),
        "run-tools" => toolbox::run(alias, rest),
        "send" | "progress" | "log" | "stdout" | "stderr" => outside::say(name, rest),
        _ => machine::run(name, rest),
    }
}

fn configuration(key: &str) -> Result<String> {
    if key.is_empty() {
        return Ok(config::get_all::<anchorhold_agent::serde_json::Value>()?.to_string());
    }
    let value = config::get::<anchorhold_agent::serde_json::Value>(key)?;
    Ok(value.map_or_else(|| "absent".into(), |value| value.to_string()))
}

impl Subscriber for Probe {
    fn receive(event: Event) -> Result<()> {
        let data: anchorhold_agent::serde_json::Value = event.data()?;
        if data["fail"]
            .as_u64()
            .is_some_and(|times| u64::from(event.attempt) <= times)
        {
            return Err(Error::unavailable("failing as the event says"));
        }
        if let Some(ms) = data["wait"].as_u64() {
            people::wait_ms(ms)?;
        }
        if let Some(ms) = data["sleep"].as_u64() {
            std::thread::sleep(std::time::Duration::from_millis(ms));
        }
        if let Some(topic) = data["to"].as_str() {
            events::publish(topic, &json!({"to": event.topic}))?;
        }
        state::set(
            Scope::Agent,
            &format!("event:{}", event.id),
            &show::event(&event, &data),
        )?;
        let log = format!("log:{}", event.ordering_key.as_deref().unwrap_or("-"));
        state::update(Scope::Agent, &log, |ids: &mut Vec<String>| {
            ids.push(event.id.clone())
        })?;
        Ok(())
    }
}

impl Web for Probe {
    fn serve(request: web::Request) -> Result<web::Response> {
        if request.path == "/error" {
            return Err(Error::new(ErrorKind::Internal, "failing as the path says"));
        }
        let seen = json!({
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": request.headers,
            "caller": request.caller,
            "body": String::from_utf8_lossy(&request.body),
        });
        web::Response::json(200, &seen)
    }
}

#[cfg(test)]
mod tests;
