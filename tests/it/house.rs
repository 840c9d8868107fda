//! The house stands as ARCHITECTURE.md draws it: what must be absent is absent,
//! and what the documentation lists is what the code has. Reads sources and
//! documents only; no host is started.

mod docs;
mod source;

use source::{Source, host_sources, repository, rust_files};

/// Fails with every offender and with what to do.
fn none(offenders: &[String], rule: &str) {
    assert!(offenders.is_empty(), "{rule}\n  {}", offenders.join("\n  "));
}

/// Every line of the host outside of `rooms` that has one of `words`.
fn strangers(rooms: &[&str], words: &[&str]) -> Vec<String> {
    host_sources()
        .iter()
        .filter(|source| !source.is_in(rooms))
        .flat_map(|source| source.lines_with(words))
        .collect()
}

#[test]
fn only_the_runtime_and_capabilities_know_wasmtime() {
    let found = strangers(
        &["runtime", "capability"],
        &["wasmtime::", "wasmtime_wasi::", "use wasmtime"],
    );
    none(&found, "wasmtime is for runtime/ and capability/ only");
}

#[test]
fn sql_is_in_the_store_and_in_the_database_capability_only() {
    let found = strangers(
        &["store", "capability/database"],
        &["rusqlite::", "use rusqlite"],
    );
    none(&found, "SQL is for store/ and capability/database only");
}

#[test]
fn only_net_makes_clients_that_reach_out() {
    let words = [
        "reqwest::Client::new",
        "reqwest::Client::builder",
        "reqwest::Client::default",
        "reqwest::ClientBuilder",
        "reqwest::get(",
        "reqwest::blocking",
        "use reqwest::Client;",
        "hyper_util::client",
        "TcpStream::connect",
        "UdpSocket",
        "lookup_host",
    ];
    none(
        &strangers(&["net"], &words),
        "outbound HTTP goes through net.rs: take a client from there",
    );
    let imports: Vec<String> = host_sources()
        .iter()
        .filter(|source| !source.is_in(&["net"]))
        .filter(|source| {
            let imported = source.imported_from("reqwest");
            imported
                .iter()
                .any(|name| name == "Client" || name == "ClientBuilder")
        })
        .map(|source| source.name.clone())
        .collect();
    none(
        &imports,
        "a client of reqwest is made in net.rs and handed on",
    );
    none(
        &strangers(
            &[
                "net",
                "llm",
                "cli",
                "telemetry",
                "tools",
                "channel/slack",
                "dev/slack",
            ],
            &["reqwest::", "use reqwest"],
        ),
        "reqwest is for net/, and for those who are handed its clients: llm/, telemetry/, tools/, cli/ and both slack/",
    );
    none(&strangers(&["llm"], &["genai::"]), "genai is for llm/ only");
    none(
        &strangers(&["tools", "channel/http/mcp"], &["rmcp::"]),
        "rmcp is for tools/, and for channel/http/mcp/, which serves it",
    );
}

#[test]
fn models_are_reached_by_the_clients_of_net() {
    let makes = "genai::Client::";
    let mut makers = host_sources();
    makers.retain(|source| !source.lines_with(&[makes]).is_empty());
    assert!(
        !makers.is_empty(),
        "{makes} is not found any more: mend this test"
    );
    let without: Vec<String> = makers
        .iter()
        .flat_map(|source| source.lines_with(&[makes]))
        .filter(|line| !line.contains(".with_reqwest("))
        .collect();
    none(&without, "genai gets its client from net::provider_client");
}

#[test]
fn what_is_inside_knows_no_channel() {
    let rooms = [
        "runtime",
        "capability",
        "turn",
        "inbox",
        "events",
        "registry",
        "store",
        "llm",
        "tools",
        "net",
        "config",
    ];
    let found: Vec<String> = host_sources()
        .iter()
        .filter(|source| source.is_in(&rooms))
        .flat_map(|source| {
            ["channel", "cli", "app"]
                .into_iter()
                .filter(|room| source.uses_room(room))
                .map(|room| format!("{} uses crate::{room}", source.name))
                .collect::<Vec<_>>()
        })
        .collect();
    none(
        &found,
        "no hop calls backwards: these rooms know no channel, no command and not the whole host",
    );
}

#[test]
fn the_window_knows_no_capability() {
    let found: Vec<String> = host_sources()
        .iter()
        .filter(|source| source.is_in(&["turn", "registry", "store", "net", "llm", "tools"]))
        .filter(|source| source.uses_room("capability"))
        .map(|source| source.name.clone())
        .collect();
    none(
        &found,
        "capabilities pass the window; what they rest on does not know them",
    );
}

#[test]
fn nothing_reads_the_environment_after_the_start() {
    let words = ["env::var", "env::vars", "use std::env", "env::set_var"];
    none(
        &strangers(&["config/environment.rs"], &words),
        "the environment is read once, by config/environment.rs",
    );
    let copies = strangers(&["cli.rs", "config/environment.rs"], &["of_process("]);
    none(&copies, "the command line takes the one copy, at its start");
    let by_clap = strangers(&["cli/globals.rs"], &["env = \""]);
    none(
        &by_clap,
        "options that come from the environment are those of cli/globals.rs",
    );
}

#[test]
fn unsafe_code_is_where_it_is_audited() {
    let rooms = ["runtime/components.rs", "capability/database/ffi.rs"];
    none(
        &strangers(&rooms, &["unsafe {", "unsafe fn", "unsafe impl"]),
        "unsafe code is for loading compiled code and for two calls of SQLite",
    );
}

#[test]
fn files_are_named_small_and_introduced() {
    let files = rust_files(&repository());
    assert!(files.len() > 100, "the sources are not where they were");
    let (mut named, mut large, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    for Source { name, text } in &files {
        if name.ends_with("/mod.rs") {
            named.push(name.clone());
        }
        let lines = text.lines().count();
        if lines > 600 {
            large.push(format!("{name}: {lines} lines"));
        }
        if !text.starts_with("//!") {
            silent.push(name.clone());
        }
    }
    none(&named, "foo.rs beside foo/, no mod.rs");
    none(
        &large,
        "a file has at most 600 lines; cut it by what it is for",
    );
    none(
        &silent,
        "a file opens with //!: what it is for, what it refuses to know",
    );
}

#[test]
fn every_interface_has_one_name() {
    let root = repository();
    let lent = source::interfaces(&root);
    assert!(lent.contains(&"llm".to_owned()), "{lent:?}");
    let mut missing = Vec::new();
    for name in lent.iter().filter(|name| *name != "types") {
        for file in [
            format!("wit/{name}.wit"),
            format!("host/src/capability/{name}.rs"),
            format!("agent-sdk/rust/src/{name}.rs"),
        ] {
            if !root.join(&file).is_file() {
                missing.push(file);
            }
        }
    }
    none(
        &missing,
        "interface, capability and SDK module share their name",
    );
    let names = Source::read(&root, "host/src/registry/inspect/names.rs");
    let unknown: Vec<String> = lent
        .into_iter()
        .filter(|name| !names.text.contains(&format!("\"{name}\"")))
        .collect();
    none(
        &unknown,
        "registry/inspect/names.rs lists what world.wit imports",
    );
}

#[test]
fn every_table_belongs_to_a_tenant() {
    let folder = repository().join("migrations");
    let mut without = Vec::new();
    for file in source::files_below(&folder, "sql") {
        let text = std::fs::read_to_string(&file).expect("a migration");
        for table in text.split("CREATE TABLE ").skip(1) {
            let (name, columns) = table.split_once('(').expect("columns");
            let columns = columns.split(';').next().expect("an end");
            if name.trim() != "tenants" && !columns.contains("tenant_id TEXT NOT NULL") {
                without.push(name.trim().to_owned());
            }
        }
    }
    none(&without, "tenant_id is in every table");
}
