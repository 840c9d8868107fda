//! Socket Mode: the sockets that the app opened, envelopes into any one of them, and
//! acknowledgements out of any of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::sim::Sim;
use super::world::APP;

/// How many sockets an app may have.
const MOST: usize = 10;

/// What is done to a socket.
#[derive(Debug)]
enum Order {
    Send(Value),
    Close,
    /// Neither reads nor sends any more, but stays open, as after a network that went away.
    Freeze,
}

struct Open {
    n: usize,
    orders: mpsc::UnboundedSender<Order>,
    /// It was told to go.
    is_leaving: bool,
}

/// All open sockets.
#[derive(Default)]
pub(super) struct Sockets {
    all: Mutex<Vec<Open>>,
    turn: Mutex<usize>,
}

impl Sockets {
    fn all(&self) -> MutexGuard<'_, Vec<Open>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The numbers of those that are open.
    pub(super) fn open(&self) -> Vec<usize> {
        self.all().iter().map(|socket| socket.n).collect()
    }

    /// Sends through one of them, each in its turn, and through one that was told to go only if
    /// there is no other; whether there was one.
    fn send(&self, frame: Value) -> bool {
        let all = self.all();
        let mut open: Vec<&Open> = all.iter().filter(|socket| !socket.is_leaving).collect();
        if open.is_empty() {
            open.extend(all.iter());
        }
        if open.is_empty() {
            return false;
        }
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        *turn = turn.wrapping_add(1);
        let chosen = open[*turn % open.len()];
        chosen.orders.send(Order::Send(frame)).is_ok()
    }

    fn order(&self, only: Option<usize>, mut order: impl FnMut() -> Order) {
        for socket in self
            .all()
            .iter()
            .filter(|it| only.is_none_or(|n| it.n == n))
        {
            // It may be closing.
            let _ = socket.orders.send(order());
        }
    }

    /// Tells sockets to go.
    pub(super) fn disconnect(&self, only: Option<usize>, reason: &str) {
        for socket in self
            .all()
            .iter_mut()
            .filter(|it| only.is_none_or(|n| it.n == n))
        {
            socket.is_leaving = true;
        }
        let frame = json!({"type": "disconnect", "reason": reason,
            "debug_info": {"host": "anchorhold-sim"}});
        self.order(only, || Order::Send(frame.clone()));
    }

    pub(super) fn close(&self, only: Option<usize>) {
        self.order(only, || Order::Close);
    }

    pub(super) fn freeze(&self, only: Option<usize>) {
        self.order(only, || Order::Freeze);
    }
}

impl Sim {
    /// Sends an envelope and waits for its acknowledgement: the payload that this had, if any.
    pub(super) async fn ask(
        self: &Arc<Self>,
        mut envelope: Value,
        patience: Duration,
    ) -> Option<Option<Value>> {
        let id = self.with(|world| world.id("envelope-"));
        envelope["envelope_id"] = json!(id);
        let (sender, receiver) = oneshot::channel();
        self.envelopes().insert(id.clone(), sender);
        let answer = match self.sockets.send(envelope) {
            true => tokio::time::timeout(patience, receiver).await.ok(),
            // Slack waits too, for a socket that might come.
            false => {
                tokio::time::sleep(patience).await;
                None
            }
        };
        self.envelopes().remove(&id);
        answer.and_then(Result::ok)
    }

    fn envelopes(
        &self,
    ) -> MutexGuard<'_, std::collections::HashMap<String, oneshot::Sender<Option<Value>>>> {
        self.envelopes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a socket until it is closed.
    pub(super) async fn serve_socket(self: Arc<Self>, mut socket: WebSocket) {
        let (orders, mut inbox) = mpsc::unbounded_channel();
        let n = self.with(|world| world.next_socket());
        let count = {
            let mut all = self.sockets.all();
            all.push(Open {
                n,
                orders,
                is_leaving: false,
            });
            all.len()
        };
        self.with(|world| world.changed("socket", json!({"n": n, "open": true})));
        if count > MOST {
            self.sockets.disconnect(Some(n), "too_many_websockets");
            self.sockets.close(Some(n));
        } else {
            let _ = socket.send(text(&hello(count))).await;
        }
        self.converse(&mut socket, &mut inbox).await;
        self.sockets.all().retain(|open| open.n != n);
        self.with(|world| world.changed("socket", json!({"n": n, "open": false})));
    }

    async fn converse(
        self: &Arc<Self>,
        socket: &mut WebSocket,
        inbox: &mut mpsc::UnboundedReceiver<Order>,
    ) {
        let period = Duration::from_millis(self.with(|world| world.settings.socket_ping_ms).max(1));
        let mut ping = tokio::time::interval_at(Instant::now() + period, period);
        loop {
            tokio::select! {
                order = inbox.recv() => match order {
                    Some(Order::Send(frame)) => {
                        if socket.send(text(&frame)).await.is_err() {
                            return;
                        }
                    }
                    Some(Order::Freeze) => return frozen(inbox).await,
                    Some(Order::Close) | None => {
                        let _ = socket.send(Message::Close(None)).await;
                        return;
                    }
                },
                frame = socket.recv() => match frame {
                    Some(Ok(Message::Text(frame))) => self.acknowledge(frame.as_str()),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => {}
                },
                _ = ping.tick() => {
                    if socket.send(Message::Ping("ping".into())).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn acknowledge(self: &Arc<Self>, frame: &str) {
        let frame: Value = serde_json::from_str(frame).unwrap_or_default();
        let id = frame["envelope_id"].as_str().unwrap_or_default();
        let payload = frame
            .get("payload")
            .filter(|payload| !payload.is_null())
            .cloned();
        match self.envelopes().remove(id) {
            // Whoever waited may have given up.
            Some(waiting) => drop(waiting.send(payload)),
            None => self.with(|world| world.changed("late_ack", frame.clone())),
        }
    }
}

/// Does nothing until the socket is to be closed.
async fn frozen(inbox: &mut mpsc::UnboundedReceiver<Order>) {
    while !matches!(inbox.recv().await, None | Some(Order::Close)) {}
}

fn hello(count: usize) -> Value {
    json!({
        "type": "hello", "num_connections": count, "connection_info": {"app_id": APP},
        "debug_info": {"host": "anchorhold-sim", "build_number": 1,
            "approximate_connection_time": 18_060},
    })
}

fn text(frame: &Value) -> Message {
    Message::Text(frame.to_string().into())
}
