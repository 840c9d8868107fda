//! The fake Slack as a process of its own: `anchorhold slack simulate`, driven by its control API.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::process::{PATIENCE, anchorhold};

/// What is shown of a list that is not complete.
const SHOWN: usize = 3;

/// A running fake. It is killed when it is dropped.
pub struct FakeSlack {
    pub url: String,
    /// What it printed besides, a line each.
    pub said: Vec<String>,
    client: reqwest::Client,
    _child: Child,
    /// Kept open, so that it can go on printing.
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl FakeSlack {
    /// Starts a fake on a free port, with these options besides.
    pub async fn start(options: &[&str]) -> Self {
        let mut child = Command::new(anchorhold())
            .args(["slack", "simulate", "--listen", "127.0.0.1:0"])
            .args(options)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts; build it with cargo build");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut said = Vec::new();
        // The URL, a heading, and three lines for the environment.
        while said.len() < 5 {
            let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
            let line = line.expect("a line").expect("UTF-8");
            said.push(line.expect("it goes on"));
        }
        let url = said.remove(0);
        let (_, url) = url.split_once("Simulating Slack on ").expect("its URL");
        Self {
            url: url.to_owned(),
            said,
            client: reqwest::Client::builder()
                .timeout(PATIENCE)
                .no_proxy()
                .build()
                .expect("a client"),
            _child: child,
            _stdout: lines,
        }
    }

    /// Calls a method of the Web API as the app; answers status and body.
    ///
    /// # Errors
    ///
    /// If no answer comes.
    pub async fn call(&self, method: &str, args: &Value) -> reqwest::Result<(u16, Value)> {
        let request = self.client.post(format!("{}/api/{method}", self.url));
        let request = request.bearer_auth("xoxb-sim-bot").json(args);
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok((status, response.json().await.unwrap_or_default()))
    }

    /// Somebody does something; see docs/slack.md.
    pub async fn act(&self, action: &Value) -> Value {
        self.post("act", action).await
    }

    /// Somebody says something; answers the message's `ts`.
    pub async fn say(&self, user: &str, channel: &str, text: &str) -> String {
        let action = json!({"do": "say", "user": user, "channel": channel, "text": text});
        let answer = self.act(&action).await;
        answer["ts"].as_str().expect("a name").to_owned()
    }

    /// Posts to the control API.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.client.post(format!("{}/sim/{path}", self.url));
        let response = request.json(body).send().await.expect("an answer");
        let answer: Value = response.json().await.expect("JSON");
        assert_eq!(answer["ok"], true, "{path} {body}: {answer}");
        answer
    }

    /// Looks at the control API.
    pub async fn get(&self, path: &str) -> Value {
        let request = self.client.get(format!("{}/sim/{path}", self.url));
        let response = request.send().await.expect("an answer");
        response.json().await.expect("JSON")
    }

    /// Waits until as many are in a list as its query's `count` says (1), and answers them.
    pub async fn wait(&self, list: &str, query: &str) -> Vec<Value> {
        let patience = PATIENCE.as_millis() / 2;
        let found = self
            .get(&format!("{list}?wait_ms={patience}&{query}"))
            .await;
        let there = found[list].as_array().expect("a list");
        let last: Vec<_> = there.iter().rev().take(SHOWN).collect();
        let count = there.len();
        assert_eq!(
            found["complete"], true,
            "{list} {query}: {count}, at last {last:?}"
        );
        there.clone()
    }
}
