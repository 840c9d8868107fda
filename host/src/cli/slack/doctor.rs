//! `anchorhold slack doctor`: whether the app in Slack and this configuration
//! fit each other. Nothing is said in Slack, and no socket is opened.

mod heard;

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::super::doctor::check::Check;
use super::super::doctor::report;
use super::super::globals::Setting;
use crate::channel::slack::manifest::{self, Profile};
use crate::channel::slack::web::Web;
use crate::config;

/// What is signed longer ago than this many seconds is refused.
const MOST_SKEW: i64 = 300;
const SKEW: i64 = 60;

/// Check the tokens, scopes and clock for Slack
#[derive(Debug, Args)]
pub(in crate::cli) struct Doctor {
    /// What the app is to be able to do
    #[arg(long, value_enum, default_value = "full")]
    profile: Profile,
}

impl Doctor {
    pub(super) async fn run(self, setting: &Setting) -> Result<()> {
        let checks = match setting.config() {
            Ok(config) => self.checks(setting, &config.slack).await?,
            Err(error) => vec![Check::bad(
                "configuration",
                format!("{error:#}"),
                "mend the file or the environment",
            )],
        };
        report(&checks, setting.globals.json)
    }

    async fn checks(&self, setting: &Setting, slack: &config::Slack) -> Result<Vec<Check>> {
        let Some(token) = slack.bot_token.clone() else {
            let hint = "`anchorhold slack setup` says how to get one; then set SLACK_BOT_TOKEN";
            return Ok(vec![Check::bad("bot token", "there is none", hint)]);
        };
        let mut checks = Vec::new();
        if !token.expose_secret().starts_with("xoxb-")
            && !token.expose_secret().starts_with("xoxe.xoxb-")
        {
            let hint = "copy the Bot User OAuth Token from the app's page Install App";
            checks.push(Check::bad(
                "bot token",
                "it does not begin with xoxb-",
                hint,
            ));
        }
        let answer = Web::new(slack, token)?.call("auth.test", &json!({})).await;
        match answer {
            Ok(me) => checks.extend(self.of_the_app(&me)),
            Err(refused) => {
                let hint = "copy the Bot User OAuth Token from the app's page Install App, and look whether this machine reaches Slack";
                checks.push(Check::bad("bot token", refused.to_string(), hint));
            }
        }
        checks.push(by_socket(slack).await?);
        checks.push(by_http(slack));
        checks.extend(heard::checks(setting, self.profile).await);
        Ok(checks)
    }

    fn of_the_app(&self, me: &Value) -> Vec<Check> {
        let text = |name: &str| me[name].as_str().unwrap_or("?");
        let found = format!("{} in {}", text("user"), text("team"));
        let mut checks = vec![Check::good("bot token", found)];
        checks.extend(clock(me["date"].as_str()));
        let granted: Vec<&str> = text("scopes").split(',').map(str::trim).collect();
        let missing = manifest::scopes(self.profile).filter(|scope| !granted.contains(&scope.name));
        let missing: Vec<Check> = missing
            .map(|scope| {
                let hint =
                    "add it on the app's page OAuth & Permissions, and install the app again";
                let found = format!("{} is missing: {}", scope.name, scope.for_what);
                Check::bad("scopes", found, hint)
            })
            .collect();
        if missing.is_empty() {
            checks.push(Check::good("scopes", "all that are needed"));
        }
        checks.extend(missing);
        checks
    }
}

async fn by_socket(slack: &config::Slack) -> Result<Check> {
    const NAME: &str = "Socket Mode";
    let Some(token) = slack.app_token.clone() else {
        return Ok(Check::good(NAME, "not used: there is no SLACK_APP_TOKEN"));
    };
    let hint = "make an App-Level Token with the scope connections:write on the app's page Basic Information, and turn Socket Mode on";
    if !token.expose_secret().starts_with("xapp-") {
        return Ok(Check::bad(
            NAME,
            "SLACK_APP_TOKEN does not begin with xapp-",
            hint,
        ));
    }
    let answer = Web::new(slack, token)?
        .call("apps.connections.open", &json!({}))
        .await;
    Ok(match answer {
        Ok(_) => Check::good(NAME, "sockets can be opened"),
        Err(refused) => Check::bad(NAME, refused.to_string(), hint),
    })
}

fn by_http(slack: &config::Slack) -> Check {
    const NAME: &str = "HTTP events";
    if slack.signing_secret.is_none() {
        return Check::good(NAME, "not used: there is no SLACK_SIGNING_SECRET");
    }
    let hint = "Slack tries the address when it is entered under Event Subscriptions; wrong secrets are counted as anchorhold_slack_unsigned_total";
    Check::note(
        NAME,
        "there is a secret; whether it is the app's cannot be asked",
        hint,
    )
}

/// How far this machine's clock is from Slack's.
fn clock(date: Option<&str>) -> Option<Check> {
    let theirs = jiff::fmt::rfc2822::parse(date?).ok()?.timestamp();
    let seconds = (Timestamp::now().as_second() - theirs.as_second()).abs();
    let found = format!("{seconds} s from Slack's");
    let hint = "set this machine's clock; what Slack signs is refused when it is 300 s old";
    Some(match seconds {
        0..SKEW => Check::good("clock", found),
        SKEW..MOST_SKEW => Check::note("clock", found, hint),
        _ => Check::bad("clock", found, hint),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::doctor::check::Verdict;
    use super::*;

    #[test]
    fn a_clock_that_is_far_off_is_bad() {
        let at = |seconds: i64| {
            let then = Timestamp::now() - jiff::SignedDuration::from_secs(seconds);
            let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
            printer.timestamp_to_rfc9110_string(&then).ok()
        };
        let verdict = |seconds| clock(at(seconds).as_deref()).map(|check| check.verdict);
        assert_eq!(verdict(0), Some(Verdict::Good));
        assert_eq!(verdict(120), Some(Verdict::Note));
        assert_eq!(verdict(-1_000), Some(Verdict::Bad));
        assert_eq!(clock(Some("soon")), None);
    }

    #[test]
    fn scopes_that_are_missing_are_named() {
        let doctor = Doctor {
            profile: Profile::Minimal,
        };
        let me = json!({"user": "bot", "team": "T", "scopes": "chat:write,commands,im:history,assistant:write,users:read"});
        let checks = doctor.of_the_app(&me);
        let bad: Vec<_> = checks
            .iter()
            .filter(|check| check.verdict == Verdict::Bad)
            .collect();
        assert_eq!(bad.len(), 1);
        assert!(bad[0].found.contains("app_mentions:read"));
    }
}
