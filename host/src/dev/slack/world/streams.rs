//! Messages that grow while they are made.

use serde::Serialize;
use serde_json::{Value, json};

use super::blocks::{check_blocks, name_blocks};
use super::interactions::micros;
use super::messages::{Draft, MAX_MARKDOWN, own};
use super::{Kind, Result, World, merge};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::dev::slack) enum Mode {
    Chunks,
    Markdown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::dev::slack) enum StreamState {
    Open,
    Stopped,
    /// Slack ended it: it was too old, or fed in another way than it began.
    Broken,
    /// A person ended it.
    StoppedByUser,
}

/// What makes a message a stream.
#[derive(Debug, Clone, Serialize)]
pub(in crate::dev::slack) struct Stream {
    /// Fixed by the first that is sent.
    pub(in crate::dev::slack) mode: Option<Mode>,
    pub(in crate::dev::slack) state: StreamState,
    pub(in crate::dev::slack) text: String,
    /// Every chunk, as it came.
    pub(in crate::dev::slack) chunks: Vec<Value>,
    /// The latest of each task.
    pub(in crate::dev::slack) tasks: Vec<Value>,
    pub(in crate::dev::slack) plan: Option<String>,
    pub(in crate::dev::slack) blocks: Vec<Value>,
    pub(in crate::dev::slack) task_display_mode: String,
    pub(in crate::dev::slack) recipient_user_id: Option<String>,
    started: i64,
}

/// What is put into a stream.
#[derive(Debug, Default)]
pub(in crate::dev::slack) struct Piece {
    pub(in crate::dev::slack) markdown: Option<String>,
    pub(in crate::dev::slack) chunks: Option<Value>,
}

/// How a stream begins.
#[derive(Debug, Default)]
pub(in crate::dev::slack) struct Start {
    pub(in crate::dev::slack) channel: String,
    pub(in crate::dev::slack) thread_ts: Option<String>,
    pub(in crate::dev::slack) body: Value,
    pub(in crate::dev::slack) task_display_mode: Option<String>,
    pub(in crate::dev::slack) recipient_user_id: Option<String>,
    pub(in crate::dev::slack) recipient_team_id: Option<String>,
}

impl Stream {
    pub(in crate::dev::slack) fn is_open(&self) -> bool {
        self.state == StreamState::Open
    }

    /// What it makes of its message.
    pub(super) fn shown(&self) -> Value {
        let mut blocks = Vec::new();
        if self.plan.is_some() || self.task_display_mode == "plan" && !self.tasks.is_empty() {
            let title = self.plan.clone().unwrap_or_default();
            blocks.push(json!({"type": "plan", "title": title, "tasks": self.tasks}));
        } else {
            blocks.extend(self.tasks.iter().cloned());
        }
        if !self.text.is_empty() {
            blocks.push(json!({"type": "markdown", "text": self.text}));
        }
        blocks.extend(self.blocks.iter().cloned());
        let mut blocks = json!(blocks);
        name_blocks(&mut blocks);
        json!({"text": self.text, "blocks": blocks})
    }

    fn take(&mut self, chunk: &Value) -> Result<()> {
        let text = |key: &str| chunk[key].as_str().unwrap_or_default().to_owned();
        match chunk["type"].as_str() {
            Some("markdown_text") => self.text.push_str(&text("text")),
            Some("plan_update") => self.plan = Some(text("title")),
            Some("blocks") => {
                check_blocks(&chunk["blocks"], 50)?;
                let blocks = chunk["blocks"].as_array().cloned();
                self.blocks.extend(blocks.unwrap_or_default());
            }
            Some("task_update") => self.take_task(chunk)?,
            _ => return Err("invalid_chunks".into()),
        }
        self.chunks.push(chunk.clone());
        Ok(())
    }

    fn take_task(&mut self, chunk: &Value) -> Result<()> {
        let id = chunk["id"].as_str().filter(|id| !id.is_empty());
        let id = id.ok_or("invalid_chunks")?;
        let title = chunk["title"].as_str().unwrap_or_default();
        let statuses = ["pending", "in_progress", "complete", "error"];
        let status = chunk["status"].as_str().unwrap_or("pending");
        if title.chars().count() > 256 || !statuses.contains(&status) {
            return Err("invalid_chunks".into());
        }
        let index = self.tasks.iter().position(|task| task["task_id"] == id);
        let mut task = index.map_or(json!({"type": "task_card", "task_id": id}), |index| {
            self.tasks[index].clone()
        });
        for (key, value) in chunk.as_object().into_iter().flatten() {
            match (key.as_str(), value.as_str()) {
                ("type" | "id", _) => {}
                // What is said of a task is put behind what was said.
                ("details" | "output", Some(more)) => {
                    let before = task[key].as_str().unwrap_or_default();
                    task[key] = json!(format!("{before}{more}"));
                }
                _ => task[key] = value.clone(),
            }
        }
        match index {
            Some(index) => self.tasks[index] = task,
            None => self.tasks.push(task),
        }
        Ok(())
    }
}

impl World {
    /// Begins a stream; answers its message's name.
    pub(in crate::dev::slack) fn start_stream(
        &mut self,
        start: Start,
        piece: &Piece,
    ) -> Result<String> {
        let channel = self.channel(&start.channel)?;
        let is_channel = matches!(channel.kind, Kind::Public | Kind::Private);
        if start.thread_ts.is_none() && !is_channel {
            return Err("invalid_thread_ts".into());
        }
        let has_recipient = start.recipient_user_id.is_some() && start.recipient_team_id.is_some();
        if is_channel && !has_recipient {
            let missing = match start.recipient_user_id {
                None => "missing_recipient_user_id",
                Some(_) => "missing_recipient_team_id",
            };
            return Err(missing.into());
        }
        let mut stream = Stream {
            mode: None,
            state: StreamState::Open,
            text: String::new(),
            chunks: Vec::new(),
            tasks: Vec::new(),
            plan: None,
            blocks: Vec::new(),
            task_display_mode: start
                .task_display_mode
                .unwrap_or_else(|| "timeline".to_owned()),
            recipient_user_id: start.recipient_user_id,
            started: self.now,
        };
        feed(&mut stream, piece)?;
        let mut body = own();
        merge(&mut body, &start.body);
        let (channel, thread) = (start.channel, start.thread_ts);
        let ts = self.post(Draft {
            channel: channel.clone(),
            thread_ts: thread.clone(),
            body,
            ..Draft::default()
        })?;
        self.message_mut(&channel, &ts)?.stream = Some(stream);
        self.show_message(&channel, &ts);
        self.tell_of_message(&channel, &ts);
        let root = thread.unwrap_or_else(|| ts.clone());
        self.set_session(&channel, &root, "processing");
        Ok(ts)
    }

    /// Goes on with a stream.
    pub(in crate::dev::slack) fn append_stream(
        &mut self,
        channel: &str,
        ts: &str,
        piece: &Piece,
    ) -> Result<()> {
        self.feed_stream(channel, ts, piece)?;
        self.show_message(channel, ts);
        Ok(())
    }

    /// Ends a stream.
    pub(in crate::dev::slack) fn stop_stream(
        &mut self,
        channel: &str,
        ts: &str,
        piece: &Piece,
        blocks: Option<Value>,
        metadata: Option<Value>,
    ) -> Result<()> {
        if let Some(blocks) = &blocks {
            check_blocks(blocks, 50)?;
        }
        let before = self.message(channel, ts)?.shown();
        self.feed_stream(channel, ts, piece)?;
        let message = self.message_mut(channel, ts)?;
        message.metadata = metadata.or(message.metadata.take());
        if let Some(stream) = &mut message.stream {
            stream.state = StreamState::Stopped;
            let blocks = blocks.as_ref().and_then(Value::as_array).cloned();
            stream.blocks.extend(blocks.unwrap_or_default());
        }
        self.settle(channel, ts);
        let after = self.message(channel, ts)?.shown();
        self.show_message(channel, ts);
        self.tell_of_change(channel, &after, &before);
        Ok(())
    }

    /// Ends a stream without the app's doing.
    pub(in crate::dev::slack) fn break_stream(
        &mut self,
        channel: &str,
        ts: &str,
        state: StreamState,
    ) -> Result<()> {
        if let Some(stream) = &mut self.message_mut(channel, ts)?.stream {
            stream.state = state;
        }
        self.settle(channel, ts);
        self.show_message(channel, ts);
        Ok(())
    }

    /// Says what time it is. Streams that are too old end, whatever is still sent to them.
    pub(in crate::dev::slack) fn tick(&mut self, now: i64) {
        self.now = now;
        let oldest = now.saturating_sub(micros(self.settings.stream_lifetime_ms));
        let is_old = |it: &&Stream| it.is_open() && it.started <= oldest;
        let old = self
            .messages
            .iter()
            .filter(|it| it.stream.as_ref().filter(is_old).is_some());
        let old: Vec<_> = old.map(|it| (it.channel.clone(), it.ts.clone())).collect();
        for (channel, ts) in old {
            // It was there a moment ago.
            let _ = self.break_stream(&channel, &ts, StreamState::Broken);
        }
    }

    /// Writes what was streamed into the message itself, where it may be changed.
    fn settle(&mut self, channel: &str, ts: &str) {
        if let Ok(message) = self.message_mut(channel, ts) {
            let shown = message.stream.as_ref().map(Stream::shown);
            merge(&mut message.body, &shown.unwrap_or_default());
        }
    }

    fn feed_stream(&mut self, channel: &str, ts: &str, piece: &Piece) -> Result<()> {
        let message = self.message(channel, ts)?;
        if !message.is_ours() {
            return Err("message_not_owned_by_app".into());
        }
        let stream = self.message_mut(channel, ts)?.stream.as_mut();
        let stream = stream.filter(|stream| stream.is_open());
        let stream = stream.ok_or("message_not_in_streaming_state")?;
        let fed = feed(stream, piece);
        if fed
            .as_ref()
            .is_err_and(|it| it.error == "streaming_mode_mismatch")
        {
            self.break_stream(channel, ts, StreamState::Broken)?;
        }
        fed
    }
}

fn feed(stream: &mut Stream, piece: &Piece) -> Result<()> {
    let mode = match (&piece.markdown, &piece.chunks) {
        (Some(_), Some(_)) => return Err("streaming_mode_mismatch".into()),
        (Some(_), None) => Mode::Markdown,
        (None, Some(_)) => Mode::Chunks,
        (None, None) => return Ok(()),
    };
    if *stream.mode.get_or_insert(mode) != mode {
        return Err("streaming_mode_mismatch".into());
    }
    if let Some(text) = &piece.markdown {
        if text.chars().count() > MAX_MARKDOWN {
            return Err("msg_too_long".into());
        }
        stream.text.push_str(text);
    }
    let chunks = piece
        .chunks
        .as_ref()
        .map(|chunks| chunks.as_array().ok_or("invalid_chunks"));
    for chunk in chunks.transpose()?.into_iter().flatten() {
        stream.take(chunk)?;
    }
    Ok(())
}
