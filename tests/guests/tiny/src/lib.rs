//! A guest that makes one host call and answers, so that what a turn costs is the host's share.

use anchorhold_agent::{Chat, Message, Reply, Result, config};

anchorhold_agent::manifest!("tiny.toml");
anchorhold_agent::export!(Tiny: Chat);

struct Tiny;

impl Chat for Tiny {
    fn respond(message: Message) -> Result<Reply> {
        let greeting: String = config::get_or("greeting", String::new())?;
        Ok(format!("{greeting}: {}", message.text).into())
    }
}

#[cfg(test)]
mod tests {
    use anchorhold_agent::Chat;
    use anchorhold_agent::testing::{self, Host};

    #[test]
    fn greets_as_it_is_configured() {
        let _host = Host::new().config("greeting", "Hello");
        let reply = super::Tiny::respond(testing::message("there")).unwrap();
        assert_eq!(reply.text, "Hello: there");
    }
}
