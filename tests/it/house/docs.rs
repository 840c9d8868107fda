//! The documents say what the code has: every key, every metric, every code,
//! and no page or link that is not there.

use std::collections::BTreeSet;
use std::path::Path;

use super::none;
use super::source::{Source, files_below, host_sources, repository};

/// A section of configuration as the code has it.
struct Keys {
    file: String,
    fields: Vec<String>,
}

/// The public fields of the structs in host/src/config.
fn configuration() -> Vec<Keys> {
    let mut sources = host_sources();
    sources.retain(|source| source.is_in(&["config"]) && source.name != "config/environment.rs");
    assert!(sources.len() >= 8, "host/src/config is not where it was");
    sources
        .into_iter()
        .map(|source| Keys {
            fields: fields(&source.text),
            file: source.name,
        })
        .collect()
}

fn fields(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim);
    let public = lines.filter_map(|line| line.strip_prefix("pub ")?.split_once(':'));
    public
        .map(|(name, _)| name.to_owned())
        .filter(|name| is_key(name))
        .collect()
}

fn is_key(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// The first cells of the tables' rows, without their quotes.
fn first_cells(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned()))
        .collect()
}

#[test]
fn every_key_of_the_configuration_is_documented() {
    let page = Source::read(&repository(), "docs/reference/config.md").text;
    let rows = first_cells(&page);
    let sections: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## ").or(line.strip_prefix("### ")))
        .collect();
    let is_section = |name: &str| {
        sections.iter().any(|heading| {
            heading
                .split(|c: char| !c.is_ascii_lowercase() && c != '_')
                .any(|word| word == name)
        })
    };
    let mut known = BTreeSet::new();
    let mut missing = Vec::new();
    for Keys { file, fields } in configuration() {
        for field in fields {
            if !rows.contains(&field) && !is_section(&field) {
                missing.push(format!("host/src/{file}: {field}"));
            }
            known.insert(field);
        }
    }
    none(
        &missing,
        "docs/reference/config.md says nothing of these keys",
    );
    let stale: Vec<String> = rows
        .into_iter()
        .filter(|row| is_key(row) && !known.contains(row))
        .collect();
    none(
        &stale,
        "docs/reference/config.md has keys that the code has not",
    );
}

#[test]
fn every_metric_is_documented() {
    let page = Source::read(&repository(), "docs/operating.md").text;
    let mut in_code = BTreeSet::new();
    for source in host_sources() {
        let quoted = source.text.split('"').skip(1).step_by(2);
        in_code.extend(quoted.filter(|text| is_metric(text)).map(str::to_owned));
    }
    assert!(in_code.len() > 10, "{in_code:?}");
    let listed: BTreeSet<String> = first_cells(&page)
        .into_iter()
        .filter(|name| is_metric(name))
        .collect();
    let difference: Vec<String> = in_code.symmetric_difference(&listed).cloned().collect();
    none(
        &difference,
        "docs/operating.md lists the metrics of the code",
    );
}

fn is_metric(name: &str) -> bool {
    let kinds = [
        "_total",
        "_seconds",
        "_bytes",
        "_size",
        "_agents",
        "_components",
        "_in_progress",
    ];
    name.starts_with("anchorhold_") && is_key(name) && kinds.iter().any(|kind| name.ends_with(kind))
}

#[test]
fn every_failure_of_a_turn_is_documented() {
    let page = Source::read(&repository(), "docs/operating.md").text;
    let code = Source::read(&repository(), "host/src/runtime/failure.rs").text;
    let (_, variants) = code.split_once("pub enum FailureCode {").expect("the enum");
    let (variants, _) = variants.split_once('}').expect("its end");
    let names = variants
        .lines()
        .map(str::trim)
        .filter_map(|line| line.strip_suffix(','))
        .map(kebab);
    let rows = first_cells(&page);
    let missing: Vec<String> = names.filter(|name| !rows.contains(name)).collect();
    none(
        &missing,
        "docs/operating.md lists the reasons for which turns fail",
    );
}

fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(character.to_ascii_lowercase());
    }
    kebab
}

#[test]
fn every_page_is_in_the_index() {
    let folder = repository().join("docs");
    let index = Source::read(&folder, "README.md").text;
    let missing: Vec<String> = files_below(&folder, "md")
        .iter()
        .filter_map(|path| Some(path.strip_prefix(&folder).ok()?.display().to_string()))
        .filter(|page| page != "README.md" && !index.contains(&format!("({page})")))
        .collect();
    none(&missing, "docs/README.md lists every page below docs/");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = repository();
    let mut broken = Vec::new();
    for path in files_below(&root, "md") {
        let text = std::fs::read_to_string(&path).expect("a document");
        let folder = path.parent().unwrap_or(&root);
        for target in links(&text) {
            if !leads_somewhere(folder, target) {
                let page = path.strip_prefix(&root).unwrap_or(&path);
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    none(&broken, "these links lead nowhere");
}

/// The targets of links within the repository, outside of blocks of code.
fn links(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    prose
        .flat_map(|prose| prose.split("](").skip(1))
        .filter_map(|rest| Some(rest.split_once(')')?.0))
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .collect()
}

fn leads_somewhere(folder: &Path, target: &str) -> bool {
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let path = folder.join(file);
    if file.is_empty() || heading.is_empty() {
        return file.is_empty() || path.exists();
    }
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter(|line| line.starts_with('#'))
        .any(|line| anchor(line.trim_start_matches('#').trim()) == heading)
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn the_first_agent_is_the_same_in_the_readme_and_in_its_guide() {
    let root = repository();
    let readme = Source::read(&root, "README.md").text;
    let guide = Source::read(&root, "docs/agents/rust.md").text;
    let blocks: Vec<&str> = readme
        .split("```")
        .skip(1)
        .step_by(2)
        .filter_map(|block| {
            block
                .strip_prefix("rust\n")
                .or(block.strip_prefix("toml\n"))
        })
        .collect();
    assert!(
        blocks.len() >= 3,
        "README.md shows an agent, its manifest and its Cargo.toml"
    );
    for block in blocks {
        assert!(
            guide.contains(block.trim_end()),
            "README.md shows what docs/agents/rust.md does not have:\n{block}"
        );
    }
}
