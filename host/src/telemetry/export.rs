//! How spans and metrics get to the collector: OTLP over HTTP, in batches.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, MeterProvider};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanProcessor};
use secrecy::ExposeSecret;
use tokio::runtime::Handle;

use super::spans::{self, Recorded};
use crate::{config, net};

/// How long the collector may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often spans are sent.
const SPANS_EVERY: Duration = Duration::from_secs(1);

/// How often metrics are sent.
const METRICS_EVERY: Duration = Duration::from_secs(15);

/// Spans that wait to be sent; when there are more, they are left out.
const QUEUE: usize = 16_384;

/// The way to one collector.
pub(super) struct Exporter {
    spans: BatchSpanProcessor,
    meters: SdkMeterProvider,
    tokens: Histogram<u64>,
    seconds: Histogram<f64>,
}

impl Exporter {
    pub(super) fn new(endpoint: &str, config: &config::Telemetry, io: Handle) -> Result<Self> {
        let endpoint = endpoint.trim_end_matches('/');
        let client = || Client::new(io.clone());
        let headers: HashMap<String, String> = config
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.expose_secret().to_owned()))
            .collect();
        let spans = SpanExporter::builder()
            .with_http()
            .with_http_client(client()?)
            .with_endpoint(format!("{endpoint}/v1/traces"))
            .with_headers(headers.clone())
            .with_timeout(TIMEOUT)
            .build()
            .context("[telemetry] endpoint cannot be used for traces")?;
        let metrics = MetricExporter::builder()
            .with_http()
            .with_http_client(client()?)
            .with_endpoint(format!("{endpoint}/v1/metrics"))
            .with_headers(headers)
            .with_timeout(TIMEOUT)
            .build()
            .context("[telemetry] endpoint cannot be used for metrics")?;
        let resource = Resource::builder()
            .with_service_name(config.service_name.clone())
            .build();
        let batches = BatchConfigBuilder::default()
            .with_scheduled_delay(SPANS_EVERY)
            .with_max_queue_size(QUEUE)
            .build();
        let mut spans = BatchSpanProcessor::builder(spans)
            .with_batch_config(batches)
            .build();
        spans.set_resource(&resource);
        let reader = PeriodicReader::builder(metrics)
            .with_interval(METRICS_EVERY)
            .build();
        let meters = SdkMeterProvider::builder()
            .with_reader(reader)
            .with_resource(resource)
            .build();
        let meter = meters.meter("anchorhold");
        Ok(Self {
            spans,
            tokens: meter
                .u64_histogram("gen_ai.client.token.usage")
                .with_unit("{token}")
                .build(),
            seconds: meter
                .f64_histogram("gen_ai.client.operation.duration")
                .with_unit("s")
                .build(),
            meters,
        })
    }

    /// Tells of a turn.
    pub(super) fn tell(&self, recorded: &Recorded, content: bool) {
        for call in recorded.model_calls() {
            let tokens = |kind: &'static str, count: u64| {
                let mut labels = call.labels();
                labels.push(KeyValue::new("gen_ai.token.type", kind));
                self.tokens.record(count, &labels);
            };
            tokens("input", call.row.input_tokens.unsigned_abs());
            tokens("output", call.row.output_tokens.unsigned_abs());
            self.seconds.record(call.seconds(), &call.labels());
        }
        for span in spans::of_turn(recorded, content) {
            self.spans.on_end(span);
        }
    }

    /// Sends the rest.
    pub(super) fn close(&self) {
        let closed = [self.spans.shutdown(), self.meters.shutdown()];
        for error in closed.into_iter().filter_map(Result::err) {
            tracing::warn!(%error, "the last of the telemetry was not sent");
        }
    }
}

/// Sends from the runtime on which sockets live, whichever thread asks.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    io: Handle,
    /// Failures are told once, until something gets through.
    fails: AtomicBool,
}

impl Client {
    fn new(io: Handle) -> Result<Self> {
        Ok(Self {
            http: net::provider_client(TIMEOUT)?,
            io,
            fails: AtomicBool::new(false),
        })
    }

    fn note(&self, failure: Option<&str>) {
        let failed_before = self.fails.swap(failure.is_some(), Ordering::Relaxed);
        if let Some(failure) = failure {
            metrics::counter!("anchorhold_telemetry_failures_total").increment(1);
            if !failed_before {
                tracing::warn!(
                    failure,
                    "the collector of [telemetry] does not take what is sent"
                );
            }
        }
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let sent = self.io.spawn(async move {
            let mut answer = http.execute(request.try_into()?).await?;
            let mut response = Response::builder().status(answer.status());
            if let Some(headers) = response.headers_mut() {
                std::mem::swap(headers, answer.headers_mut());
            }
            Ok::<_, HttpError>(response.body(answer.bytes().await?)?)
        });
        let answer = sent.await.map_err(Into::into).flatten();
        match &answer {
            Ok(response) if response.status().is_success() => self.note(None),
            Ok(response) => self.note(Some(response.status().as_str())),
            // An address may have a password in it.
            Err(_) => self.note(Some("it cannot be reached")),
        }
        answer
    }
}
