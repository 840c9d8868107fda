//! From a guest's call of a model to the provider's socket: the host runs in this process, so that
//! there is one clock for both ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anchorhold::app::Host;
use anchorhold::capability::llm::ASKED;
use anchorhold::channel::http::{Credentials, Server};
use anyhow::{Result, ensure};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::client::Client;
use crate::place::Place;
use crate::provider::Provider;
use crate::stats::Samples;

/// What people turn on who mean it: everything that is known by its form is taken out.
const GUARDRAILS: &str = "[[guardrails]]\nname = \"personal data\"\naction = \"redact\"\n\
    detect = [\"email\", \"phone\", \"credit-card\", \"iban\", \"ipv4\", \"us-ssn\", \"api-key\", \"private-key\"]\n";

/// Turns of `in_a_turn` calls each, the first one left out.
pub(crate) async fn measure(
    place: &Place,
    provider: &Provider,
    turns: usize,
    in_a_turn: usize,
) -> Result<Samples> {
    let asked = Asked::default();
    Registry::default().with(asked.clone()).try_init()?;
    let more = format!(
        "{GUARDRAILS}{}[limits]\nfuel = 200000000000\n",
        provider.settings()
    );
    let host = Host::start(place.config(&more)?).await?;
    let (credentials, _) = Credentials::prepare(&host.store, &host.config.server).await?;
    let server = Server::bind(Arc::clone(&host), credentials).await?;
    let address = server.url()?.replace("http://", "");
    let serving = tokio::spawn(server.serve());
    crate::host::wait_for(&address, "probe", "generate hello").await?;

    let mut client = Client::connect(&address).await?;
    let text = vec!["generate hi"; in_a_turn].join("\n");
    let mut samples = Samples::default();
    for turn in 0..=turns {
        asked.take();
        provider.take_asked();
        client.say("probe", &text).await?;
        let (from, to) = (asked.take(), provider.take_asked());
        ensure!(
            from.len() == in_a_turn && to.len() == in_a_turn,
            "calls got lost: {} of guests, {} at the provider",
            from.len(),
            to.len()
        );
        if turn > 0 {
            from.iter()
                .zip(to)
                .for_each(|(from, to)| samples.push(to.saturating_duration_since(*from)));
        }
    }
    host.stop().await;
    serving.abort();
    Ok(samples)
}

/// When guests asked.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<Instant>>>);

impl Asked {
    fn take(&self) -> Vec<Instant> {
        std::mem::take(&mut self.times())
    }

    fn times(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for Asked {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.name() == ASKED {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    // Asked where another thread has another subscriber.
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.name() == ASKED
    }

    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
        let now = Instant::now();
        self.times().push(now);
    }
}
