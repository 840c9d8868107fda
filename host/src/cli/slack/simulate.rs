//! `anchorhold slack simulate`: a fake Slack on this machine, with a page to talk on.

use anyhow::Result;
use clap::Args;

use super::super::output;
use crate::dev::slack::{Options, Simulator};

/// Serve a fake Slack on this machine, without a workspace
#[derive(Debug, Args)]
pub(in crate::cli) struct Simulate {
    /// Address and port of this machine; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: String,
    /// The host that events, commands and clicks are posted to
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    host_url: String,
    /// Socket Mode: the host opens sockets, and nothing is posted to it
    #[arg(long)]
    socket: bool,
    /// Enterprise Grid: the app is installed in an organisation of two workspaces
    #[arg(long)]
    enterprise: bool,
    /// What requests to the host are signed with
    #[arg(long, value_name = "SECRET", default_value = "sim-signing-secret")]
    signing_secret: String,
    /// The token that the Web API takes
    #[arg(long, value_name = "TOKEN", default_value = "xoxb-sim-bot")]
    bot_token: String,
    /// The token that opens sockets
    #[arg(long, value_name = "TOKEN", default_value = "xapp-sim-app")]
    app_token: String,
}

impl Simulate {
    pub(super) async fn run(self) -> Result<()> {
        let options = Options {
            listen: self.listen,
            host_url: self.host_url.trim_end_matches('/').to_owned(),
            socket_mode: self.socket,
            enterprise: self.enterprise,
            signing_secret: self.signing_secret,
            bot_token: self.bot_token,
            app_token: self.app_token,
        };
        let simulator = Simulator::bind(options.clone()).await?;
        introduce(&options, &simulator.url()?);
        tokio::select! {
            ended = simulator.serve() => ended,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    }
}

/// Says where it is, and what a host needs to know to be its app. The first line is for programs.
fn introduce(options: &Options, url: &str) {
    output::line(format!("Simulating Slack on {url}"));
    output::line("Environment for anchorhold serve:");
    for line in environment(options, url) {
        output::line(format!("  {line}"));
    }
    eprintln!("Open {url} in a browser to talk; ctrl-c ends it.");
    if !options.socket_mode {
        eprintln!("Events are posted to {}/slack/events.", options.host_url);
    }
}

fn environment(options: &Options, url: &str) -> Vec<String> {
    let mut lines = vec![
        format!("SLACK_API_BASE_URL={url}/api"),
        format!("SLACK_BOT_TOKEN={}", options.bot_token),
    ];
    lines.push(match options.socket_mode {
        true => format!("SLACK_APP_TOKEN={}", options.app_token),
        false => format!("SLACK_SIGNING_SECRET={}", options.signing_secret),
    });
    lines
}
