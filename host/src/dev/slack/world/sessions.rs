//! Agent sessions: what Slack shows of an agent's work in a thread, and its Stop.

use serde::Serialize;
use serde_json::json;

use super::streams::StreamState;
use super::{Result, World};

pub(in crate::dev::slack) const SESSION_STATUSES: [&str; 4] =
    ["processing", "active", "suspended", "closed"];

#[derive(Debug, Clone, Serialize)]
pub(in crate::dev::slack) struct Session {
    pub(in crate::dev::slack) channel: String,
    pub(in crate::dev::slack) thread_ts: String,
    pub(in crate::dev::slack) status: String,
    pub(in crate::dev::slack) title: Option<String>,
    pub(in crate::dev::slack) initiator: Option<String>,
    /// Every status that it had, in order.
    pub(in crate::dev::slack) history: Vec<String>,
}

impl World {
    pub(in crate::dev::slack) fn session_mut(
        &mut self,
        channel: &str,
        thread: &str,
    ) -> Option<&mut Session> {
        let mut all = self.sessions.iter_mut();
        all.find(|it| it.channel == channel && it.thread_ts == thread)
    }

    /// Sets the status of a session, which is made if need be; answers whether it was.
    pub(in crate::dev::slack) fn set_session(
        &mut self,
        channel: &str,
        thread: &str,
        status: &str,
    ) -> bool {
        let is_new = self.session_mut(channel, thread).is_none();
        if is_new {
            self.sessions.push(Session {
                channel: channel.to_owned(),
                thread_ts: thread.to_owned(),
                status: String::new(),
                title: None,
                initiator: None,
                history: Vec::new(),
            });
        }
        if let Some(session) = self.session_mut(channel, thread) {
            status.clone_into(&mut session.status);
            session.history.push(status.to_owned());
        }
        self.show_session(channel, thread);
        is_new
    }

    /// What `assistant.threads.setStatus` said ends when the app says something.
    pub(super) fn end_status(&mut self, channel: &str, thread: &str) {
        if self
            .statuses
            .remove(&format!("{channel} {thread}"))
            .is_some()
        {
            let shown = json!({"channel": channel, "thread_ts": thread, "status": null});
            self.changed("status", shown);
        }
    }

    pub(in crate::dev::slack) fn show_session(&mut self, channel: &str, thread: &str) {
        let shown = json!(self.session_mut(channel, thread));
        self.changed("session", shown);
    }

    /// A person presses Stop: Slack ends the streams and tells the app; the status stays.
    pub(in crate::dev::slack) fn press_stop(
        &mut self,
        user: &str,
        channel: &str,
        thread: &str,
    ) -> Result<()> {
        self.user(user)?;
        let streams: Vec<String> = self
            .messages
            .iter()
            .filter(|it| it.channel == channel)
            .filter(|it| it.ts == thread || it.thread_ts.as_deref() == Some(thread))
            .filter(|it| {
                it.stream
                    .as_ref()
                    .is_some_and(|it| it.state == StreamState::Open)
            })
            .map(|it| it.ts.clone())
            .collect();
        for ts in &streams {
            self.break_stream(channel, ts, StreamState::StoppedByUser)?;
        }
        let event_ts = self.ts();
        let event = json!({
            "type": "agent_session_stopped", "channel": channel, "thread_ts": thread, "user": user,
            "streaming_message_ts": streams, "event_ts": event_ts,
        });
        self.emit(Some(channel), event);
        Ok(())
    }
}
