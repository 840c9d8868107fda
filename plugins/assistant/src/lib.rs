//! The universal agent, which its configuration specialises: a prompt, a model, the memory of the
//! conversation, two tools of its own, and whatever tools the client brings along.

mod pending;
mod settings;
mod toolbox;

use anchorhold_agent::llm::{PromptMessage, Request, Response, ToolChoice};
use anchorhold_agent::reply;
use anchorhold_agent::{Chat, Message, Reply, Result, ToolCall, config};

use settings::Settings;
use toolbox::Toolbox;

anchorhold_agent::manifest!("assistant.toml");
anchorhold_agent::export!(Assistant: Chat);

struct Assistant;

impl Chat for Assistant {
    fn respond(mut message: Message) -> Result<Reply> {
        let settings: Settings = config::get_all()?;
        let too_many = message.history.len().saturating_sub(settings.history);
        message.history.drain(..too_many);
        let toolbox = Toolbox::open(&settings.tools);
        let request = first_request(&settings, &toolbox, &message);
        converse(request, &toolbox, settings.max_steps)
    }
}

/// What the model sees at first: prompt, facts, history, and the message.
fn first_request(settings: &Settings, toolbox: &Toolbox, message: &Message) -> Request {
    let mut request = Request::new(&settings.model)
        .system(settings.prompt.clone() + &toolbox.facts_as_prompt())
        .history(message)
        .tools(toolbox.definitions())
        .tools(message.client_tools.iter().cloned());
    request.messages.extend(pending::resume(message));
    if message.text.is_empty() && message.attachments.is_empty() {
        return request;
    }
    request.message(message)
}

/// Asks the model until it answers without calling tools, at most `max_steps` times.
fn converse(mut request: Request, toolbox: &Toolbox, max_steps: u32) -> Result<Reply> {
    let mut text = String::new();
    for step in 1.. {
        if step >= max_steps && !request.tools.is_empty() {
            request.tool_choice = ToolChoice::Never;
        }
        let response = request.forward()?;
        text.push_str(&response.text());
        if response.tool_calls().is_empty() || step >= max_steps {
            break;
        }
        match call_tools(response, toolbox)? {
            Next::Ask(messages) => request.messages.extend(messages),
            Next::Wait(tool_calls) => {
                return Ok(Reply {
                    tool_calls,
                    ..Reply::new(text)
                });
            }
        }
        separate(&mut text)?;
    }
    Ok(text.into())
}

/// What comes after the model called tools.
enum Next {
    /// Its own tools have answered: the model goes on.
    Ask([PromptMessage; 2]),
    /// The client has to answer: the turn ends.
    Wait(Vec<ToolCall>),
}

fn call_tools(response: Response, toolbox: &Toolbox) -> Result<Next> {
    let (own, of_client): (Vec<_>, Vec<_>) = response
        .tool_calls()
        .into_iter()
        .partition(|call| toolbox.has(&call.name));
    let answers: Vec<_> = own.iter().map(|call| toolbox.call(call)).collect();
    if of_client.is_empty() {
        let results = PromptMessage::tool_results(answers);
        return Ok(Next::Ask([response.into_message(), results]));
    }
    pending::suspend(&response, &answers);
    Ok(Next::Wait(of_client))
}

/// Keeps what was said before a tool call apart from what is said after it.
fn separate(text: &mut String) -> Result<()> {
    if text.is_empty() || text.ends_with("\n\n") {
        return Ok(());
    }
    text.push_str("\n\n");
    reply::send_text("\n\n")
}

#[cfg(test)]
mod tests;
