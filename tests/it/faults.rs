//! What the host stands on gives way for a while: the disk is full, the database
//! is held by another process, a provider says nothing. What was acknowledged
//! stays, what cannot be done is said, and it goes on by itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anchorhold_tests::{Answer, TestHost};
use serde_json::json;
use tokio::net::TcpListener;

const SCRIPT: &str = "[fallback]\ntext = \"heard\"\ndelay_ms = 3\n";

async fn send(host: &TestHost, key: &str, text: &str) -> Answer {
    let request = host.request("POST", "/api/v1/agents/probe/messages");
    let request = request.header("idempotency-key", key);
    let body = json!({"text": text, "conversation": key});
    Answer::read(request.json(&body).send().await.unwrap()).await
}

async fn is_ready(host: &TestHost) -> bool {
    host.get("/health/ready").await.status == 200
}

/// Sends a signal to a process.
async fn signal(pid: u32, name: &str) {
    let mut kill = tokio::process::Command::new("kill");
    let kill = kill.args([format!("-{name}"), pid.to_string()]);
    assert!(kill.status().await.unwrap().success());
}

#[tokio::test]
async fn a_copy_of_a_paused_host_opens_and_is_consistent() {
    let host = TestHost::new().plugin("probe").script(SCRIPT).start().await;
    host.ask("probe", "sql execute CREATE TABLE t (mark TEXT)")
        .await
        .text();
    let (client, url) = (host.client(), host.url.clone());
    let people = (0..4).map(|person| {
        let (client, url) = (client.clone(), url.clone());
        tokio::spawn(async move {
            for number in 0..60 {
                let mark = format!("p{person}-{number}");
                let text = format!(
                    "state cas agent {mark} - x\nsql execute INSERT INTO t VALUES ('{mark}')\ngenerate {mark}"
                );
                let sent = client
                    .post(format!("{url}/api/v1/agents/probe/messages"))
                    .header("idempotency-key", &mark)
                    .json(&json!({"text": text, "conversation": format!("p{person}")}));
                let _ = sent.send().await;
            }
        })
    });
    let people: Vec<_> = people.collect();
    let mut copies = Vec::new();
    for pause_ms in [40, 130, 270] {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        signal(host.pid(), "STOP").await;
        copies.push(host.builder().on_a_copy());
        signal(host.pid(), "CONT").await;
    }
    for copy in copies {
        check_copy(&copy.start().await).await;
    }
    for person in people {
        person.await.unwrap();
    }
}

/// What was begun in the copy goes on there, and everything in it fits together.
async fn check_copy(copy: &TestHost) {
    copy.wait_for("all have ended", async || {
        let turns = copy.get("/api/v1/turns?limit=500").await.body;
        let turns = turns["items"].as_array().unwrap();
        let over = |turn: &serde_json::Value| turn["status"] == "completed";
        turns.iter().all(over).then_some(())
    })
    .await;
    let turns = copy.get("/api/v1/turns?limit=500").await.body;
    let turns = turns["items"].as_array().unwrap().clone();
    let errors = turns
        .iter()
        .filter(|turn| turn["text"].to_string().contains("error "));
    assert_eq!(errors.count(), 0, "{turns:#?}");
    let messages = turns.len() - 1;
    assert!(messages > 0, "nothing was copied");
    let rows = copy.ask(
        "probe",
        "sql query SELECT count(*), count(DISTINCT mark) FROM t",
    );
    let rows = rows.await.text().to_owned();
    assert!(
        rows.contains(&format!("[[{messages},{messages}]]")),
        "{rows} of {messages}"
    );
    let keys = copy.ask("probe", "state keys agent p").await;
    assert_eq!(keys.json_text().as_array().unwrap().len(), messages);
}

/// Words that give a program a small file system of its own in place of `data`,
/// and the folder as it is seen from outside; none where that cannot be done.
fn small_disk(data: &Path) -> Option<Vec<String>> {
    let script = format!(
        "mkdir -p '{0}' && mount -t tmpfs -o size=24m none '{0}' && exec \"$@\"",
        data.display()
    );
    let words = ["unshare", "-rm", "sh", "-c", &script, "sh"];
    let tried = std::process::Command::new("unshare")
        .args(&words[1..])
        .arg("true")
        .output();
    let works = tried.is_ok_and(|output| output.status.success());
    works.then(|| words.iter().map(|word| (*word).to_owned()).collect())
}

/// Takes what room there is on the host's disk.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    for size in [1 << 20, 4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_loses_nothing() {
    let builder = TestHost::new().plugin("probe").script(SCRIPT);
    let data = builder.folder().join("data");
    let Some(words) = small_disk(&data) else {
        eprintln!("not run: no file system can be mounted here");
        return;
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let host = builder.started_by(&words).start().await;
    let before = send(&host, "before", "state set agent k before\necho yes").await;
    assert!(before.text().ends_with("yes"));
    let inside = PathBuf::from(format!("/proc/{}/root{}", host.pid(), data.display()));
    let running = host
        .ask_async("probe", "sleep 1500\nstate set agent k during")
        .await;
    let filler = inside.join("filler");
    fill(&filler);

    let full = "x".repeat(100_000);
    let refused = send(&host, "during", &format!("echo {full}")).await;
    assert_eq!(
        (refused.status, refused.code()),
        (503, "unavailable"),
        "{:#}",
        refused.body
    );
    // There may be room left in what the log has already.
    let ready = host
        .wait_for("it is not ready", async || {
            host.ask_async("probe", &format!("echo {}", &full[..10_000]))
                .await;
            let ready = host.get("/health/ready").await;
            (ready.status == 503).then_some(ready)
        })
        .await;
    assert!(ready.detail().contains("full"), "{}", ready.detail());
    assert_eq!(host.get("/health/live").await.status, 200);

    std::fs::remove_file(&filler).unwrap();
    host.wait_for("it is ready by itself", async || {
        is_ready(&host).await.then_some(())
    })
    .await;
    let again = send(&host, "during", &format!("echo {full}")).await;
    assert_eq!(again.text().len(), full.len());
    let repeated = send(&host, "before", "state set agent k before\necho yes").await;
    assert_eq!(repeated.body["turn"], before.body["turn"]);
    let ended = host.ended(&running.turn()).await;
    assert!(
        ended["status"] == "completed" || ended["error"].is_object(),
        "{ended:#}"
    );
}

/// Holds the database as another process would, for as long as it lives.
fn hold(host: &TestHost) -> rusqlite::Connection {
    let db = rusqlite::Connection::open(host.data_dir().join("anchorhold.db")).unwrap();
    db.busy_timeout(Duration::from_secs(10)).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    db
}

async fn while_locked(span: Duration) {
    let host = TestHost::new().plugin("probe").script(SCRIPT).start().await;
    send(&host, "before", "state set agent k before")
        .await
        .text();
    let db = hold(&host);
    let waiting = send(&host, "during", "state set agent k during\necho done");
    let watching = async {
        let ready = host.get("/health/ready").await;
        assert_eq!(ready.status, 503, "{:#}", ready.body);
        assert!(ready.detail().contains("store"), "{}", ready.detail());
        assert_eq!(host.get("/health/live").await.status, 200);
        tokio::time::sleep(span).await;
        drop(db);
    };
    let (answer, ()) = tokio::join!(waiting, watching);
    assert!(answer.text().ends_with("done"), "{answer:?}");
    assert!(is_ready(&host).await);
    let kept = host.ask("probe", "state get agent k").await;
    assert!(kept.text().contains("during"), "{}", kept.text());
}

#[tokio::test]
async fn a_locked_database_is_waited_for() {
    while_locked(Duration::from_millis(500)).await;
}

#[tokio::test]
#[ignore = "takes half a minute"]
async fn a_database_that_is_locked_for_half_a_minute_is_waited_for() {
    while_locked(Duration::from_secs(30)).await;
}

#[tokio::test]
async fn a_provider_that_says_nothing_fails_its_own_calls_only() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            held.push(socket);
        }
    });
    let host = TestHost::new()
        .plugin("probe")
        .plugin("assistant")
        .set("llm.header_timeout_ms", 400)
        .set("llm.providers.silent.kind", "openai")
        .set(
            "llm.providers.silent.base_url",
            format!("http://127.0.0.1:{port}/v1/"),
        )
        .set("llm.providers.silent.api_key", "k")
        .set("llm.models.default.provider", "silent")
        .set("llm.models.default.model", "m")
        .start()
        .await;
    let asking = host.ask("assistant", "hello");
    let others = async {
        for _ in 0..5 {
            assert_eq!(host.ask("probe", "echo here").await.text(), "here");
        }
        assert!(is_ready(&host).await);
    };
    let (answer, ()) = tokio::join!(asking, others);
    assert_eq!(
        (answer.status, answer.code()),
        (502, "agent-error"),
        "{:#}",
        answer.body
    );
    assert!(is_ready(&host).await);
    let status = host.get("/api/v1/status").await.body;
    let providers = status["providers"].as_array().unwrap();
    let silent = providers
        .iter()
        .find(|provider| provider["name"] == "silent");
    let silent = silent.unwrap_or_else(|| panic!("{status:#}"));
    assert!(silent["failures"].as_u64() >= Some(1), "{status:#}");
    assert_eq!(silent["last_failure"]["kind"], "timed-out", "{status:#}");
}
