//! Who may talk to an agent, by what Slack knows of a person and a place.

use super::people::Person;
use crate::config::SlackAccess;

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
        let elsewhere = SlackAccess {
            teams: Some(vec!["T2".to_owned()]),
            ..SlackAccess::default()
        };
        assert!(!may(&elsewhere, &member(), CHANNEL));
    }
}
