//! What a running host knows of Slack: Slack itself does not say which events an
//! app gets, so what came is what is known of it.

use super::Check;
use crate::channel::http::views::SlackView;
use crate::channel::slack::manifest::{self, Profile};
use crate::cli::globals::Setting;
use crate::clock::now_ms;
use crate::format::ago;

const STOP: &str = "agent_session_stopped";

/// They come when it is over.
const LAST: [&str; 2] = ["app_uninstalled", "tokens_revoked"];

pub(super) async fn checks(setting: &Setting, profile: Profile) -> Vec<Check> {
    let asked = match setting.client() {
        Ok(client) => client.get::<SlackView>(&["slack"], &[]).await,
        Err(error) => Err(error),
    };
    match asked {
        Ok(known) if known.configured => of_host(&known, profile, now_ms()),
        Ok(_) => vec![Check::bad(
            "host",
            "it runs without a bot token",
            "start it with the same configuration and environment as this command",
        )],
        Err(error) => vec![Check::note(
            "host",
            format!("only a running host knows what came from Slack: {error}"),
            "anchorhold serve, say something to the app, and run this again",
        )],
    }
}

fn of_host(known: &SlackView, profile: Profile, now: i64) -> Vec<Check> {
    let broken = known.installs.iter().filter_map(|install| {
        let error = install.error.as_deref()?;
        let found = format!("{} does not work: {error}", install.name);
        let hint = "install the app again, set SLACK_BOT_TOKEN, and start the host again";
        Some(Check::bad("install", found, hint))
    });
    let mut checks: Vec<Check> = broken.collect();
    if !known.unknown_agents.is_empty() {
        let found = format!("not there: {}", known.unknown_agents.join(", "));
        let hint = "put them into the plugins folder, or correct [slack] in the configuration";
        checks.push(Check::bad("agents", found, hint));
    }
    let last = |name: &str| {
        let heard = known.heard.iter().find(|heard| heard.name == name);
        heard.map(|heard| ago(heard.at, now))
    };
    let is_told = |name: &&str| *name != STOP && !LAST.contains(name);
    let wanted = manifest::events(profile).filter(is_told);
    let wanted = wanted.chain(["command", "interaction"]);
    let (came, missing): (Vec<&str>, Vec<&str>) = wanted.partition(|name| last(name).is_some());
    if !came.is_empty() {
        checks.push(Check::good("events", format!("came: {}", came.join(", "))));
    }
    if !missing.is_empty() {
        let found = format!("never came: {}", missing.join(", "));
        let hint = "do that once in Slack; if it does not come, compare the app's page (Event Subscriptions, Interactivity, Slash Commands) with `anchorhold slack setup`";
        checks.push(Check::note("events", found, hint));
    }
    checks.push(match last(STOP) {
        Some(when) => Check::good("Stop", format!("came {when}")),
        None => Check::note(
            "Stop",
            "never came",
            "press it once while an agent is at work; without the event agent_session_stopped it ends nothing",
        ),
    });
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::http::views::{SlackHeardView, SlackInstallView};
    use crate::cli::doctor::check::Verdict;

    #[test]
    fn what_came_is_good_and_what_is_wrong_is_named() {
        let heard = ["message.im", STOP].map(|name| SlackHeardView {
            name: name.to_owned(),
            at: 1_000,
        });
        let known = SlackView {
            configured: true,
            installs: vec![SlackInstallView {
                id: "T1".to_owned(),
                name: "Example".to_owned(),
                error: Some("token_revoked".to_owned()),
            }],
            heard: heard.into(),
            unknown_agents: vec!["notse".to_owned()],
        };
        let checks = of_host(&known, Profile::Minimal, 61_000);
        let of = |name: &str, verdict| {
            let found = checks
                .iter()
                .find(|check| (check.name, check.verdict) == (name, verdict));
            found.map(|check| check.found.as_str())
        };
        assert_eq!(
            of("install", Verdict::Bad),
            Some("Example does not work: token_revoked")
        );
        assert_eq!(of("agents", Verdict::Bad), Some("not there: notse"));
        assert_eq!(of("events", Verdict::Good), Some("came: message.im"));
        let missing = "never came: app_home_opened, app_mention, command, interaction";
        assert_eq!(of("events", Verdict::Note), Some(missing));
        assert!(of("Stop", Verdict::Good).is_some());
    }
}
