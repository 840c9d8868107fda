//! The loop: read a line, say it, show the answer.

use std::path::PathBuf;

use anyhow::{Context, Result};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use serde_json::Value;

use super::command::{HELP, Line, parse};
use super::screen::{Screen, Sight};
use super::session::{Outcome, Session};
use crate::channel::http::views::{NewAnswer, TurnView};
use crate::cli::fault::report;
use crate::cli::output::{self, plain};
use crate::cli::turns::explain;
use crate::cli::wire::{items, text};
use crate::config::Environment;
use crate::format::{count, money, span};
use crate::store::TurnStatus;

/// What is done after a line.
#[derive(PartialEq, Eq)]
enum Next {
    Read,
    End,
}

/// Where the lines of earlier chats are kept: the folder for state of the XDG
/// base directories.
pub(super) fn history_file(environment: &Environment) -> Option<PathBuf> {
    let state = environment.get("XDG_STATE_HOME").map(PathBuf::from);
    let of_home = || Some(PathBuf::from(environment.get("HOME")?).join(".local/state"));
    Some(state.or_else(of_home)?.join("anchorhold/chat-history"))
}

pub(super) async fn run(mut session: Session, history: Option<PathBuf>) -> Result<()> {
    let mut editor = DefaultEditor::new().context("cannot read from this terminal")?;
    if let Some(file) = &history {
        // At the first chat there is none.
        let _ = editor.load_history(file);
    }
    loop {
        let prompt = format!("{}> ", session.agent);
        let (line, back) = read_line(editor, prompt).await?;
        editor = back;
        let next = match line {
            Ok(line) => {
                let _ = editor.add_history_entry(line.trim());
                obey(&mut session, &line).await
            }
            // Ctrl-c empties the line, as in a shell.
            Err(ReadlineError::Interrupted) => Next::Read,
            Err(ReadlineError::Eof) => Next::End,
            Err(error) => return Err(error).context("cannot read from this terminal"),
        };
        if next == Next::End {
            break;
        }
    }
    if let Some(file) = &history {
        save(&mut editor, file);
    }
    Ok(())
}

/// Reads a line on a thread of its own: connections go on meanwhile.
async fn read_line(
    mut editor: DefaultEditor,
    prompt: String,
) -> Result<(rustyline::Result<String>, DefaultEditor)> {
    let read = move || (editor.readline(&prompt), editor);
    tokio::task::spawn_blocking(read)
        .await
        .context("cannot read from this terminal")
}

fn save(editor: &mut DefaultEditor, file: &std::path::Path) {
    let saved = file.parent().map(std::fs::create_dir_all).transpose();
    let saved = saved
        .map_err(ReadlineError::from)
        .and_then(|_| editor.save_history(file));
    if let Err(error) = saved {
        eprintln!(
            "The history of this chat is not kept: {}: {error}",
            file.display()
        );
    }
}

async fn obey(session: &mut Session, line: &str) -> Next {
    let done = match parse(line) {
        Line::Nothing => Ok(()),
        Line::Quit => return Next::End,
        Line::Message(text) if session.is_asked() => {
            let reply = NewAnswer {
                text: Some(text.to_owned()),
                ..NewAnswer::default()
            };
            answer(session, reply).await
        }
        Line::Message(text) => say(session, text).await,
        Line::Verdict(approve, why) => {
            let reply = NewAnswer {
                text: Some(why.to_owned()).filter(|why| !why.is_empty()),
                approve: Some(approve),
                ..NewAnswer::default()
            };
            answer(session, reply).await
        }
        Line::Help => {
            output::line(HELP);
            Ok(())
        }
        Line::Agent(name) => change_agent(session, name).await,
        Line::New => {
            session.begin_anew();
            output::line("A new conversation.");
            Ok(())
        }
        Line::History => history_of(session).await,
        Line::Why => why(session).await,
        Line::Unknown(name) => {
            output::line(format!(
                "There is no /{}; /help lists what there is.",
                plain(name)
            ));
            Ok(())
        }
    };
    // What went wrong with one line does not end the chat.
    if let Err(error) = done {
        report(&error);
    }
    Next::Read
}

async fn say(session: &mut Session, text: &str) -> Result<()> {
    let outcome = session.say(text, &mut Screen::new(Sight::All)).await?;
    conclude(&outcome)
}

/// Answers what the agent asks.
async fn answer(session: &mut Session, reply: NewAnswer) -> Result<()> {
    let outcome = session.reply(reply, &mut Screen::new(Sight::All)).await?;
    conclude(&outcome)
}

fn conclude(outcome: &Outcome) -> Result<()> {
    match outcome.turn.status {
        TurnStatus::Waiting => return Ok(()),
        TurnStatus::Cancelled => output::line("[cancelled]"),
        _ => outcome.check()?,
    }
    if let Some(bill) = bill(&outcome.turn) {
        output::line(bill);
    }
    Ok(())
}

/// What an answer took, in one line.
fn bill(turn: &TurnView) -> Option<String> {
    let receipt = turn.receipt.as_ref()?;
    let tokens = receipt.input_tokens + receipt.output_tokens;
    let cost = receipt
        .cost_micro_usd
        .map_or_else(|| "cost unknown".to_owned(), money);
    Some(format!(
        "[{}, {} tokens, {cost}]",
        span(receipt.wall_ms * 1_000),
        count(tokens)
    ))
}

async fn change_agent(session: &mut Session, name: Option<&str>) -> Result<()> {
    let Some(name) = name else {
        output::line(format!("You talk to {}.", session.agent));
        return Ok(());
    };
    // Asked first, so that a slip of the finger does not lose the conversation.
    session.client.get::<Value>(&["agents", name], &[]).await?;
    name.clone_into(&mut session.agent);
    session.begin_anew();
    output::line(format!("You talk to {name}, in a new conversation."));
    Ok(())
}

async fn history_of(session: &Session) -> Result<()> {
    if !session.is_known {
        output::line("Nothing was said yet.");
        return Ok(());
    }
    let path = ["conversations", session.conversation.as_str(), "messages"];
    let messages = session.client.all(&path).await?;
    for message in items(&messages) {
        let who = match text(message, "role").as_str() {
            "user" => "you".to_owned(),
            _ => session.agent.clone(),
        };
        output::line(plain(&format!("{who}> {}", text(message, "text"))));
    }
    Ok(())
}

async fn why(session: &Session) -> Result<()> {
    match &session.last {
        Some(turn) => explain::run(&session.client, turn, false).await,
        None => {
            output::line("Nothing was said yet.");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_is_where_state_belongs() {
        let file = |name: &str, value: &str| {
            history_file(&[(name.to_owned(), value.to_owned())].into_iter().collect())
        };
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(
            file("XDG_STATE_HOME", "/s"),
            path("/s/anchorhold/chat-history")
        );
        assert_eq!(
            file("HOME", "/h"),
            path("/h/.local/state/anchorhold/chat-history")
        );
        assert_eq!(file("PATH", "/"), None);
    }
}
