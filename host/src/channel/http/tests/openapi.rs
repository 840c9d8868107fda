//! The document says what the router does.

use std::collections::HashSet;

use serde_json::Value;

use super::Fixture;

const METHODS: [&str; 4] = ["get", "put", "post", "delete"];

/// What docs/reference/api.md promises.
const PROMISED: [&str; 49] = [
    "get /api/v1/agents",
    "get /api/v1/agents/{agent}",
    "put /api/v1/agents/{agent}",
    "delete /api/v1/agents/{agent}",
    "get /api/v1/agents/{agent}/versions",
    "post /api/v1/agents/{agent}/messages",
    "post /api/v1/messages",
    "get /api/v1/conversations/{conversation}/messages",
    "get /api/v1/turns",
    "get /api/v1/turns/{turn}",
    "get /api/v1/turns/{turn}/events",
    "get /api/v1/turns/{turn}/journal",
    "get /api/v1/turns/{turn}/log",
    "post /api/v1/turns/{turn}/cancel",
    "post /api/v1/turns/{turn}/replay",
    "post /api/v1/turns/{turn}/answer",
    "get /api/v1/questions",
    "post /api/v1/feedback",
    "get /api/v1/feedback",
    "get /api/v1/deliveries",
    "post /api/v1/deliveries/{turn}/retry",
    "post /api/v1/components",
    "get /api/v1/components",
    "get /api/v1/components/{digest}",
    "post /api/v1/events",
    "get /api/v1/events",
    "get /api/v1/events/dead",
    "get /api/v1/events/stream",
    "post /api/v1/events/replay",
    "get /api/v1/schedules",
    "get /api/v1/schedules/{name}",
    "put /api/v1/schedules/{name}",
    "delete /api/v1/schedules/{name}",
    "post /api/v1/events/dead/{event}/{agent}/retry",
    "get /api/v1/usage",
    "get /api/v1/budgets",
    "put /api/v1/budgets/{scope}",
    "delete /api/v1/budgets/{scope}",
    "get /api/v1/tools",
    "get /api/v1/slack",
    "post /api/v1/tokens",
    "get /api/v1/tokens",
    "delete /api/v1/tokens/{token}",
    "get /api/v1/plugin-files",
    "get /api/v1/status",
    "get /api/v1/openapi.json",
    "get /health/live",
    "get /health/ready",
    "get /metrics",
];

fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| METHODS.map(|method| (format!("{method} {path}"), &item[method])))
        .filter(|(_, operation)| !operation.is_null())
        .collect()
}

#[tokio::test]
async fn it_has_every_endpoint_and_no_other() {
    let fixture = Fixture::start().await;
    let document = fixture.get_as_nobody("/api/v1/openapi.json").await.json();
    let described: HashSet<String> = operations(&document)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let promised = PROMISED.map(str::to_owned).into_iter().collect();
    assert_eq!(described, promised);
}

#[tokio::test]
async fn every_endpoint_is_named_tells_of_problems_and_asks_for_a_token() {
    let fixture = Fixture::start().await;
    let document = fixture.get_as_nobody("/api/v1/openapi.json").await.json();
    assert_eq!(
        document["components"]["securitySchemes"]["bearer"]["scheme"],
        "bearer"
    );
    assert_eq!(document["security"][0]["bearer"], Value::Array(Vec::new()));
    let mut names = HashSet::new();
    for (line, operation) in operations(&document) {
        assert!(names.insert(operation["operationId"].to_string()), "{line}");
        let problem = &operation["responses"]["default"]["content"]["application/problem+json"];
        assert_eq!(
            problem["schema"]["$ref"], "#/components/schemas/Problem",
            "{line}"
        );
        let is_public = operation.get("security").is_some();
        let (method, path) = line.split_once(' ').unwrap();
        let path = path.replace(['{', '}'], "");
        let answer = fixture.get_as_nobody(&path).await;
        if method == "get" {
            assert_eq!(answer.status == 401, !is_public, "{line}");
        }
    }
}

#[tokio::test]
async fn every_schema_that_is_referred_to_is_there() {
    let fixture = Fixture::start().await;
    let document = fixture.get_as_nobody("/api/v1/openapi.json").await.json();
    let schemas = &document["components"]["schemas"];
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(!schemas[name].is_null(), "{name}");
    }
}
