//! `anchorhold chat`: talks to an agent, with a host that runs or one of its
//! own.

mod command;
mod local;
mod repl;
mod screen;
mod session;

use std::io::{IsTerminal, Read};

use anyhow::{Context, Result};
use clap::Args;

use super::client::Client;
use super::fault::{Exit, Fault, exit_of};
use super::globals::Setting;
use super::wire::word;
use super::{logging, models, output};
use crate::store::TurnStatus;
use local::Local;
use screen::{Screen, Sight};
use session::{Outcome, Session};

/// What the log of a host in this process says.
const LOG: &str = "error";

/// Talk to an agent
#[derive(Debug, Args)]
pub(super) struct Chat {
    /// The agent
    #[arg(default_value = "assistant")]
    agent: String,
    /// Say this, print the answer and end; without it, text that is piped in is said
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    /// Go on with this conversation
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,
    /// For whom to speak; without it the token's name
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

impl Chat {
    pub(super) async fn run(mut self, setting: &Setting) -> Result<()> {
        let message = self.one_shot()?;
        let (client, local) = connect(setting).await?;
        let result = self
            .run_with(client, message, setting, local.as_ref())
            .await;
        if let Some(local) = local {
            local.stop().await;
        }
        result
    }

    async fn run_with(
        self,
        client: Client,
        message: Option<String>,
        setting: &Setting,
        local: Option<&Local>,
    ) -> Result<()> {
        if let Some(local) = local {
            local.check_agent(&client, &self.agent).await?;
        }
        match message {
            Some(text) => self.say_once(client, &text, setting.globals.json).await,
            None => self.talk(client, setting).await,
        }
    }

    /// What is to be said, if that is known at the start.
    fn one_shot(&mut self) -> Result<Option<String>> {
        if self.message.is_some() || std::io::stdin().is_terminal() {
            return Ok(self.message.take());
        }
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("reading what to say")?;
        Ok(Some(text))
    }

    fn session(self, client: Client) -> Session {
        Session::new(client, self.agent, self.conversation, self.user)
    }

    /// Prints the answer and nothing else.
    async fn say_once(self, client: Client, text: &str, json: bool) -> Result<()> {
        let mut session = self.session(client);
        let sight = if output::is_terminal() && !json {
            Sight::Text
        } else {
            Sight::Nothing
        };
        let mut screen = Screen::new(sight);
        let outcome = session.say(text, &mut screen).await?;
        if json {
            output::json(&outcome.value)?;
        } else if sight == Sight::Nothing {
            print_answer(&outcome);
        }
        outcome.check()
    }

    async fn talk(self, client: Client, setting: &Setting) -> Result<()> {
        greet(&self.agent, client.url());
        if models::are_scripted(&client).await {
            output::line(models::PLUG_IN);
        }
        let history = repl::history_file(&setting.environment);
        repl::run(self.session(client), history).await
    }
}

fn print_answer(outcome: &Outcome) {
    if let Some(text) = &outcome.turn.text {
        output::line(text);
    }
}

fn greet(agent: &str, url: &str) {
    output::line(format!(
        "You talk to {agent} on {url}. /help lists commands, ctrl-c stops an answer, /quit ends."
    ));
}

/// The host that answers; where none was named and none answers, one in this
/// process.
async fn connect(setting: &Setting) -> Result<(Client, Option<Local>)> {
    let client = setting.client()?;
    let error = match client.health("live").await {
        Ok(_) => return Ok((client, None)),
        Err(error) => error,
    };
    if setting.given_url().is_some() || exit_of(&error) != Exit::Unreachable {
        return Err(error);
    }
    logging::init(Some(logging::LogFormat::Text), &setting.environment, LOG)?;
    eprintln!(
        "No host answers on {}; starting one for this chat.",
        client.url()
    );
    let local = Local::start(setting.config()?).await?;
    Ok((local.client()?, Some(local)))
}

impl Outcome {
    /// An error if the turn did not complete.
    fn check(&self) -> Result<()> {
        if self.turn.status == TurnStatus::Completed {
            return Ok(());
        }
        if self.turn.status == TurnStatus::Waiting {
            let turn = &self.turn.turn;
            return Err(
                Fault::new(Exit::TurnFailed, "the agent waits for an answer")
                    .hint(format!("anchorhold turns answer {turn}"))
                    .into(),
            );
        }
        let said = match &self.turn.error {
            Some(error) => format!("{} ({})", output::plain(&error.message), word(error.code)),
            None => format!("the turn is {}", word(self.turn.status)),
        };
        let fault = Fault::new(Exit::TurnFailed, said);
        Err(fault
            .hint(format!("anchorhold turns explain {}", self.turn.turn))
            .into())
    }
}
