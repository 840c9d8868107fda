//! What outlives the process.

use anchorhold_tests::TestHost;

#[tokio::test]
async fn conversations_agents_and_tokens_are_there_after_a_crash() {
    let host = TestHost::new().plugin("probe").start().await;
    host.ask_in("t", "probe", "echo one").await.text();
    host.ask(
        "probe",
        "state set agent k v\nsql execute CREATE TABLE t (a)\nsql execute INSERT INTO t VALUES (1)",
    )
    .await
    .text();
    let host = host.crash().await.start().await;
    assert_eq!(
        host.ask_in("t", "probe", "history").await.text(),
        "echo one|one"
    );
    let kept = host
        .ask("probe", "state get agent k\nsql query SELECT a FROM t")
        .await;
    assert!(
        kept.text().contains("\"v\"") && kept.text().contains("[[1]]"),
        "{}",
        kept.text()
    );
}

#[tokio::test]
async fn a_graceful_stop_finishes_what_runs() {
    let host = TestHost::new().plugin("probe").start().await;
    let turn = host.ask_async("probe", "sleep 500\necho done").await.turn();
    let host = host.stop().await.start().await;
    assert_eq!(host.ended(&turn).await["text"], "slept\ndone");
}
