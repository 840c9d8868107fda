//! A server on loopback that does what a path asks for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;

/// What the server has seen.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) requests: AtomicUsize,
    /// Requests that were dropped before they were answered.
    pub(super) dropped: AtomicUsize,
}

pub(super) struct Server {
    pub(super) base: String,
    pub(super) port: u16,
    pub(super) seen: Arc<Seen>,
}

pub(super) async fn start() -> Server {
    let seen = Arc::new(Seen::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = Router::new().fallback(answer).with_state(Arc::clone(&seen));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Server {
        base: format!("http://127.0.0.1:{port}"),
        port,
        seen,
    }
}

struct Dropped(Arc<Seen>, bool);

impl Drop for Dropped {
    fn drop(&mut self) {
        if !self.1 {
            self.0.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// `/echo` answers the request as text, `/STATUS/LOCATION` redirects,
/// `/loop` redirects to itself, `/bytes/N` is so long, `/slow` takes a minute,
/// `/trickle` never ends, `/headers` has many.
async fn answer(State(seen): State<Arc<Seen>>, request: Request) -> Response {
    seen.requests.fetch_add(1, Ordering::SeqCst);
    let mut guard = Dropped(seen, false);
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let response = Response::builder();
    let response = match path.split('/').nth(1).unwrap_or_default() {
        "echo" => echo(request).await,
        "loop" => response
            .status(302)
            .header("location", "/loop")
            .body(Body::empty())
            .unwrap(),
        "bytes" => {
            let length = path.rsplit('/').next().unwrap().parse().unwrap();
            response.body(Body::from(vec![b'x'; length])).unwrap()
        }
        "slow" => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            response.body(Body::empty()).unwrap()
        }
        "trickle" => {
            let pieces = futures_util::stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Some((Ok::<_, std::io::Error>(Bytes::from_static(b"drop")), ()))
            });
            response.body(Body::from_stream(pieces)).unwrap()
        }
        "headers" => (0..90)
            .fold(response, |response, index| {
                response.header(format!("x-{index}"), "y".repeat(1_000))
            })
            .body(Body::empty())
            .unwrap(),
        status => response
            .status(status.parse::<u16>().unwrap())
            .header("location", query)
            .body(Body::from("moved"))
            .unwrap(),
    };
    guard.1 = true;
    response
}

async fn echo(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut text = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        text.push_str(&format!(
            "{name}: {}\n",
            String::from_utf8_lossy(value.as_bytes())
        ));
    }
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    text.push_str(&format!("\n{}", String::from_utf8_lossy(&body)));
    let mut response = Response::builder().header("x-body", body.len());
    if let Some(value) = parts.headers.get("authorization") {
        response = response.header("x-authorization", value);
    }
    response.body(Body::from(text)).unwrap()
}
