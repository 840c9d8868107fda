//! An app that is installed in a whole organisation (Enterprise Grid) and not in one workspace:
//! there is a second workspace, events name the organisation in their `authorizations` and no
//! team, and methods that act on one workspace must be told which.
//! (<https://docs.slack.dev/enterprise/developing-for-enterprise-orgs/>)

use serde_json::{Value, json};

use super::seed::{BOT, SECOND_TEAM, TEAM, person};
use super::{Channel, Kind, World, merge};

pub(in crate::dev::slack) const ENTERPRISE: &str = "E0SIM";
const SECOND_GROUP: &str = "S0SECOND";
const NAME: &str = "Anchorhold Simulation Organisation";

impl World {
    /// Puts the team into an organisation, beside another one.
    pub(in crate::dev::slack) fn join_enterprise(&mut self) {
        let home = json!({"team_id": SECOND_TEAM});
        let (id, erin) = person("U0ERIN", "erin", "Erin of the Second Team", home);
        self.users.insert(id, erin);
        for user in self.users.values_mut() {
            let team = user["team_id"].clone();
            if team == TEAM || team == SECOND_TEAM {
                let member = json!({"id": user["id"], "enterprise_id": ENTERPRISE,
                    "enterprise_name": NAME, "teams": [team]});
                merge(user, &json!({"enterprise_user": member}));
            }
        }
        let channels = [
            Channel::new("C0SECOND", "second", Kind::Public, &["U0ERIN", BOT]),
            Channel::new("D0ERIN", "", Kind::Im, &["U0ERIN", BOT]),
        ];
        self.channels.extend(channels.map(|channel| Channel {
            team: SECOND_TEAM,
            ..channel
        }));
        self.groups
            .insert(SECOND_GROUP.to_owned(), vec!["U0ERIN".to_owned()]);
        self.is_enterprise = true;
    }

    /// Through which installation the app is told of something.
    pub(super) fn authorization(&self) -> Value {
        let (enterprise, team) = match self.is_enterprise {
            true => (json!(ENTERPRISE), Value::Null),
            false => (Value::Null, json!(TEAM)),
        };
        json!({"enterprise_id": enterprise, "team_id": team, "user_id": BOT, "is_bot": true,
            "is_enterprise_install": self.is_enterprise})
    }

    /// In what the app is installed.
    pub(super) fn installed_in(&self) -> &'static str {
        match self.is_enterprise {
            true => ENTERPRISE,
            false => TEAM,
        }
    }

    pub(in crate::dev::slack) fn team_of_group(&self, group: &str) -> &'static str {
        match group {
            SECOND_GROUP => SECOND_TEAM,
            _ => TEAM,
        }
    }

    /// The organisation, where there is one.
    pub(in crate::dev::slack) fn enterprise(&self) -> Value {
        match self.is_enterprise {
            true => json!({"id": ENTERPRISE, "name": NAME}),
            false => Value::Null,
        }
    }
}
