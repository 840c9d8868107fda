//! Sources as text: product code without comments and tests, found by file.

#![expect(
    clippy::expect_used,
    reason = "a test that finds no sources should stop and say so"
)]

use std::path::{Path, PathBuf};

/// A file and its text.
pub(super) struct Source {
    /// Its path within the folder that was searched, with `/`.
    pub(super) name: String,
    pub(super) text: String,
}

/// The root of the repository.
pub(super) fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ lies in it").to_owned()
}

/// The host's own code: no tests, no comments.
pub(super) fn host_sources() -> Vec<Source> {
    let mut sources = rust_files(&repository().join("host/src"));
    assert!(sources.len() > 100, "host/src is not where it was");
    sources.retain(|source| !source.is_test());
    for source in &mut sources {
        source.text = product_code(&source.text);
    }
    sources
}

/// Every Rust file below a folder, but for what is built.
pub(super) fn rust_files(folder: &Path) -> Vec<Source> {
    files_below(folder, "rs")
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(folder).expect("below it");
            Source::read(folder, &name.display().to_string())
        })
        .collect()
}

/// Files with this extension, in order; hidden folders and what is built or
/// installed are left out.
pub(super) fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries =
        std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            let skipped = name.starts_with('.') || name == "target" || name == "node_modules";
            if !skipped {
                found.extend(files_below(&path, extension));
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What the contract lends, of `world imports`.
pub(super) fn interfaces(root: &Path) -> Vec<String> {
    let world = Source::read(root, "wit/world.wit").text;
    let (_, imports) = world.split_once("world imports {").expect("world imports");
    let (imports, _) = imports.split_once('}').expect("its end");
    imports
        .lines()
        .filter_map(|line| line.trim().strip_prefix("import ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect()
}

impl Source {
    pub(super) fn read(folder: &Path, name: &str) -> Self {
        let path = folder.join(name);
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self {
            name: name.to_owned(),
            text,
        }
    }

    /// Whether it is one of these modules or below one, or one of these files.
    pub(super) fn is_in(&self, rooms: &[&str]) -> bool {
        rooms.iter().any(|room| {
            let rest = self.name.strip_prefix(room);
            rest.is_some_and(|rest| rest.is_empty() || rest == ".rs" || rest.starts_with('/'))
        })
    }

    fn is_test(&self) -> bool {
        let parts: Vec<&str> = self.name.split('/').collect();
        parts
            .iter()
            .any(|part| matches!(*part, "tests" | "tests.rs" | "testing.rs"))
    }

    /// The lines that have one of these words, with their place.
    pub(super) fn lines_with(&self, words: &[&str]) -> Vec<String> {
        let lines = self.text.lines().zip(1..);
        lines
            .filter(|(line, _)| words.iter().any(|word| line.contains(word)))
            .map(|(line, number)| format!("{}:{number}: {}", self.name, line.trim()))
            .collect()
    }

    /// Whether it names this module of the crate: by `crate::room`, or within
    /// `crate::{…}`.
    pub(super) fn uses_room(&self, room: &str) -> bool {
        let text = self.dense();
        text.split("crate::")
            .skip(1)
            .any(|rest| match rest.strip_prefix('{') {
                Some(list) => {
                    let list = list.split(';').next().unwrap_or_default();
                    outermost(list).iter().any(|name| name == room)
                }
                None => first_name(rest) == room,
            })
    }

    /// The names that `use krate::…` brings in, the outermost of a list.
    pub(super) fn imported_from(&self, krate: &str) -> Vec<String> {
        let text = self.dense();
        let keyword = format!("use{krate}::");
        let uses = text.split(keyword.as_str()).skip(1);
        uses.flat_map(|rest| match rest.strip_prefix('{') {
            Some(list) => outermost(list.split(';').next().unwrap_or_default()),
            None => vec![first_name(rest).to_owned()],
        })
        .collect()
    }

    fn dense(&self) -> String {
        self.text
            .chars()
            .filter(|character| !character.is_whitespace())
            .collect()
    }
}

/// The first names of a list such as `a::{b,c},d}`: here `a` and `d`.
fn outermost(list: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut depth = 0;
    for character in list.chars() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(String::new()),
            _ if depth == 0 => names.last_mut().expect("one").push(character),
            _ => {}
        }
    }
    names
        .iter()
        .map(|name| first_name(name).to_owned())
        .collect()
}

fn first_name(path: &str) -> &str {
    let end = path
        .find(|character: char| !character.is_alphanumeric() && character != '_')
        .unwrap_or(path.len());
    &path[..end]
}

/// Without the tests at its end, and with comments blanked, so that lines keep
/// their numbers.
fn product_code(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let tests_follow = lines
            .peek()
            .is_some_and(|next| next.trim_start().starts_with("mod tests {"));
        if line.trim() == "#[cfg(test)]" && tests_follow {
            break;
        }
        if !line.trim_start().starts_with("//") {
            code.push_str(line);
        }
        code.push('\n');
    }
    code
}

#[test]
fn uses_are_found_in_every_form() {
    let source = |text: &str| Source {
        name: "a.rs".to_owned(),
        text: text.to_owned(),
    };
    for text in [
        "use crate::channel::http;",
        "use crate::{app, channel::{http, x}};",
        "fn f(a: &crate::channel::Api) {}",
        "use crate::{\n    config::{self, Http},\n    channel,\n};",
    ] {
        assert!(source(text).uses_room("channel"), "{text}");
    }
    for text in [
        "use crate::config::channel;",
        "use crate::{config::{channel}};",
        "use tokio::sync::mpsc::channel;",
    ] {
        assert!(!source(text).uses_room("channel"), "{text}");
    }
    let names = source("use reqwest::{Method, header::{ACCEPT, HOST}, Client};");
    assert_eq!(
        names.imported_from("reqwest"),
        ["Method", "header", "Client"]
    );
    assert!(source("").is_in(&["a"]) && !source("").is_in(&["b", "a/b"]));
}
