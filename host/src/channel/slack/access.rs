//! Who may talk to an agent, by what Slack knows of a person and a place.

use anyhow::{Context, anyhow};

use super::Slack;
use super::lanes::Trouble;
use super::message::Visit;
use super::people::Person;
use super::web::Refused;
use crate::config::SlackAccess;

/// Who somebody is.
///
/// # Errors
///
/// Why that cannot be known.
pub(super) async fn person(slack: &Slack, user: &str) -> Result<Person, Trouble> {
    let install = slack.own.get().context("Slack has not said who we are")?;
    let found = slack.people.look_up(&slack.web, user, &install.id).await;
    found.map_err(|refused| unknown(user, refused))
}

/// Whether somebody may talk to an agent in a channel (by id, and whether it is
/// a direct message); else why not, for that person.
///
/// # Errors
///
/// Why that cannot be known.
pub(super) async fn may(
    visit: &Visit<'_>,
    agent: &str,
    (user, person): (&str, &Person),
    place: (&str, bool),
) -> Result<Result<(), String>, Trouble> {
    let slack = visit.slack;
    let default = SlackAccess::default();
    let access = slack.config.agents.get(agent).unwrap_or(&default);
    let team = visit.team();
    if let Err(why) = allows(access, agent, person, place, &team) {
        return Ok(Err(why));
    }
    let is_named = access.users.iter().flatten().any(|one| one == user);
    if is_named || (access.users.is_none() && access.groups.is_none()) {
        return Ok(Ok(()));
    }
    let is_of_many = visit.install.id.starts_with('E');
    for group in access.groups.iter().flatten() {
        let group = (team.as_str(), group.as_str());
        match slack.people.is_in(&slack.web, group, user).await {
            Ok(true) => return Ok(Ok(())),
            Ok(false) => {}
            // Of another team of the organisation.
            Err(refused) if is_of_many && refused.is("no_such_subteam") => {}
            Err(refused) => return Err(unknown(user, refused)),
        }
    }
    let why = "does not answer everybody. Ask the administrator of this workspace.";
    Ok(Err(format!("{agent} {why}")))
}

/// Whether another bot may talk to an agent in a channel.
pub(super) fn bot_may(visit: &Visit<'_>, agent: &str, bot: &str, channel: &str) -> bool {
    let Some(access) = visit.slack.config.agents.get(agent) else {
        return false;
    };
    let is_named = access.bots.iter().any(|one| one == bot);
    let (nobody, place) = (Person::default(), (channel, false));
    is_named && allows(access, agent, &nobody, place, &visit.team()).is_ok()
}

/// Whether an id is of a bot.
pub(super) fn is_bot(id: &str) -> bool {
    id.starts_with('B')
}

/// Nobody is let in of whom nothing is known.
fn unknown(user: &str, refused: Refused) -> Trouble {
    match refused {
        Refused::Failed { .. } => {
            Trouble::Never(format!("who {user} is cannot be known: {refused}"))
        }
        refused => Trouble::Later(anyhow!(refused)),
    }
}

/// Whether an agent answers this person in this channel (by id, and whether it
/// is a direct message) of a team; else why not, in a sentence for that person.
/// Which people it answers besides is not asked here.
pub(super) fn allows(
    access: &SlackAccess,
    agent: &str,
    person: &Person,
    (channel, is_direct): (&str, bool),
    team: &str,
) -> Result<(), String> {
    let is_in = |list: &Option<Vec<String>>, id: &str| {
        let list = list.as_ref();
        list.is_none_or(|list| list.iter().any(|one| one == id))
    };
    let why = if person.is_gone || person.is_bot {
        "answers people only."
    } else if person.is_outsider && !access.outsiders {
        "answers people of this workspace only. Ask one of them, or its administrator."
    } else if person.is_guest && !access.guests {
        "does not answer guests. Ask a member of this workspace, or its administrator."
    } else if is_direct && access.no_direct_messages {
        "does not answer direct messages. Mention it in a channel."
    } else if !is_direct && access.only_direct_messages {
        "answers in direct messages only. Write to it there."
    } else if !is_direct && !is_in(&access.channels, channel) {
        "does not answer in this channel. Ask the administrator where it does."
    } else if !is_in(&access.teams, team) {
        "does not answer in this workspace."
    } else {
        return Ok(());
    };
    Err(format!("{agent} {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: (&str, bool) = ("C1", false);
    const DIRECT: (&str, bool) = ("D1", true);

    fn member() -> Person {
        Person::default()
    }

    fn may(access: &SlackAccess, person: &Person, place: (&str, bool)) -> bool {
        allows(access, "notes", person, place, "T1").is_ok()
    }

    #[test]
    fn members_may_and_others_may_not_unless_it_is_said() {
        let default = SlackAccess::default();
        let open = SlackAccess {
            guests: true,
            outsiders: true,
            ..SlackAccess::default()
        };
        let guest = Person {
            is_guest: true,
            ..member()
        };
        let outsider = Person {
            is_outsider: true,
            ..member()
        };
        assert!(may(&default, &member(), CHANNEL) && may(&default, &member(), DIRECT));
        for person in [guest, outsider] {
            assert!(!may(&default, &person, CHANNEL) && may(&open, &person, CHANNEL));
        }
        for person in [
            Person {
                is_gone: true,
                ..member()
            },
            Person {
                is_bot: true,
                ..member()
            },
        ] {
            assert!(!may(&open, &person, CHANNEL));
        }
    }

    #[test]
    fn places_are_those_that_are_named() {
        let access = SlackAccess {
            channels: Some(vec!["C2".to_owned()]),
            no_direct_messages: true,
            ..SlackAccess::default()
        };
        assert!(!may(&access, &member(), CHANNEL) && !may(&access, &member(), DIRECT));
        assert!(may(&access, &member(), ("C2", false)));
        let private = SlackAccess {
            only_direct_messages: true,
            ..SlackAccess::default()
        };
        assert!(!may(&private, &member(), CHANNEL) && may(&private, &member(), DIRECT));
        let elsewhere = SlackAccess {
            teams: Some(vec!["T2".to_owned()]),
            ..SlackAccess::default()
        };
        assert!(!may(&elsewhere, &member(), CHANNEL));
    }
}
