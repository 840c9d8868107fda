//! Uploading a component, with a progress bar where a person watches.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::stream;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::client::Client;
use crate::cli::fault::{Exit, Fault};
use crate::cli::wire::text;

const PIECE_BYTES: usize = 64 << 10;

/// The digest of a component: of a file, which is uploaded, or as it is given.
pub(in crate::cli) async fn digest_of(client: &Client, component: &str) -> Result<String> {
    match std::fs::read(component) {
        Ok(bytes) => upload(client, bytes).await,
        Err(_) if is_digest(component) => Ok(component.to_lowercase()),
        Err(error) => Err(
            Fault::new(Exit::Failure, format!("cannot read {component}"))
                .hint(
                    "--component is the file of a component, or a digest of 64 hexadecimal digits",
                )
                .caused_by(error)
                .into(),
        ),
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit())
}

async fn upload(client: &Client, bytes: Vec<u8>) -> Result<String> {
    let bar = bar(bytes.len())?;
    let bytes = Bytes::from(bytes);
    let pieces = (0..bytes.len()).step_by(PIECE_BYTES).map({
        let bar = bar.clone();
        move |start| {
            let piece = bytes.slice(start..bytes.len().min(start + PIECE_BYTES));
            bar.inc(piece.len() as u64);
            if bar.position() == bytes.len() as u64 {
                bar.set_message("checking and compiling");
            }
            Ok::<Bytes, Infallible>(piece)
        }
    });
    let answer = client
        .upload(reqwest::Body::wrap_stream(stream::iter(pieces)))
        .await;
    bar.finish_and_clear();
    Ok(text(&answer?, "digest"))
}

/// A bar on standard error; where that is no terminal, it is not drawn.
fn bar(bytes: usize) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {msg}")
        .context("the progress bar is not well formed")?;
    let bar = ProgressBar::new(bytes as u64)
        .with_style(style)
        .with_message("uploading");
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_64_hexadecimal_digits() {
        assert!(is_digest(&"aB0".repeat(22)[..64]));
        assert!(!is_digest("agent.wasm") && !is_digest(&"g".repeat(64)));
    }
}
