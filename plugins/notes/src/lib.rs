//! Keeps notes in a database, one list per person, and tells others about new ones.

mod command;
mod store;

use anchorhold_agent::events::Publication;
use anchorhold_agent::serde_json::json;
use anchorhold_agent::{Chat, Message, Reply, Result, config, log};

use command::Command;
use store::{Note, Store};

anchorhold_agent::manifest!("notes.toml");
anchorhold_agent::export!(Notes: Chat);

struct Notes;

const HELP: &str = "\
- `add TEXT #tag` keeps a note
- `list` or `list #tag` shows what is open
- `find WORDS` shows the notes with all these words
- `done NUMBER` ticks a note off";

impl Chat for Notes {
    fn respond(message: Message) -> Result<Reply> {
        let store = Store::open(&message.author.id)?;
        let most = config::get_or("show", 20_u32)?;
        let text = match command::parse(&message.text) {
            Command::Add { text, tags } => add(&store, text, &tags)?,
            Command::List { tag } => show(&store.open_notes(tag, most)?, "There is nothing to do."),
            Command::Find { words } => show(&store.find(&words, most)?, "I found nothing."),
            Command::Done { number } => done(&store, number)?,
            Command::Help => HELP.into(),
        };
        Ok(text.into())
    }
}

fn add(store: &Store, text: &str, tags: &[&str]) -> Result<String> {
    let number = store.add(text, tags)?;
    let data = json!({"number": number, "text": text, "tags": tags, "person": store.person()});
    let event = Publication::new("note.added", &data)?.ordering_key(store.person());
    // The note is kept, whether or not anybody may hear of it.
    if let Err(error) = event.publish() {
        log::warn(format!("note.added was not published: {}", error.message));
    }
    Ok(format!("Noted as {number}."))
}

fn done(store: &Store, number: i64) -> Result<String> {
    Ok(if store.tick_off(number)? {
        format!("Ticked off {number}.")
    } else {
        format!("You have no open note {number}.")
    })
}

fn show(notes: &[Note], nothing: &str) -> String {
    if notes.is_empty() {
        return nothing.into();
    }
    let line = |note: &Note| {
        let tick = if note.done { " (done)" } else { "" };
        format!("- {}: {}{tick}", note.number, note.text)
    };
    notes.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
