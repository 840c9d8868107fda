//! `anchorhold slack setup`: the manifest of an app, and what to do with it.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::super::fault::{Exit, Fault};
use super::super::output;
use crate::channel::slack::manifest::{Profile, manifest};

/// Write the manifest of an app in Slack, and say what to do with it
#[derive(Debug, Args)]
pub(in crate::cli) struct Setup {
    /// What the app may see: minimal is mentions and direct messages
    #[arg(long, value_enum, default_value = "full")]
    profile: Profile,
    /// Where Slack reaches the host; without it the host opens sockets (Socket Mode)
    // Not --url: that one is every command's, and says where the host answers to commands.
    #[arg(long, value_name = "https://HOST")]
    public_url: Option<String>,
    /// Enterprise Grid: an app that can be installed in a whole organisation
    #[arg(long)]
    enterprise: bool,
    /// The app's name
    #[arg(long, default_value = "Anchorhold")]
    name: String,
    /// A file for the manifest, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Setup {
    pub(super) fn run(self) -> Result<()> {
        let url = self
            .public_url
            .as_deref()
            .map(|url| url.trim_end_matches('/'));
        if let Some(url) = url.filter(|url| !url.starts_with("https://")) {
            let said = format!(
                "Slack sends to https addresses only, not to {url}; leave --public-url out for Socket Mode"
            );
            return Err(Fault::new(Exit::Usage, said).into());
        }
        let mut manifest = manifest(&self.name, self.profile, url);
        manifest["settings"]["org_deploy_enabled"] = self.enterprise.into();
        let place = match &self.out {
            Some(file) => {
                let text = serde_json::to_string_pretty(&manifest)?;
                std::fs::write(file, text + "\n")
                    .with_context(|| format!("cannot write {}", file.display()))?;
                format!("of {}", file.display())
            }
            None => {
                output::json(&manifest)?;
                "above".to_owned()
            }
        };
        for (number, step) in (1..).zip(steps(&place, url)) {
            eprintln!("{number}. {step}");
        }
        Ok(())
    }
}

fn steps(place: &str, url: Option<&str>) -> Vec<String> {
    let by = match url {
        None => "Socket Mode: on Basic Information, App-Level Tokens, make a token with the scope connections:write: SLACK_APP_TOKEN=xapp-…".to_owned(),
        Some(url) => format!("HTTP: on Basic Information, copy the signing secret: SLACK_SIGNING_SECRET=…; {url} must reach the host"),
    };
    vec![
        format!(
            "On api.slack.com/apps: Create New App, From a manifest, choose the workspace, paste the manifest {place}."
        ),
        "On Install App: install it, and copy the Bot User OAuth Token: SLACK_BOT_TOKEN=xoxb-…"
            .to_owned(),
        by,
        "With these in the environment: anchorhold slack doctor".to_owned(),
        "With these in the environment: anchorhold serve".to_owned(),
        "In Slack: /invite the app into a channel and mention it, or write to it directly."
            .to_owned(),
    ]
}
