//! The watched folder: what is dropped answers, what is broken changes nothing.

use std::fs;
use std::time::SystemTime;

use serde_json::json;

use super::*;
use crate::registry::SettingsError;
use crate::registry::testing::{Place, component, component_with, core_module};
use crate::store::DEFAULT_TENANT;

/// Old enough that nobody takes it for a copy that is under way.
fn write(place: &Place, file: &str, bytes: &[u8]) {
    let path = place.plugin(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let beside = path.with_extension("new");
    fs::write(&beside, bytes).unwrap();
    let file = fs::File::options().write(true).open(&beside).unwrap();
    file.set_modified(SystemTime::now() - super::PATIENCE * 10)
        .unwrap();
    fs::rename(beside, path).unwrap();
}

#[tokio::test]
async fn a_dropped_file_answers_is_replaced_and_disabled() {
    let place = Place::new().await;
    let watch = place.watch().await;
    watch.settled().await;
    fs::write(place.plugin("notes.wasm"), component("description = 'one'")).unwrap();
    let first = place
        .until("notes", |agent| agent.status == "enabled")
        .await;
    assert_eq!(
        (first.summary.version, first.summary.source.as_str()),
        (Some(1), "folder")
    );
    assert_eq!(first.summary.description, "one");
    assert_eq!(first.exports, ["chat"]);

    write(&place, "notes.wasm", &component("description = 'two'"));
    let second = place.until("notes", |agent| agent.version == Some(2)).await;
    assert_eq!(second.summary.description, "two");

    fs::remove_file(place.plugin("notes.wasm")).unwrap();
    let gone = place
        .until("notes", |agent| agent.status == "disabled")
        .await;
    let reason = gone.summary.reason.unwrap();
    assert_eq!(reason, "its file was removed from the plugins folder");
    let version = place
        .store
        .agent_version(DEFAULT_TENANT, "notes", None)
        .await
        .unwrap();
    assert!(version.is_none());

    write(&place, "notes.wasm", &component("description = 'two'"));
    let back = place
        .until("notes", |agent| agent.status == "enabled")
        .await;
    assert_eq!((back.summary.version, back.summary.reason), (Some(2), None));
    watch.stop().await;
    let changed = place.hooks.changed.lock().unwrap().len();
    assert_eq!(changed, 4);
}

#[tokio::test]
async fn a_manifest_beside_replaces_the_one_inside() {
    let place = Place::new().await;
    write(
        &place,
        "notes.toml",
        b"description = 'beside'\n[wants]\nstate = 'x'",
    );
    write(&place, "notes.wasm", &component("nmae = 'broken'"));
    let _watch = place.watch().await;
    let agent = place
        .until("notes", |agent| agent.status == "enabled")
        .await;
    assert_eq!(agent.summary.description, "beside");
    assert_eq!(agent.grants, ["state"]);
    write(&place, "notes.toml", b"description = 'changed'");
    let agent = place.until("notes", |agent| agent.version == Some(2)).await;
    assert_eq!(agent.wants, Vec::<String>::new());
}

/// Files that cannot be used, and a part of what is said of each.
fn misfits() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let whole = component("");
    let foreign = "(import \"wasi:http/types@0.2.6\" (instance))";
    vec![
        ("empty", Vec::new(), "is empty"),
        ("cut", whole[..whole.len() - 3].to_vec(), "cut short"),
        ("text", b"hello".to_vec(), "text"),
        ("module", core_module(), "core module"),
        ("large", vec![0; 5_000], "larger than 4096 bytes"),
        (
            "other",
            component_with("chat", "0.2.0", "", ""),
            "version 0.2.0",
        ),
        (
            "network",
            component_with("chat", "0.1.0", foreign, ""),
            "http capability",
        ),
        ("manifest", component("nmae = 'x'"), "nmae"),
    ]
}

#[tokio::test]
async fn what_cannot_be_used_is_reported_and_spoils_nothing() {
    let place = Place::new().await;
    for (name, bytes, _) in misfits() {
        write(&place, &format!("{name}.wasm"), &bytes);
    }
    write(&place, "good.wasm", &component(""));
    let watch = place.watch().await;
    watch.settled().await;
    for (name, _, part) in misfits() {
        let agent = place.agent(name).await.unwrap().summary;
        let reason = agent.reason.unwrap();
        assert_eq!(agent.status, "broken", "{name}");
        assert!(reason.contains(part), "{name}: {reason}");
    }
    assert_eq!(place.agent("good").await.unwrap().summary.status, "enabled");

    write(&place, "cut.wasm", &component(""));
    let mended = place.until("cut", |agent| agent.status == "enabled").await;
    assert_eq!(mended.summary.reason, None);
    fs::remove_file(place.plugin("text.wasm")).unwrap();
    while place.agent("text").await.is_some() {
        tokio::time::sleep(super::QUIET).await;
    }
}

#[tokio::test]
async fn odd_entries_are_reported_and_never_opened() {
    let place = Place::new().await;
    write(&place, "good.wasm", &component(""));
    write(&place, "Bad Name.wasm", &component(""));
    write(&place, ".hidden.wasm", b"x");
    fs::create_dir(place.plugin("folder.wasm")).unwrap();
    std::os::unix::fs::symlink("nowhere", place.plugin("link.wasm")).unwrap();
    std::os::unix::fs::symlink("good.wasm", place.plugin("alias.wasm")).unwrap();
    let watch = place.watch().await;
    watch.settled().await;
    let unusable = place.registry.unusable_files(DEFAULT_TENANT).await.unwrap();
    let reasons: Vec<(&str, &str)> = unusable
        .iter()
        .map(|file| (file.file.as_str(), file.reason.as_str()))
        .collect();
    assert_eq!(
        reasons,
        [
            (
                "Bad Name.wasm",
                "\"Bad Name\" is not an agent name: 1 to 64 of a-z, 0-9 and -, beginning with a letter; rename the file"
            ),
            (
                "folder.wasm",
                "folder.wasm is not a regular file; put a file in its place"
            ),
            (
                "link.wasm",
                "link.wasm is a link to nothing; put a file in its place"
            ),
        ]
    );
    assert_eq!(
        place.agent("alias").await.unwrap().summary.status,
        "enabled"
    );
}

#[tokio::test]
async fn a_working_agent_outlives_a_broken_replacement() {
    let place = Place::new().await;
    write(&place, "notes.wasm", &component(""));
    let watch = place.watch().await;
    watch.settled().await;
    write(&place, "notes.wasm", &core_module());
    let agent = place
        .until("notes", |agent| agent.reason.is_some())
        .await
        .summary;
    assert_eq!((agent.status.as_str(), agent.version), ("enabled", Some(1)));
    assert!(
        place
            .store
            .agent_version(DEFAULT_TENANT, "notes", None)
            .await
            .unwrap()
            .is_some()
    );
    write(&place, "notes.wasm", &component("description = 'mended'"));
    let agent = place
        .until("notes", |agent| agent.version == Some(2))
        .await
        .summary;
    assert_eq!(agent.reason, None);
}

#[tokio::test]
async fn a_component_that_does_not_compile_is_reported() {
    let place = Place::new().await;
    place
        .hooks
        .refuse
        .store(true, std::sync::atomic::Ordering::Relaxed);
    write(&place, "notes.wasm", &component(""));
    let watch = place.watch().await;
    watch.settled().await;
    let agent = place.agent("notes").await.unwrap().summary;
    assert!(agent.reason.unwrap().contains("too many locals"));
}

#[tokio::test]
async fn a_file_still_being_copied_is_waited_for() {
    let place = Place::new().await;
    let watch = place.watch().await;
    let whole = component("description = 'whole'");
    fs::write(place.plugin("notes.wasm"), &whole[..20]).unwrap();
    watch.settled().await;
    fs::write(place.plugin("notes.wasm"), &whole).unwrap();
    let agent = place
        .until("notes", |agent| agent.status == "enabled")
        .await;
    assert_eq!(agent.summary.version, Some(1));
    // What stays cut short is reported in the end.
    fs::write(place.plugin("notes.wasm"), &whole[..20]).unwrap();
    let agent = place.until("notes", |agent| agent.reason.is_some()).await;
    assert!(agent.summary.reason.unwrap().contains("cut short"));
}

#[tokio::test]
async fn a_start_reads_only_what_changed() {
    let place = Place::new().await;
    for number in 0..20 {
        write(&place, &format!("agent-{number}.wasm"), &component(""));
    }
    let watch = place.watch().await;
    watch.settled().await;
    watch.stop().await;
    assert_eq!(place.hooks.prepared.lock().unwrap().len(), 20);

    let place = place.again().await;
    write(&place, "agent-3.wasm", &component("description = 'new'"));
    fs::remove_file(place.plugin("agent-4.wasm")).unwrap();
    let watch = place.watch().await;
    watch.settled().await;
    assert_eq!(place.hooks.prepared.lock().unwrap().len(), 1);
    assert_eq!(
        place.agent("agent-3").await.unwrap().summary.version,
        Some(2)
    );
    assert_eq!(
        place.agent("agent-4").await.unwrap().summary.status,
        "disabled"
    );
    assert_eq!(
        place.agent("agent-5").await.unwrap().summary.status,
        "enabled"
    );
}

#[tokio::test]
async fn settings_of_an_agent_survive_its_next_file() {
    let place = Place::new().await;
    write(
        &place,
        "notes.wasm",
        &component("[wants]\nhttp = 'x'\nhosts = ['a.b']"),
    );
    let watch = place.watch().await;
    watch.settled().await;
    let settings = json!({ "grants": ["http:a.b"], "config": { "tone": "dry" } });
    let settings = serde_json::from_value(settings).unwrap();
    let put = place
        .registry
        .put_agent(DEFAULT_TENANT, "notes", settings)
        .await
        .unwrap();
    assert_eq!(
        (put.summary.version, put.summary.source.as_str()),
        (Some(2), "folder")
    );
    assert_eq!(put.grants, ["http:a.b"]);
    let next = "description = 'next'\n[wants]\nhttp = 'x'\nhosts = ['a.b', 'c.d']";
    write(&place, "notes.wasm", &component(next));
    let agent = place.until("notes", |agent| agent.version == Some(3)).await;
    assert_eq!(agent.config["tone"], "dry");
    assert_eq!(agent.grants, ["http:a.b"]);
    assert_eq!(agent.not_granted[0].grant, "http:c.d");
}

#[tokio::test]
async fn folder_and_api_do_not_take_each_others_agents() {
    let place = Place::new().await;
    let installed = place
        .registry
        .install_component(DEFAULT_TENANT, component(""))
        .await
        .unwrap();
    let settings = || serde_json::from_value(json!({ "component": installed.digest })).unwrap();
    place
        .registry
        .put_agent(DEFAULT_TENANT, "notes", settings())
        .await
        .unwrap();
    write(&place, "notes.wasm", &component("description = 'file'"));
    write(&place, "other.wasm", &component("description = 'file'"));
    let watch = place.watch().await;
    watch.settled().await;
    let notes = place.agent("notes").await.unwrap().summary;
    assert_eq!(
        (notes.status.as_str(), notes.source.as_str()),
        ("enabled", "api")
    );
    assert!(notes.reason.unwrap().contains("made by API"));

    let refused = place
        .registry
        .put_agent(DEFAULT_TENANT, "other", settings())
        .await;
    assert!(
        matches!(refused, Err(SettingsError::Conflict(_))),
        "{refused:?}"
    );
    let refused = place.registry.remove_agent(DEFAULT_TENANT, "other").await;
    assert!(
        matches!(refused, Err(SettingsError::Conflict(_))),
        "{refused:?}"
    );

    assert!(
        place
            .registry
            .remove_agent(DEFAULT_TENANT, "notes")
            .await
            .unwrap()
    );
    let notes = place
        .until("notes", |agent| agent.source == "folder")
        .await
        .summary;
    assert_eq!((notes.status.as_str(), notes.reason), ("enabled", None));
}

#[tokio::test]
async fn a_folder_that_is_away_disables_nothing() {
    let place = Place::new().await;
    write(&place, "notes.wasm", &component(""));
    let watch = place.watch().await;
    watch.settled().await;
    watch.stop().await;
    fs::rename(place.plugin(""), place.folder.path().join("away")).unwrap();
    let (settle, _) = tokio::sync::watch::channel(false);
    let path = place.plugin("");
    let registry = Arc::clone(&place.registry);
    let mut folder = Folder::new(registry, DEFAULT_TENANT, path, None, settle)
        .await
        .unwrap();
    folder.look().await;
    assert!(folder.unreadable);
    assert_eq!(
        place.agent("notes").await.unwrap().summary.status,
        "enabled"
    );
    fs::create_dir(place.plugin("")).unwrap();
    folder.look().await;
    assert_eq!(
        place.agent("notes").await.unwrap().summary.status,
        "disabled"
    );
}

#[test]
fn reading_is_no_change() {
    use notify::event::{CreateKind, ModifyKind};
    for kind in [
        AccessKind::Read,
        AccessKind::Open(AccessMode::Any),
        AccessKind::Close(AccessMode::Read),
    ] {
        assert!(!is_change(EventKind::Access(kind)));
    }
    for kind in [
        EventKind::Access(AccessKind::Close(AccessMode::Write)),
        EventKind::Create(CreateKind::File),
        EventKind::Modify(ModifyKind::Any),
    ] {
        assert!(is_change(kind));
    }
}
