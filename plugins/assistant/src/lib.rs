//! The universal agent, which its configuration specialises: a prompt, a model, the memory of the
//! conversation, two tools of its own, the tools that the operator grants, and whatever tools the
//! client brings along.

mod settings;
mod toolbox;

use anchorhold_agent::llm::Request;
use anchorhold_agent::tools::ToolRun;
use anchorhold_agent::{Chat, Message, Reply, Result, config};

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
        let run = toolbox.equip(ToolRun::new(request)).granted();
        Ok(run.steps(settings.max_steps).run()?.into())
    }
}

/// What the model sees at first: prompt, facts, history, and the message.
fn first_request(settings: &Settings, toolbox: &Toolbox, message: &Message) -> Request {
    let request = Request::new(&settings.model)
        .system(settings.prompt.clone() + &instructions(message) + &toolbox.facts_as_prompt())
        .history(message)
        .tools(message.client_tools.iter().cloned())
        .client_tool_results(message);
    if message.text.is_empty() && message.attachments.is_empty() {
        return request;
    }
    request.message(message)
}

/// What the client asks for, behind the prompt that the operator gave.
fn instructions(message: &Message) -> String {
    let instructions = message.instructions();
    instructions.map_or_else(String::new, |text| format!("\n\nThe client asks:\n{text}"))
}

#[cfg(test)]
mod tests;
