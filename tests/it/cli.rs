//! The command line, as a person or a script uses it.

use anchorhold_tests::TestHost;
use serde_json::Value;

#[tokio::test]
async fn one_message_by_chat() {
    let host = TestHost::new().plugin("assistant").start().await;
    let (code, out, err) = host
        .run_cli(&["chat", "assistant", "--message", "hello"])
        .await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("not a language model"), "{out}");
    let (code, _, err) = host
        .run_cli(&["chat", "nobody", "--message", "hello"])
        .await;
    assert_ne!(code, 0);
    assert!(err.contains("nobody"), "{err}");
}

#[tokio::test]
async fn what_a_host_says_to_try_works_in_any_folder() {
    let host = TestHost::new().plugin("assistant").start().await;
    let log = host.log();
    let hint = log.lines().find_map(|line| line.strip_prefix("Try: "));
    let mut shell = tokio::process::Command::new("sh");
    let line = format!("{} --message hello", hint.unwrap());
    shell.args(["-c", &line]).current_dir("/").env_clear();
    let output = shell.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("not a language model"), "{line}: {output:?}");
}

#[tokio::test]
async fn turns_are_listed_shown_and_explained() {
    let host = TestHost::new().plugin("probe").start().await;
    let turn = host
        .ask("probe", "state set agent k v\nsleep 20\ngenerate hi")
        .await
        .turn();
    let (code, out, err) = host.run_cli(&["--json", "turns", "list"]).await;
    assert_eq!(code, 0, "{err}");
    let listed: Value = serde_json::from_str(&out).unwrap();
    assert!(listed.to_string().contains(&turn), "{listed:#}");
    let (code, out, _) = host.run_cli(&["turns", "show", &turn]).await;
    assert!(code == 0 && out.contains("completed"), "{out}");
    let (code, out, _) = host.run_cli(&["turns", "explain", &turn]).await;
    assert_eq!(code, 0, "{out}");
    for part in [
        "queue",
        "load",
        "compile",
        "instantiate",
        "guest",
        "clock.sleep",
        "state.set",
        "llm.generate",
    ] {
        assert!(out.contains(part), "{part} is missing: {out}");
    }
    let (code, out, _) = host.run_cli(&["turns", "replay", &turn]).await;
    assert_eq!(code, 0, "{out}");
}

#[tokio::test]
async fn agents_are_listed_granted_and_revoked() {
    let host = TestHost::new().plugin("probe").grants(&[]).start().await;
    let (code, out, _) = host.run_cli(&["agents", "list"]).await;
    assert!(code == 0 && out.contains("probe"), "{out}");
    assert!(
        host.ask("probe", "state keys agent")
            .await
            .text()
            .starts_with("error denied")
    );
    let (code, _, err) = host.run_cli(&["agents", "grant", "probe", "state"]).await;
    assert_eq!(code, 0, "{err}");
    assert_eq!(host.ask("probe", "state keys agent").await.text(), "[]");
    let (code, _, err) = host.run_cli(&["agents", "revoke", "probe", "state"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(
        host.ask("probe", "state keys agent")
            .await
            .text()
            .starts_with("error denied")
    );
    let (code, _, err) = host
        .run_cli(&["agents", "grant", "probe", "nonsense"])
        .await;
    assert!(code != 0 && err.contains("nonsense"), "{err}");
}

#[tokio::test]
async fn tokens_and_the_doctor() {
    let host = TestHost::new().plugin("probe").start().await;
    let (code, out, err) = host
        .run_cli(&["token", "create", "--name", "me", "--scope", "chat"])
        .await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("ah_"), "{out}");
    let (code, out, _) = host.run_cli(&["token", "list"]).await;
    assert!(
        code == 0 && out.contains("me") && !out.contains("ah_"),
        "{out}"
    );
    let (code, out, err) = host.run_cli(&["doctor"]).await;
    assert_eq!(code, 0, "{out}{err}");
}

#[tokio::test]
async fn errors_have_a_sentence_and_a_code() {
    let host = TestHost::new().start().await;
    let mut command = host.cli(&["turns", "list"]);
    let output = command
        .env("ANCHORHOLD_TOKEN", "wrong")
        .output()
        .await
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(4),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut command = host.cli(&["turns", "list"]);
    let output = command
        .env("ANCHORHOLD_URL", "http://127.0.0.1:9")
        .output()
        .await
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let (code, _, _) = host.run_cli(&["turns", "nonsense"]).await;
    assert_eq!(code, 2);
}
