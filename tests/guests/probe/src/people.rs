//! The commands that wait: for people, for other agents, for a time.

use std::time::{SystemTime, UNIX_EPOCH};

use anchorhold_agent::reply::{self, Expected, Outcome, Question};
use anchorhold_agent::{Error, Result, agents, events};

use crate::show;

pub(crate) fn ask(text: &str) -> Result<String> {
    let (expected, rest) = show::split(text);
    let (text, option) = rest.split_once(" ## ").unwrap_or((rest, ""));
    let expected = match expected {
        "text" => Expected::Text,
        "approval" => Expected::Approval,
        choices => Expected::Choice(show::texts(choices)),
    };
    let question = Question::new(text, expected);
    let question = match option.split_once('=') {
        Some(("who", ids)) => question.who(show::texts(ids)),
        Some(("expires", ms)) => question.expires_ms(number(ms)?),
        _ => question,
    };
    Ok(match question.ask()? {
        Outcome::Answered(answer) => format!("answered {}: {}", answer.by.id, answer.text),
        Outcome::Refused(answer) => format!("refused {}: {}", answer.by.id, answer.text),
        Outcome::Expired => "expired".into(),
    })
}

pub(crate) fn interjections() -> Result<String> {
    let messages = reply::interjections()?;
    let texts: Vec<_> = messages.into_iter().map(|message| message.text).collect();
    Ok(texts.join("|"))
}

pub(crate) fn agent(text: &str) -> Result<String> {
    let (how, rest) = show::split(text);
    let (agent, text) = show::split(rest);
    match how {
        "ask" => Ok(agents::ask(agent, text)?.text),
        _ => agents::tell(agent, text),
    }
}

pub(crate) fn wait(text: &str) -> Result<String> {
    wait_ms(number(text)?)?;
    Ok("waited".into())
}

pub(crate) fn wait_ms(ms: u64) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    events::sleep_until(now.unwrap_or_default().as_millis() as u64 + ms)
}

fn number(text: &str) -> Result<u64> {
    text.trim()
        .parse()
        .map_err(|_| Error::invalid_input(format!("`{text}` is not a number")))
}
