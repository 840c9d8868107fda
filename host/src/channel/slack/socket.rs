//! Socket Mode: Slack reaches the host over WebSockets that the host opens
//! (docs.slack.dev/apis/events-api/using-socket-mode).
//!
//! Every envelope is acknowledged, on the socket by which it came and as soon as
//! it is stored; what is dealt with later delays none. A socket that is to be
//! closed is read until then, beside the new one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::Slack;
use super::web::{Refused, Web};
use crate::store::SlackKind;

/// Slack sends a ping every few seconds; a socket that is silent for so long is
/// dead.
const SILENCE: Duration = Duration::from_secs(30);

/// How long a socket that is being replaced may still be read.
const FAREWELL: Duration = Duration::from_secs(60);

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Envelopes of a socket that are being stored.
const UNDER_WAY: usize = 256;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why another socket is wanted.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// The old one goes on until Slack closes it.
    Beside,
    /// The old one is gone.
    Instead,
    /// There are too many.
    Later,
    /// Somebody turned Socket Mode off.
    Never,
}

/// Keeps one socket open until `stop`.
pub(super) async fn keep(slack: Arc<Slack>, web: Arc<Web>, stop: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    while !stop.is_cancelled() {
        match open(&web).await {
            Ok(socket) => match follow(&slack, socket, &stop).await {
                Next::Beside => {
                    pause = FIRST_PAUSE;
                    continue;
                }
                Next::Instead => pause = FIRST_PAUSE,
                Next::Later => pause = (pause * 2).min(LONGEST_PAUSE),
                Next::Never => {
                    error!(
                        "Socket Mode is turned off for this app, so nothing comes from Slack: turn it on on the app's page Socket Mode, and start the host again"
                    );
                    return;
                }
            },
            Err(error) => {
                if let Some(Refused::Failed { error, .. }) = error.downcast_ref::<Refused>()
                    && error != "internal_error"
                {
                    error!(
                        error,
                        "no socket to Slack can be opened; SLACK_APP_TOKEN needs the scope connections:write. Trying again every minute"
                    );
                    pause = LONGEST_PAUSE;
                } else {
                    warn!(error = %format!("{error:#}"), "no socket to Slack; trying again");
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause.mul_f64(rand::random_range(0.75..=1.25))) => {}
        }
    }
}

async fn open(web: &Web) -> Result<Socket> {
    let answer = web.call("apps.connections.open", &json!({})).await?;
    let url = answer["url"]
        .as_str()
        .context("Slack named no address of a socket")?;
    if !web.may_open(url) {
        bail!("Slack named an address of a socket that is not encrypted");
    }
    let opening = tokio_tungstenite::connect_async(url);
    let opened = tokio::time::timeout(Duration::from_secs(10), opening).await;
    // The address has a ticket in it.
    let opened = opened.context("the socket does not open")?;
    let (socket, _) = opened.map_err(|_| anyhow::anyhow!("the socket does not open"))?;
    Ok(socket)
}

/// Reads a socket until another one is wanted.
async fn follow(slack: &Arc<Slack>, socket: Socket, stop: &CancellationToken) -> Next {
    slack.status.socket_opened();
    let (asked, mut next) = mpsc::channel(1);
    let reader = Reader {
        slack: Arc::clone(slack),
        next: asked,
        stop: stop.clone(),
    };
    tokio::spawn(reader.read(socket));
    next.recv().await.unwrap_or(Next::Instead)
}

/// One socket, as long as it is open.
struct Reader {
    slack: Arc<Slack>,
    next: mpsc::Sender<Next>,
    stop: CancellationToken,
}

impl Reader {
    async fn read(self, socket: Socket) {
        let (mut sink, mut stream) = socket.split();
        let (acks, mut to_send) = mpsc::channel::<Message>(UNDER_WAY);
        let sending = tokio::spawn(async move {
            while let Some(message) = to_send.recv().await {
                if sink.send(message).await.is_err() {
                    return;
                }
            }
            let _ = sink.close().await;
        });
        let mut until = None;
        loop {
            let patience = until.map_or(SILENCE, |_| FAREWELL);
            let message = tokio::select! {
                () = self.stop.cancelled() => break,
                message = tokio::time::timeout(patience, stream.next()) => message,
            };
            let Ok(Some(Ok(message))) = message else {
                break;
            };
            match message {
                Message::Text(text) => {
                    if let Some(next) = self.take(text.as_str(), &acks).await {
                        until = Some(());
                        // Nobody waits for it any more where one was asked for before.
                        let _ = self.next.try_send(next);
                    }
                }
                Message::Ping(data) => {
                    let _ = acks.send(Message::Pong(data)).await;
                }
                Message::Close(_) => break,
                Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
            }
        }
        drop(acks);
        let _ = sending.await;
        self.slack.status.socket_closed();
    }

    /// Takes one message; answers which socket is wanted after it, if another is.
    async fn take(&self, text: &str, acks: &mpsc::Sender<Message>) -> Option<Next> {
        let envelope: Value = serde_json::from_str(text).unwrap_or_else(|_| {
            warn!("Slack sent what is no JSON");
            Value::Null
        });
        match envelope["type"].as_str() {
            Some("hello") => {
                info!(
                    sockets = envelope["num_connections"].as_u64(),
                    "Slack is connected"
                );
                None
            }
            Some("disconnect") => Some(wanted(envelope["reason"].as_str())),
            kind => {
                self.accept(kind, &envelope, acks).await;
                None
            }
        }
    }

    /// Stores an envelope and acknowledges it; others are read meanwhile.
    async fn accept(&self, kind: Option<&str>, envelope: &Value, acks: &mpsc::Sender<Message>) {
        let Some(id) = envelope["envelope_id"].as_str() else {
            debug!(kind, "Slack sent what has no id");
            return;
        };
        let ack = Message::text(json!({"envelope_id": id}).to_string());
        let kind = match kind {
            Some("events_api") => SlackKind::Event,
            Some("slash_commands") => SlackKind::Command,
            Some("interactive") => SlackKind::Interaction,
            other => {
                warn!(kind = other, "Slack sent what this host does not know");
                let _ = acks.send(ack).await;
                return;
            }
        };
        let (slack, payload) = (Arc::clone(&self.slack), envelope["payload"].clone());
        // A place among those that wait, before it is stored.
        let Ok(place) = acks.clone().reserve_owned().await else {
            return;
        };
        tokio::spawn(async move {
            match slack.take(kind, &payload).await {
                Ok(()) => drop(place.send(ack)),
                // Without an acknowledgment Slack sends it once more.
                Err(error) => {
                    error!(error = %format!("{error:#}"), "what Slack sent cannot be stored");
                }
            }
        });
    }
}

fn wanted(reason: Option<&str>) -> Next {
    match reason {
        Some("link_disabled") => Next::Never,
        Some("too_many_websockets") => Next::Later,
        _ => Next::Beside,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_which_socket_is_wanted() {
        assert_eq!(wanted(Some("warning")), Next::Beside);
        assert_eq!(wanted(Some("refresh_requested")), Next::Beside);
        assert_eq!(wanted(Some("too_many_websockets")), Next::Later);
        assert_eq!(wanted(Some("link_disabled")), Next::Never);
        assert_eq!(wanted(None), Next::Beside);
    }
}
