//! A measurement's table, as Markdown, and its place in docs/benchmarks.md.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// The results of one measurement.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Table {
    pub(crate) fn new(name: &'static str, columns: &[&'static str]) -> Self {
        Self {
            name,
            columns: columns.to_vec(),
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// A sentence below the table.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// The table with the date and how busy the machine was before.
    pub(crate) fn render(&self, load: &str) -> Result<String> {
        let mut text = format!("{}, load average before: {load}.\n\n", today()?);
        let columns: Vec<String> = self.columns.iter().map(ToString::to_string).collect();
        line(&mut text, &columns)?;
        line(&mut text, &vec!["---".to_owned(); columns.len()])?;
        for row in &self.rows {
            line(&mut text, row)?;
        }
        for note in &self.notes {
            write!(text, "\n{note}\n")?;
        }
        Ok(text)
    }
}

fn line(text: &mut String, cells: &[String]) -> Result<()> {
    Ok(writeln!(text, "| {} |", cells.join(" | "))?)
}

fn today() -> Result<String> {
    let output = Command::new("date").args(["-u", "+%Y-%m-%d"]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Puts a table between its markers in a document.
pub(crate) fn record(document: &Path, name: &str, table: &str) -> Result<()> {
    let text = std::fs::read_to_string(document)
        .with_context(|| format!("reading {}", document.display()))?;
    let changed = replaced(&text, name, table)
        .with_context(|| format!("{} has no place for {name}", document.display()))?;
    Ok(std::fs::write(document, changed)?)
}

fn replaced(text: &str, name: &str, table: &str) -> Option<String> {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = text.split_once(&start)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{start}{table}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let text = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n";
        let expected = "a\n<!-- x -->\nnew\n<!-- /x -->\nb\n";
        assert_eq!(replaced(text, "x", "new\n").unwrap(), expected);
        assert!(replaced(text, "y", "new\n").is_none());
    }
}
