//! A server that others wrote: MCP's own `server-everything`, by both transports.

use std::path::PathBuf;
use std::process::Stdio;

use anchorhold_tests::TestHost;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{names, probe, server};

/// Installed by `cargo xtask guests`.
fn program() -> PathBuf {
    let servers = anchorhold_tests::guests_dir().join("servers/node_modules");
    servers.join("@modelcontextprotocol/server-everything/dist/index.js")
}

/// What it does, whatever the transport.
async fn works(host: &TestHost) {
    let names = names(host).await;
    assert!(names.contains(&"everything/echo".to_owned()), "{names:?}");
    let echo = host
        .ask("probe", "call everything/echo {\"message\": \"hi\"}")
        .await;
    assert_eq!(echo.text(), "Echo: hi", "{}", host.log());
    let sum = host
        .ask("probe", "call everything/get-sum {\"a\": 3, \"b\": 4}")
        .await;
    assert!(sum.text().contains('7'), "{}", sum.text());
    let misfit = host
        .ask("probe", "call everything/get-sum {\"a\": \"x\", \"b\": 4}")
        .await;
    assert!(misfit.text().contains("at /a"), "{}", misfit.text());
    let image = host.ask("probe", "call everything/get-tiny-image {}").await;
    assert!(!image.text().starts_with("error"), "{}", image.text());
    let replayed = host.replay(&sum.turn()).await;
    assert_eq!(replayed.body["same"], true, "{:#}", replayed.body);
    let listed = host.get("/api/v1/tools").await.body;
    let state: &Value = &listed["servers"][0];
    assert_eq!(state["state"], "connected", "{state:#}");
}

#[tokio::test]
async fn over_standard_input_and_output() {
    let host = probe(&["tools:everything/*"]);
    let host = server(host, "everything", "command", "node");
    let args = vec![program().to_str().unwrap().to_owned(), "stdio".to_owned()];
    let host = server(host, "everything", "args", args).start().await;
    works(&host).await;
}

/// The server on a port of its own choice; it is killed when it is dropped.
async fn serve(port: u16) -> Child {
    let mut child = Command::new("node")
        .arg(program())
        .arg("streamableHttp")
        .env("PORT", port.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains(&port.to_string()) {
            break;
        }
    }
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    child
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn over_http_and_again_when_it_was_away() {
    let port = free_port();
    let mut first = serve(port).await;
    let host = probe(&["tools:everything/*"]);
    let url = format!("http://127.0.0.1:{port}/mcp");
    let host = server(host, "everything", "url", url).start().await;
    works(&host).await;

    first.kill().await.unwrap();
    let echo = "call everything/echo {\"message\": \"hi\"}";
    let away = host.ask("probe", echo).await;
    assert!(
        away.text().starts_with("error unavailable"),
        "{}",
        away.text()
    );
    let _second = serve(port).await;
    host.wait_for("it is connected again", async || {
        let answer = host.ask("probe", echo).await;
        (answer.text() == "Echo: hi").then_some(())
    })
    .await;
}
