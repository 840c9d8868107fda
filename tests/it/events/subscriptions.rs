//! What an agent receives: patterns and filters.

use anchorhold_tests::TestHost;
use serde_json::json;

use super::{probe_that_receives, publish, received_by};

#[tokio::test]
async fn a_filter_says_which_events_come() {
    let rich = "{ topic = 'probe.order', filter = \"data.total > 100 and data.who == 'ada'\" }";
    let either = format!("{rich}, 'probe.note'");
    let host = TestHost::new()
        .plugin_as("probe", "rich")
        .manifest("rich", &probe_that_receives(&either))
        .plugin_as("probe", "all")
        .manifest("all", &probe_that_receives("'probe.*'"))
        .start()
        .await;
    let order = async |data| publish(&host, "probe.order", data, None).await;
    let dear = order(json!({ "total": 150, "who": "ada" })).await;
    order(json!({ "total": 50, "who": "ada" })).await;
    order(json!({ "total": "much" })).await;
    let note = publish(&host, "probe.note", json!(null), None).await;
    host.wait_for("all events", async || {
        (received_by(&host, "all", "-").await.len() == 4).then_some(())
    })
    .await;
    host.wait_for("what the filter lets through", async || {
        (received_by(&host, "rich", "-").await.len() == 2).then_some(())
    })
    .await;
    let received = received_by(&host, "rich", "-").await;
    assert!(received.contains(&dear) && received.contains(&note));
    let shown = host.get("/api/v1/agents/rich").await.body;
    assert_eq!(shown["topics"][0]["topic"], "probe.order");
    assert_eq!(shown["topics"][1], "probe.note");
    let (code, text, _) = host.run_cli(&["agents", "show", "rich"]).await;
    assert!(
        code == 0 && text.contains("probe.order if data.total"),
        "{text}"
    );
}

#[tokio::test]
async fn a_filter_that_is_none_is_told_to_its_author() {
    let bad = "{ topic = 'probe.x', filter = 'data.total >' }";
    let host = TestHost::new()
        .plugin_as("probe", "bad")
        .manifest("bad", &probe_that_receives(bad))
        .start()
        .await;
    let agent = host.get("/api/v1/agents/bad").await.body;
    assert_eq!(agent["status"], "broken", "{agent:#}");
    let reason = agent["reason"].as_str().unwrap();
    assert!(reason.contains("is not an expression"), "{reason}");
}
