//! An HTTP client that does as little as possible: one connection, kept open.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::place::TOKEN;
use crate::stats::Samples;

pub(crate) struct Client {
    connection: SendRequest<Full<Bytes>>,
    host: String,
}

impl Client {
    /// `address` is host and port.
    pub(crate) async fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (connection, driver) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        Ok(Self {
            connection,
            host: address.to_owned(),
        })
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<(StatusCode, Bytes)> {
        self.send(Method::GET, path, "", String::new()).await
    }

    /// Says something to an agent and waits for the answer.
    pub(crate) async fn say(&mut self, agent: &str, text: &str) -> Result<Bytes> {
        self.message(agent, text, "wait=60", StatusCode::OK).await
    }

    /// Says something to an agent and does not wait.
    pub(crate) async fn tell(&mut self, agent: &str, text: &str) -> Result<Bytes> {
        self.message(agent, text, "respond-async", StatusCode::ACCEPTED)
            .await
    }

    async fn message(
        &mut self,
        agent: &str,
        text: &str,
        prefer: &str,
        expected: StatusCode,
    ) -> Result<Bytes> {
        let path = format!("/api/v1/agents/{agent}/messages");
        let body = serde_json::json!({ "text": text }).to_string();
        let (status, answer) = self.send(Method::POST, &path, prefer, body).await?;
        ensure!(
            status == expected,
            "{agent} answered {status}: {}",
            String::from_utf8_lossy(&answer)
        );
        Ok(answer)
    }

    pub(crate) async fn post(&mut self, path: &str, body: String) -> Result<(StatusCode, Bytes)> {
        self.send(Method::POST, path, "", body).await
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        prefer: &str,
        body: String,
    ) -> Result<(StatusCode, Bytes)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host)
            .header(AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header(CONTENT_TYPE, "application/json")
            .header("prefer", prefer)
            .body(Full::new(Bytes::from(body)))?;
        self.connection.ready().await?;
        let response = self.connection.send_request(request).await?;
        let status = response.status();
        let answer = response.into_body().collect().await?.to_bytes();
        Ok((status, answer))
    }
}

/// What a client asks again and again.
#[derive(Clone, Copy)]
pub(crate) enum Load {
    Message {
        agent: &'static str,
        text: &'static str,
    },
    /// One of OpenAI's API.
    Completion {
        model: &'static str,
        text: &'static str,
        stream: bool,
    },
    Get(&'static str),
}

/// Asks over so many connections, each one request after the other.
pub(crate) async fn drive(
    address: &str,
    connections: usize,
    time: Duration,
    load: Load,
) -> Result<Samples> {
    let end = Instant::now() + time;
    let workers: Vec<_> = (0..connections)
        .map(|_| tokio::spawn(ask_until(address.to_owned(), end, load)))
        .collect();
    let mut samples = Samples::default();
    for worker in workers {
        samples.extend(worker.await??);
    }
    Ok(samples)
}

async fn ask_until(address: String, end: Instant, load: Load) -> Result<Samples> {
    let mut client = Client::connect(&address).await?;
    let mut samples = Samples::default();
    while Instant::now() < end {
        let started = Instant::now();
        match load {
            Load::Message { agent, text } => drop(client.say(agent, text).await?),
            Load::Completion {
                model,
                text,
                stream,
            } => {
                let message = serde_json::json!({"role": "user", "content": text});
                let body =
                    serde_json::json!({"model": model, "messages": [message], "stream": stream});
                let (status, answer) = client
                    .post("/v1/chat/completions", body.to_string())
                    .await?;
                let is_whole = memchr::memmem::find(&answer, b"Here ").is_some();
                ensure!(
                    status == StatusCode::OK && is_whole,
                    "{model} answered {status}"
                );
            }
            Load::Get(path) => {
                let (status, _) = client.get(path).await.context("asking")?;
                ensure!(status == StatusCode::OK, "{path} answered {status}");
            }
        }
        samples.push(started.elapsed());
    }
    Ok(samples)
}
