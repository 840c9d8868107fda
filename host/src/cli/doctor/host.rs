//! Checks of the host that answers, if one does.

use reqwest::header::DATE;
use serde_json::Value;

use super::check::Check;
use crate::cli::client::Client;
use crate::cli::fault::{Exit, exit_of};
use crate::cli::globals::Setting;
use crate::cli::wire::text;

pub(super) async fn checks(setting: &Setting) -> Vec<Check> {
    let client = match setting.client() {
        Ok(client) => client,
        Err(error) => {
            return vec![Check::bad(
                "host",
                format!("{error:#}"),
                "see --url and --config",
            )];
        }
    };
    let date = match client.health("live").await {
        Ok(response) => response.headers().get(DATE).cloned(),
        Err(error) => return vec![not_there(setting, &error)],
    };
    let mut checks = vec![Check::good("host", format!("answers on {}", client.url()))];
    if let Some(date) = date.as_ref().and_then(|date| date.to_str().ok()) {
        checks.push(Check::good("host's clock", date));
    }
    checks.push(ready(&client).await);
    checks.extend(status(&client).await);
    checks
}

/// A host that nobody asked for by name need not run.
fn not_there(setting: &Setting, error: &anyhow::Error) -> Check {
    let found = format!("{error}");
    match setting.given_url() {
        None if exit_of(error) == Exit::Unreachable => {
            Check::note("host", found, "start one with: anchorhold serve")
        }
        _ => Check::bad(
            "host",
            found,
            "start it, or correct --url or ANCHORHOLD_URL",
        ),
    }
}

async fn ready(client: &Client) -> Check {
    match client.health("ready").await {
        Ok(_) => Check::good("ready", "takes messages"),
        Err(error) => Check::bad("ready", format!("{error:#}"), "the host's log says why"),
    }
}

/// What only somebody with a token gets to know.
async fn status(client: &Client) -> Vec<Check> {
    let status: Value = match client.get(&["status"], &[]).await {
        Ok(status) => status,
        Err(error) => return vec![refused(client, &error)],
    };
    vec![
        Check::good("token", "valid"),
        version(&text(&status, "version")),
    ]
}

fn refused(client: &Client, error: &anyhow::Error) -> Check {
    let hint = match client.has_token() {
        true => "anchorhold token create makes another; a token for chat alone reads no status",
        false => {
            "set ANCHORHOLD_TOKEN; on the host's own machine, run this where its configuration is"
        }
    };
    Check::bad("token", error.to_string(), hint)
}

fn version(theirs: &str) -> Check {
    let ours = env!("CARGO_PKG_VERSION");
    if theirs == ours {
        return Check::good("version", ours);
    }
    Check::note(
        "version",
        format!("the host is {theirs}, this program {ours}"),
        "use the same version on both sides",
    )
}
