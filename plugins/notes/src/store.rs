//! The notes of one person in the agent's database. Every statement names the person, so that
//! nobody sees or changes the notes of another.

use anchorhold_agent::database::{self, Row, Value};
use anchorhold_agent::{Error, Result, params};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS note (
        number INTEGER PRIMARY KEY,
        person TEXT NOT NULL,
        text TEXT NOT NULL,
        tags TEXT NOT NULL,
        done INTEGER NOT NULL DEFAULT 0
    )";

pub(crate) struct Store {
    person: String,
}

pub(crate) struct Note {
    pub(crate) number: i64,
    pub(crate) text: String,
    pub(crate) done: bool,
}

impl Store {
    pub(crate) fn open(person: &str) -> Result<Self> {
        database::execute(SCHEMA, params![])?;
        Ok(Self {
            person: person.into(),
        })
    }

    pub(crate) fn person(&self) -> &str {
        &self.person
    }

    /// Keeps a note and answers its number.
    pub(crate) fn add(&self, text: &str, tags: &[&str]) -> Result<i64> {
        let sql = "INSERT INTO note (person, text, tags) VALUES (?1, ?2, ?3)";
        let outcome = database::execute(sql, params![&self.person, text, as_words(tags)])?;
        let number = outcome.last_insert_id.and_then(|id| id.parse().ok());
        number.ok_or_else(|| Error::from("the database gave no number"))
    }

    /// What is not done, the oldest first; only those with `tag` if there is one.
    pub(crate) fn open_notes(&self, tag: Option<&str>, most: u32) -> Result<Vec<Note>> {
        let sql = "
            SELECT number, text, done FROM note
            WHERE person = ?1 AND done = 0 AND (?2 IS NULL OR instr(tags, ?2) > 0)
            ORDER BY number LIMIT ?3";
        let tag = tag.map(|tag| as_words(&[tag]));
        notes(sql, params![&self.person, tag, most])
    }

    /// The notes that have all of `words`, the latest first.
    pub(crate) fn find(&self, words: &[&str], most: u32) -> Result<Vec<Note>> {
        let mut sql = "SELECT number, text, done FROM note WHERE person = ?1".to_string();
        for place in 3..words.len() + 3 {
            sql.push_str(&format!(" AND instr(lower(text), lower(?{place})) > 0"));
        }
        sql.push_str(" ORDER BY number DESC LIMIT ?2");
        let mut values = params![&self.person, most].to_vec();
        values.extend(words.iter().map(|word| Value::from(*word)));
        notes(&sql, values)
    }

    /// Ticks a note off; answers whether there was such a note.
    pub(crate) fn tick_off(&self, number: i64) -> Result<bool> {
        let sql = "UPDATE note SET done = 1 WHERE number = ?1 AND person = ?2 AND done = 0";
        let outcome = database::execute(sql, params![number, &self.person])?;
        Ok(outcome.rows_affected > 0)
    }
}

/// Tags between spaces, so that one can be found whole: ` tea shop `.
fn as_words(tags: &[&str]) -> String {
    format!(" {} ", tags.join(" "))
}

fn notes(sql: &str, params: impl AsRef<[Value]>) -> Result<Vec<Note>> {
    database::query(sql, params)?.iter().map(note).collect()
}

fn note(row: Row<'_>) -> Result<Note> {
    Ok(Note {
        number: row.get("number")?,
        text: row.get("text")?,
        done: row.get("done")?,
    })
}
