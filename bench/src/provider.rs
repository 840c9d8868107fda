//! A provider that speaks as OpenAI does, answers at once, and knows when it was asked.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::stats::Samples;

const ANSWER: &str = concat!(
    "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Here \"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"I am.\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,\"total_tokens\":12}}\n\n",
    "data: [DONE]\n\n",
);

const WHOLE: &str = concat!(
    "{\"id\":\"1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,",
    "\"message\":{\"role\":\"assistant\",\"content\":\"Here I am.\"},\"finish_reason\":\"stop\"}],",
    "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,\"total_tokens\":12}}",
);

/// When a request was there whole, and when its answer was handed to the socket.
struct Exchange {
    asked: Instant,
    answered: Instant,
}

pub(crate) struct Provider {
    pub(crate) port: u16,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
}

impl Provider {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let provider = Self {
            port: listener.local_addr()?.port(),
            exchanges: Arc::default(),
        };
        let exchanges = Arc::clone(&provider.exchanges);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // Without it the kernel would wait for more before it sends.
                let _ = socket.set_nodelay(true);
                let exchanges = Arc::clone(&exchanges);
                let service = service_fn(move |request| answer(request, Arc::clone(&exchanges)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
            }
        });
        Ok(provider)
    }

    /// Settings of a host whose model `default` this is, at no price.
    pub(crate) fn settings(&self) -> String {
        format!(
            "[llm.providers.bench]\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:{}/v1\"\napi_key = \"k\"\nfree = true\n\
             [llm.models.default]\nprovider = \"bench\"\nmodel = \"m\"\n",
            self.port
        )
    }

    /// From the end of each answer to the next question, where a turn asks one after the other.
    pub(crate) fn take_gaps(&self) -> Samples {
        let mut exchanges = self
            .exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut gaps = Samples::default();
        for pair in exchanges.windows(2) {
            gaps.push(pair[1].asked.saturating_duration_since(pair[0].answered));
        }
        exchanges.clear();
        gaps
    }

    /// When it was asked.
    pub(crate) fn take_asked(&self) -> Vec<Instant> {
        let mut exchanges = self
            .exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        exchanges.drain(..).map(|exchange| exchange.asked).collect()
    }

    pub(crate) fn calls(&self) -> usize {
        self.exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

async fn answer(
    request: Request<Incoming>,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    // What is wrong with a body the host will notice.
    let body = request.into_body().collect().await;
    let asked = Instant::now();
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let is_streamed = memchr::memmem::find(&body, b"\"stream\":true").is_some();
    let (kind, answer) = if is_streamed {
        ("text/event-stream", ANSWER)
    } else {
        ("application/json", WHOLE)
    };
    let response = Response::builder()
        .header("content-type", kind)
        .body(Full::new(Bytes::from_static(answer.as_bytes())));
    let exchange = Exchange {
        asked,
        answered: Instant::now(),
    };
    exchanges
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(exchange);
    Ok(response.unwrap_or_default())
}

/// What a client of it alone needs for the same: the floor.
pub(crate) async fn bare_gaps(provider: &Provider, calls: usize) -> Result<Samples> {
    let address = format!("127.0.0.1:{}", provider.port);
    let mut client = crate::client::Client::connect(&address).await?;
    for _ in 0..calls {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}"#;
        client.post("/v1/chat/completions", body.to_owned()).await?;
    }
    Ok(provider.take_gaps())
}
