//! The only place that writes to standard output: lines, tables, JSON.

use std::io::{ErrorKind, IsTerminal, Write};

use serde::Serialize;

/// Writes a line.
pub(super) fn line(text: impl AsRef<str>) {
    write(text.as_ref());
    write("\n");
}

/// Writes a piece of a line, at once.
pub(super) fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    // Whoever reads has had enough, for example `head`.
    if written.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        std::process::exit(0);
    }
}

/// Writes a value as JSON.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Whether a person reads.
pub(super) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Text of others, without what would move a terminal's cursor or change its
/// colours.
pub(super) fn plain(text: &str) -> String {
    let shown = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().filter(shown).collect()
}

/// A table: columns as wide as their widest cell, the last one as it is.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new<const N: usize>(headers: [&str; N]) -> Self {
        Self {
            rows: vec![headers.map(str::to_owned).to_vec()],
        }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(
            cells
                .map(|cell| plain(&cell).replace(['\n', '\t'], " "))
                .to_vec(),
        );
    }

    /// Writes the table, or `nothing` if it has no rows.
    pub(super) fn print(&self, nothing: &str) {
        if self.rows.len() < 2 {
            eprintln!("{nothing}");
        } else {
            write(&self.render());
        }
    }

    fn render(&self) -> String {
        let widths = self.widths();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&format!("{cell:<width$}  "));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        (0..columns).map(width).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["NAME", "STATUS"]);
        table.row(["a".into(), "enabled".into()]);
        table.row(["longer\nname".into(), String::new()]);
        assert_eq!(
            table.render(),
            "NAME         STATUS\na            enabled\nlonger name\n"
        );
    }

    #[test]
    fn nobody_else_moves_the_cursor() {
        assert_eq!(plain("a\u{1b}[2Jb\u{9b}c\r\n\td\u{7}"), "a[2Jbc\n\td");
    }
}
