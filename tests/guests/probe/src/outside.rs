//! The commands that speak to the outside: `publish`, `http`, and the kinds of saying something.

use anchorhold_agent::events::{Publication, ScheduleTime};
use anchorhold_agent::http::Request;
use anchorhold_agent::log::{self, Level};
use anchorhold_agent::reply::{self, TaskStatus};
use anchorhold_agent::serde_json::{self, Value, json};
use anchorhold_agent::{Error, Result};

use crate::show;

pub(crate) fn publish(text: &str) -> Result<String> {
    let (topic, rest) = show::split(text);
    let (data, key) = rest
        .rsplit_once(" key=")
        .map_or((rest, None), |(it, key)| (it, Some(key)));
    let data: Value = serde_json::from_str(data)?;
    let publication = Publication::new(topic, &data)?;
    match key {
        Some(key) => publication.ordering_key(key).publish(),
        None => publication.publish(),
    }
}

/// `NAME TOPIC JSON cron=EXPRESSION zone=ZONE`, or with `at=MS`.
pub(crate) fn schedule(text: &str) -> Result<String> {
    let (name, rest) = show::split(text);
    let (topic, rest) = show::split(rest);
    let (data, when) = match (rest.rsplit_once(" cron="), rest.rsplit_once(" at=")) {
        (Some((data, cron)), _) => (data, by_cron(cron)),
        (_, Some((data, at))) => {
            let at = at.parse().map_err(|_| Error::invalid_input("at=MS"))?;
            (data, ScheduleTime::At(at))
        }
        _ => return Err(Error::invalid_input("cron=EXPRESSION or at=MS")),
    };
    let data: Value = serde_json::from_str(data)?;
    Publication::new(topic, &data)?.schedule(name, &when)?;
    Ok("scheduled".into())
}

fn by_cron(text: &str) -> ScheduleTime {
    match text.rsplit_once(" zone=") {
        Some((cron, zone)) => ScheduleTime::cron_in(zone, cron),
        None => ScheduleTime::cron(text),
    }
}

pub(crate) fn http(text: &str) -> Result<String> {
    let (head, body) = text
        .split_once(" | ")
        .map_or((text, None), |(it, body)| (it, Some(body)));
    let (method, rest) = show::split(head);
    let (url, headers) = show::split(rest);
    let mut request = Request::new(method, url);
    for (name, value) in show::texts(headers)
        .iter()
        .filter_map(|it| it.split_once(':'))
    {
        request = request.header(name, value);
    }
    request.body = body.map(Into::into);
    let response = request.send()?;
    Ok(json!({
        "status": response.status,
        "url": response.url,
        "headers": response.headers,
        "body": response.text(),
    })
    .to_string())
}

pub(crate) fn say(name: &str, text: &str) -> Result<String> {
    match name {
        "send" => {
            let pieces = show::texts(text);
            pieces.iter().try_for_each(reply::send_text)?;
            return Ok(pieces.concat());
        }
        "progress" => {
            reply::progress("task-1", "Probing", TaskStatus::Running)?;
            reply::progress("task-1", "Probing", TaskStatus::Done)?;
            return Ok("done".into());
        }
        "stdout" => println!("{text}"),
        "stderr" => eprintln!("{text}"),
        _ => {
            let (level, text) = show::split(text);
            log::write(
                level_named(level)?,
                text,
                &[("guest".into(), "probe".into())],
            );
        }
    }
    Ok("logged".into())
}

fn level_named(name: &str) -> Result<Level> {
    let levels = [Level::Debug, Level::Info, Level::Warn, Level::Error];
    let found = levels.into_iter().find(|level| show::name(level) == name);
    found.ok_or_else(|| Error::invalid_input(format!("no level `{name}`")))
}
