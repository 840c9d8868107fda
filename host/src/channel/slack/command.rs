//! `/anchorhold`: what people ask the host itself. It is answered to them alone;
//! only what an agent is asked stands in the channel.

pub(super) mod told;

use anyhow::anyhow;
use serde_json::{Value, json};
use tracing::{debug, info, warn};

use super::access;
use super::event::{ChannelType, Message};
use super::lanes::Trouble;
use super::message::{Place, Visit, author_id};
use super::people::Person;
use super::web::Refused;
use super::{CHANNEL, Slack, mrkdwn, question};
use crate::clock::now_ms;
use crate::store::{AnsweringAgent, SlackPostState, TurnFilter, TurnStatus, TurnSummary};
use crate::turn::Question;
use crate::waits::question_of;

/// Agents that are looked through.
const MOST_AGENTS: u32 = 200;

/// Turns of a person that are looked through for those that have not ended.
const MOST_TURNS: u32 = 100;

/// Questions that are looked through at a time, and shown.
const MOST_QUESTIONS: u32 = 200;
const MOST_SHOWN: usize = 10;

pub(super) const HELP: &str = "`/anchorhold agents` who is here for you
`/anchorhold ask AGENT TEXT` asks an agent, in this channel
`/anchorhold status` what runs for you
`/anchorhold stop` stops what runs for you in this channel; in a direct message, everywhere
`/anchorhold why` explains your last answer
`/anchorhold approvals` what waits for you to decide
`/anchorhold usage` what you used today and this month
`/anchorhold budget` what is left
Or mention the app in a channel, or write to it directly. A name before a colon picks an agent: `notes: buy milk`.";

/// What somebody wants.
#[derive(Debug, PartialEq, Eq)]
enum Command<'a> {
    Help,
    Agents,
    Ask { agent: String, text: &'a str },
    Status,
    Usage,
    Budget,
    Stop,
    Why,
    Approvals,
    Unknown(&'a str),
}

impl<'a> Command<'a> {
    fn of(text: &'a str) -> Self {
        let (word, rest) = first_word(text);
        match word.to_ascii_lowercase().as_str() {
            "" | "help" => Self::Help,
            "agents" => Self::Agents,
            "ask" => {
                let (agent, text) = first_word(rest);
                let agent = agent.trim_end_matches(':').to_ascii_lowercase();
                Self::Ask { agent, text }
            }
            "status" => Self::Status,
            "usage" => Self::Usage,
            "budget" => Self::Budget,
            "stop" => Self::Stop,
            "why" => Self::Why,
            "approvals" => Self::Approvals,
            _ => Self::Unknown(word),
        }
    }
}

fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(char::is_whitespace)
        .map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

/// Who asks, and where.
pub(super) struct Asked<'a> {
    pub(super) user: &'a str,
    channel: &'a str,
    text: &'a str,
    response_url: &'a str,
    trigger: &'a str,
}

impl<'a> Asked<'a> {
    fn of(payload: &'a Value) -> Option<Self> {
        let field = |name: &str| payload[name].as_str().unwrap_or_default();
        let asked = Self {
            user: field("user_id"),
            channel: field("channel_id"),
            text: field("text"),
            response_url: field("response_url"),
            trigger: field("trigger_id"),
        };
        (!asked.user.is_empty() && !asked.channel.is_empty()).then_some(asked)
    }

    fn is_direct(&self) -> bool {
        self.channel.starts_with('D')
    }

    fn place(&self) -> (&'a str, bool) {
        (self.channel, self.is_direct())
    }
}

/// Something to say to who asked.
struct Reply {
    text: String,
    blocks: Option<Value>,
}

impl From<String> for Reply {
    fn from(text: String) -> Self {
        Self { text, blocks: None }
    }
}

/// Deals with a command.
///
/// # Errors
///
/// Why it was not dealt with.
pub(super) async fn deal_with(visit: &Visit<'_>, payload: &Value) -> Result<(), Trouble> {
    let Some(asked) = Asked::of(payload) else {
        let why = "a command does not say of whom and where it is";
        return Err(Trouble::Never(why.to_owned()));
    };
    let person = access::person(visit.slack, asked.user).await?;
    let who = (asked.user, &person);
    let agents = usable(visit, who, asked.place()).await?;
    let reply = if agents.is_empty() {
        let why = refusal(visit, who, asked.place()).await?;
        let agent = &visit.slack.config.agent;
        visit.denied(asked.user, (asked.channel, agent), &why).await;
        why.into()
    } else {
        match reply(visit, &asked, &person, &agents).await? {
            Some(reply) => reply,
            None => return Ok(()),
        }
    };
    say(visit.slack, &asked, &reply).await
}

/// The agents that this person may ask in a channel (by id, and whether it is a
/// direct message).
///
/// # Errors
///
/// Why that cannot be known.
pub(super) async fn usable(
    visit: &Visit<'_>,
    who: (&str, &Person),
    place: (&str, bool),
) -> Result<Vec<AnsweringAgent>, Trouble> {
    let store = &visit.slack.host.store;
    let tenant = &visit.item.tenant_id;
    let all = store.answering_agents(tenant, "", MOST_AGENTS).await?;
    let mut usable = Vec::new();
    for agent in all {
        match access::may(visit, &agent.name, who, place).await {
            Ok(Ok(())) => usable.push(agent),
            Ok(Err(_)) => {}
            // A group that cannot be read keeps people from one agent, not from all.
            Err(Trouble::Never(why)) => info!(why, agent = agent.name, "nobody knows who may"),
            Err(later) => return Err(later),
        }
    }
    Ok(usable)
}

/// Why there is nobody for them.
///
/// # Errors
///
/// Why that cannot be known.
pub(super) async fn refusal(
    visit: &Visit<'_>,
    who: (&str, &Person),
    place: (&str, bool),
) -> Result<String, Trouble> {
    let agent = &visit.slack.config.agent;
    let Err(why) = access::may(visit, agent, who, place).await? else {
        return Ok("There is no agent here yet. The administrator can add one to the host's plugins folder.".to_owned());
    };
    Ok(why)
}

/// None where nothing is left to say.
async fn reply(
    visit: &Visit<'_>,
    asked: &Asked<'_>,
    person: &Person,
    agents: &[AnsweringAgent],
) -> Result<Option<Reply>, Trouble> {
    let text = match Command::of(asked.text) {
        Command::Help => HELP.to_owned(),
        Command::Unknown(word) => {
            format!("There is no `{}` here.\n{HELP}", mrkdwn::escape(word))
        }
        Command::Agents => told::agents(agents),
        Command::Ask { agent, text } => {
            return Ok(ask(visit, asked, person, agents, (&agent, text))
                .await?
                .map(Reply::from));
        }
        Command::Status => told::status(&unfinished(visit, asked.user).await?, now_ms()),
        Command::Usage => told::usage(visit, asked.user).await?,
        Command::Budget => told::budget(visit, asked.user, agents).await?,
        Command::Stop => stop(visit, asked).await?,
        Command::Why => told::why(visit, last(visit, asked.user).await?).await?,
        Command::Approvals => return Ok(Some(approvals(visit, asked.user).await?)),
    };
    Ok(Some(text.into()))
}

/// A person's own turns, newest first: not those of agents that were asked by
/// others, nor what another turn took up.
///
/// # Errors
///
/// If the store fails.
pub(super) async fn turns(
    visit: &Visit<'_>,
    user: &str,
    status: Option<TurnStatus>,
    limit: u32,
) -> Result<Vec<TurnSummary>, Trouble> {
    let filter = TurnFilter {
        user: Some(author_id(user)),
        status,
        limit,
        ..TurnFilter::default()
    };
    let store = &visit.slack.host.store;
    let mut turns = store.turns(&visit.item.tenant_id, &filter).await?;
    turns.retain(|turn| turn.parent.is_none() && turn.steered.is_none());
    Ok(turns)
}

async fn unfinished(visit: &Visit<'_>, user: &str) -> Result<Vec<TurnSummary>, Trouble> {
    let mut unfinished = Vec::new();
    for status in [TurnStatus::Running, TurnStatus::Queued, TurnStatus::Waiting] {
        unfinished.extend(turns(visit, user, Some(status), MOST_TURNS).await?);
    }
    Ok(unfinished)
}

async fn last(visit: &Visit<'_>, user: &str) -> Result<Option<TurnSummary>, Trouble> {
    let turns = turns(visit, user, None, MOST_TURNS).await?;
    Ok(turns.into_iter().find(|turn| turn.channel == CHANNEL))
}

/// Ends what runs for them here.
async fn stop(visit: &Visit<'_>, asked: &Asked<'_>) -> Result<String, Trouble> {
    let here = format!("{CHANNEL}:{}:{}:", visit.install.id, asked.channel);
    let mut stopped = Vec::new();
    for turn in unfinished(visit, asked.user).await? {
        let is_here = turn
            .conversation
            .as_deref()
            .is_some_and(|conversation| conversation.starts_with(&here));
        if asked.is_direct() || is_here {
            let scheduler = &visit.slack.host.scheduler;
            scheduler.cancel(&visit.item.tenant_id, &turn.id).await?;
            info!(
                turn = turn.id,
                user = asked.user,
                "somebody stops a turn from Slack"
            );
            stopped.push(turn.agent);
        }
    }
    Ok(told::stopped(&stopped))
}

/// Asks an agent where everybody sees it; what to say if that does not work.
async fn ask(
    visit: &Visit<'_>,
    asked: &Asked<'_>,
    person: &Person,
    agents: &[AnsweringAgent],
    (agent, text): (&str, &str),
) -> Result<Option<String>, Trouble> {
    if text.is_empty() {
        return Ok(Some(
            "Say whom and what: `/anchorhold ask AGENT TEXT`.".to_owned(),
        ));
    }
    if !agents.iter().any(|known| known.name == agent) {
        let name = mrkdwn::escape(agent);
        return Ok(Some(format!(
            "There is no agent {name} for you here.\n{}",
            told::agents(agents)
        )));
    }
    let ts = match post(visit, asked, (agent, text)).await? {
        Ok(ts) => ts,
        Err(why) => return Ok(Some(why)),
    };
    let message = Message {
        channel: asked.channel.to_owned(),
        channel_type: if asked.is_direct() {
            ChannelType::Im
        } else {
            ChannelType::Channel
        },
        ts: ts.clone(),
        thread_ts: None,
        user: asked.user.to_owned(),
        text: text.to_owned(),
        client_msg_id: None,
        files: Vec::new(),
        bot_id: None,
        mentions_us: true,
        context: None,
    };
    let place = Place {
        install: visit.install.id.clone(),
        channel: asked.channel.to_owned(),
        root: ts,
    };
    let text = mrkdwn::read(text, &visit.install.bot_user);
    visit
        .begin(message, place, agent, text, person.name.clone())
        .await?;
    Ok(None)
}

/// Puts the question into the channel, once; its time, or what to say instead.
async fn post(
    visit: &Visit<'_>,
    asked: &Asked<'_>,
    (agent, text): (&str, &str),
) -> Result<Result<String, String>, Trouble> {
    let (store, tenant) = (&visit.slack.host.store, &visit.item.tenant_id);
    let key = format!("command:{}", asked.trigger);
    let known = store
        .begin_slack_post(tenant, &key, 0, asked.channel)
        .await?;
    match known {
        Some(post) if post.state == SlackPostState::Done => return Ok(Ok(post.ts)),
        // The host stopped while it was posted.
        Some(_) => {
            let why = "Nobody knows whether your question was posted. Look, and ask again if it is not there.";
            return Ok(Err(why.to_owned()));
        }
        None => {}
    }
    let said = format!("<@{}> asks {agent}: {}", asked.user, mrkdwn::escape(text));
    let arguments = json!({
        "channel": asked.channel, "text": said, "unfurl_links": false, "unfurl_media": false,
    });
    match visit.slack.web.call("chat.postMessage", &arguments).await {
        Ok(answer) => {
            let ts = answer["ts"].as_str().unwrap_or_default().to_owned();
            store.slack_posted(tenant, &key, 0, &ts).await?;
            Ok(Ok(ts))
        }
        Err(Refused::Unsure(_)) => Ok(Err(
            "Slack did not say whether your question was posted. Look, and ask again if it is not there.".to_owned(),
        )),
        Err(refused) => {
            store.slack_not_posted(tenant, &key, 0).await?;
            if refused.is("not_in_channel") || refused.is("channel_not_found") {
                return Ok(Err("The app is not in this conversation. `/invite` it, and ask again; or write to it directly.".to_owned()));
            }
            visit.slack.note(&refused).await;
            match refused {
                Refused::Failed { .. } => Ok(Err(format!("Slack does not take the question: {refused}"))),
                refused => Err(Trouble::Later(anyhow!(refused))),
            }
        }
    }
}

/// What waits for this person, with its buttons.
async fn approvals(visit: &Visit<'_>, user: &str) -> Result<Reply, Trouble> {
    let questions = questions(visit, user).await?;
    if questions.is_empty() {
        return Ok("Nothing waits for you.".to_owned().into());
    }
    let blocks = questions
        .iter()
        .flat_map(|(turn, call, question)| question::listed(turn, *call, question));
    Ok(Reply {
        text: "What waits for you:".to_owned(),
        blocks: Some(blocks.collect()),
    })
}

/// The questions that this person may answer, each with its turn and its place
/// there.
///
/// # Errors
///
/// If the store fails.
pub(super) async fn questions(
    visit: &Visit<'_>,
    user: &str,
) -> Result<Vec<(String, i64, Question)>, Trouble> {
    let (store, tenant) = (&visit.slack.host.store, &visit.item.tenant_id);
    let author = author_id(user);
    let mut questions = Vec::new();
    let mut after = String::new();
    loop {
        let page = store.open_questions(tenant, &after, MOST_QUESTIONS).await?;
        let is_last = page.len() < MOST_QUESTIONS as usize;
        if let Some(last) = page.last() {
            last.turn.clone_into(&mut after);
        }
        for wait in page {
            match question_of(&wait) {
                Ok(question) if question.who.contains(&author) => {
                    questions.push((wait.turn, wait.seq, question));
                }
                Ok(_) => {}
                Err(error) => warn!(turn = wait.turn, %error, "a question cannot be read"),
            }
        }
        if is_last || questions.len() >= MOST_SHOWN {
            questions.truncate(MOST_SHOWN);
            return Ok(questions);
        }
    }
}

/// Says something to who asked alone: by the address that Slack gave for it, or
/// where that has expired as a message that others do not see.
async fn say(slack: &Slack, asked: &Asked<'_>, reply: &Reply) -> Result<(), Trouble> {
    let mut body = json!({"text": reply.text});
    if let Some(blocks) = &reply.blocks {
        body["blocks"] = blocks.clone();
    }
    let mut answer = body.clone();
    answer["response_type"] = "ephemeral".into();
    match slack.web.respond(asked.response_url, &answer).await {
        Ok(()) => return Ok(()),
        Err(why) => debug!(%why, "a command is answered by a message"),
    }
    body["channel"] = asked.channel.into();
    body["user"] = asked.user.into();
    match slack.web.call("chat.postEphemeral", &body).await {
        Ok(_) | Err(Refused::Unsure(_)) => Ok(()),
        Err(refused @ Refused::Failed { .. }) => {
            info!(error = %refused, "a command could not be answered");
            Ok(())
        }
        Err(refused) => Err(Trouble::Later(anyhow!(refused))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_words() {
        assert_eq!(Command::of("  "), Command::Help);
        assert_eq!(Command::of("HELP me"), Command::Help);
        assert_eq!(Command::of("why"), Command::Why);
        assert_eq!(Command::of("dance"), Command::Unknown("dance"));
        let ask = |agent: &str, text| Command::Ask {
            agent: agent.to_owned(),
            text,
        };
        assert_eq!(
            Command::of("ask Notes: buy  milk "),
            ask("notes", "buy  milk")
        );
        assert_eq!(Command::of("ask notes"), ask("notes", ""));
        assert_eq!(Command::of("ask"), ask("", ""));
    }

    #[test]
    fn it_must_be_known_who_asks_and_where() {
        let of = |payload: Value| Asked::of(&payload).is_some();
        assert!(of(json!({"user_id": "U1", "channel_id": "C1"})));
        assert!(!of(json!({"user_id": "U1"})) && !of(json!("text")));
    }
}
