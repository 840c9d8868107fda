//! The registry on a real store, with a runtime that runs nothing.

use serde_json::json;

use super::testing::{Place, component, core_module};
use super::*;
use crate::store::DEFAULT_TENANT;

const MANIFEST: &str = r#"
    description = "Keeps notes"
    [wants]
    database = "x"
    http = "x"
    hosts = ["api.example.com"]
    [config]
    prompt = "short"
    steps = 3
"#;

fn settings(value: serde_json::Value) -> AgentSettings {
    serde_json::from_value(value).unwrap()
}

async fn put(place: &Place, name: &str, value: serde_json::Value) -> Result<AgentDetail, String> {
    let put = place
        .registry
        .put_agent(DEFAULT_TENANT, name, settings(value));
    put.await.map_err(|error| error.to_string())
}

async fn install(place: &Place, manifest: &str) -> String {
    let installed = place
        .registry
        .install_component(DEFAULT_TENANT, component(manifest));
    installed.await.unwrap().digest
}

#[tokio::test]
async fn a_component_is_kept_and_compiled_once_it_fits() {
    let place = Place::new().await;
    let digest = install(&place, MANIFEST).await;
    assert_eq!(place.hooks.prepared.lock().unwrap().len(), 1);
    assert_eq!(place.hooks.prepared.lock().unwrap()[0], digest);
    let row = place
        .store
        .component(DEFAULT_TENANT, &digest)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (row.contract.as_str(), row.exports.as_str()),
        ("0.1.0", "chat")
    );
    assert_eq!(
        place.registry.files.read(&digest).unwrap(),
        component(MANIFEST)
    );
    assert_eq!(install(&place, MANIFEST).await, digest);

    let refused = place
        .registry
        .install_component(DEFAULT_TENANT, core_module())
        .await;
    assert!(matches!(
        refused,
        Err(InstallError::Misfit(Misfit::CoreModule))
    ));
    let large = vec![0; 5_000];
    let refused = place
        .registry
        .install_component(DEFAULT_TENANT, large)
        .await;
    assert!(matches!(
        refused,
        Err(InstallError::Misfit(Misfit::TooLarge { .. }))
    ));
}

#[tokio::test]
async fn a_component_that_cannot_be_compiled_leaves_nothing_behind() {
    let place = Place::new().await;
    place
        .hooks
        .refuse
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let refused = place
        .registry
        .install_component(DEFAULT_TENANT, component(""))
        .await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("too many locals"), "{error}");
    let folder = place.store.data_dir().join("components");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
    assert!(
        place
            .store
            .components(DEFAULT_TENANT, "", 10)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn agents_share_a_component_with_different_settings() {
    let place = Place::new().await;
    let digest = install(&place, MANIFEST).await;
    let german = json!({ "component": digest, "config": { "prompt": "kurz" } });
    let german = put(&place, "german", german).await.unwrap();
    let plain = put(&place, "plain", json!({ "component": digest }))
        .await
        .unwrap();
    assert_eq!(german.summary.component, plain.summary.component);
    assert_eq!(german.config["prompt"], "kurz");
    assert_eq!(german.config["steps"], 3);
    assert_eq!(plain.config["prompt"], "short");
    assert_eq!(plain.summary.description, "Keeps notes");
    assert_eq!(plain.summary.source, "api");
    let names: Vec<String> = place
        .registry
        .list(DEFAULT_TENANT, "", 10)
        .await
        .unwrap()
        .into_iter()
        .map(|agent| agent.name)
        .collect();
    assert_eq!(names, ["german", "plain"]);
    assert_eq!(*place.hooks.changed.lock().unwrap(), ["german", "plain"]);
}

#[tokio::test]
async fn a_change_makes_a_version_and_no_change_makes_none() {
    let place = Place::new().await;
    let digest = install(&place, MANIFEST).await;
    let first = put(&place, "notes", json!({ "component": digest }))
        .await
        .unwrap();
    let same = put(&place, "notes", json!({ "component": digest }))
        .await
        .unwrap();
    assert_eq!(
        (first.summary.version, same.summary.version),
        (Some(1), Some(1))
    );
    let limits = json!({ "limits": { "fuel": 7 } });
    let second = put(&place, "notes", limits).await.unwrap();
    assert_eq!(second.summary.version, Some(2));
    assert_eq!(second.limits, json!({ "fuel": 7 }));
    assert_eq!(second.versions.len(), 2);
    let nothing = put(&place, "notes", json!({})).await.unwrap();
    assert_eq!(nothing.summary.version, Some(2));
}

#[tokio::test]
async fn rolling_back_brings_back_configuration_and_no_grant() {
    let place = Place::new().await;
    let digest = install(&place, MANIFEST).await;
    let first = json!({
        "component": digest, "config": { "steps": 1 }, "grants": ["database", "http:api.example.com"],
    });
    put(&place, "notes", first).await.unwrap();
    let second = json!({ "config": { "steps": 2 }, "grants": ["database"] });
    put(&place, "notes", second).await.unwrap();
    let back = put(
        &place,
        "notes",
        json!({ "labels": { "production": 1, "next": 2 } }),
    )
    .await;
    let back = back.unwrap();
    assert_eq!(back.summary.version, Some(1));
    assert_eq!(back.config["steps"], 1);
    assert_eq!(back.grants, ["database"]);
    assert_eq!(back.labels["next"], 2);
    let version = place
        .store
        .agent_version(DEFAULT_TENANT, "notes", None)
        .await
        .unwrap()
        .unwrap();
    let grants = place.registry.grants(&version).unwrap();
    assert!(!grants.allows(Grant::Http("api.example.com")));
    // A change goes on from what answers now.
    let third = put(&place, "notes", json!({ "limits": { "fuel": 5 } }))
        .await
        .unwrap();
    assert_eq!(
        (third.summary.version, &third.config["steps"]),
        (Some(3), &json!(1))
    );
}

#[tokio::test]
async fn what_is_wanted_and_not_granted_is_shown_with_the_line_that_grants_it() {
    let place = Place::new().await;
    let digest = install(&place, MANIFEST).await;
    let agent = put(&place, "notes", json!({ "component": digest }))
        .await
        .unwrap();
    assert_eq!(agent.wants, ["database", "http:api.example.com"]);
    assert_eq!(agent.grants, ["database"]);
    assert_eq!(agent.not_granted.len(), 1);
    assert_eq!(agent.not_granted[0].grant, "http:api.example.com");
    assert!(agent.not_granted[0].hint.contains("default_grants"));
    let granted = put(&place, "notes", json!({ "grants": ["http", "database"] }))
        .await
        .unwrap();
    assert_eq!(granted.not_granted, []);
    let defaults = put(&place, "notes", json!({ "grants": null }))
        .await
        .unwrap();
    assert_eq!(defaults.grants, ["database"]);
}

#[tokio::test]
async fn what_cannot_be_set_is_refused() {
    let place = Place::new().await;
    let digest = install(&place, MANIFEST).await;
    put(&place, "notes", json!({ "component": digest }))
        .await
        .unwrap();
    for (name, value, part) in [
        ("other", json!({}), "no agent other"),
        ("Other", json!({ "component": digest }), "not an agent name"),
        ("other", json!({ "component": "abc" }), "no component abc"),
        ("notes", json!({ "grants": ["htpp"] }), "is not a grant"),
        (
            "notes",
            json!({ "labels": { "production": 9 } }),
            "no version 9",
        ),
        (
            "notes",
            json!({ "labels": { "Pro duction": 1 } }),
            "not a label",
        ),
    ] {
        let error = put(&place, name, value).await.unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_removed_agent_is_gone_and_its_name_counts_on() {
    let place = Place::new().await;
    let digest = install(&place, MANIFEST).await;
    put(&place, "notes", json!({ "component": digest }))
        .await
        .unwrap();
    assert!(
        place
            .registry
            .remove_agent(DEFAULT_TENANT, "notes")
            .await
            .unwrap()
    );
    assert!(
        !place
            .registry
            .remove_agent(DEFAULT_TENANT, "notes")
            .await
            .unwrap()
    );
    assert_eq!(place.agent("notes").await, None);
    let again = put(&place, "notes", json!({ "component": digest }))
        .await
        .unwrap();
    assert_eq!(again.summary.version, Some(2));
}

#[tokio::test]
async fn an_unknown_default_grant_is_an_error_at_the_start() {
    let place = Place::new().await;
    let config = config::Registry {
        default_grants: vec!["lmm".to_owned()],
        ..config::Registry::default()
    };
    let hooks = place.hooks.clone();
    let error = Registry::new(Arc::clone(&place.store), config, hooks)
        .err()
        .unwrap();
    let error = format!("{error:#}");
    assert!(
        error.contains("default_grants") && error.contains("\"lmm\""),
        "{error}"
    );
}
