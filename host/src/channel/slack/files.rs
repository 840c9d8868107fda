//! The files that come with a message: fetched within limits, and what cannot be
//! read is said in a line for the agent, so that it can say so.

use std::time::Duration;

use serde_json::json;
use tracing::{error, info};

use super::Slack;
use super::event::{self, File, FileAccess};
use super::web::{Bytes, Refused, Unread};
use crate::runtime::bindings::types::{Attachment, MediaSource};

/// Before Slack is asked once more.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];

/// The longest name in a line for the agent.
const MOST_OF_A_NAME: usize = 200;

/// What became of the files of a message.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) attachments: Vec<Attachment>,
    /// A line for each that was not read.
    pub(super) unread: Vec<String>,
}

/// Fetches the files of a message.
pub(super) async fn read(slack: &Slack, files: &[File]) -> Files {
    let most = slack.config.max_files;
    let mut left = slack.config.max_files_bytes;
    let mut read = Files::default();
    for (number, file) in files.iter().enumerate() {
        let content = if number < most {
            fetch(slack, file, left).await
        } else {
            Err(Unread::TooMany(most))
        };
        match content {
            Ok((file, bytes)) => {
                left = left.saturating_sub(bytes.len() as u64);
                read.attachments.push(attachment(&file, bytes));
            }
            Err(why) => {
                tell(file, &why);
                read.unread.push(line(file, &why));
            }
        }
    }
    read
}

/// What is said instead of a file stands below the text.
pub(super) fn with_lines(text: &str, lines: &[String]) -> String {
    let parts = [text.trim_end().to_owned(), lines.join("\n")];
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("\n\n")
}

fn attachment(file: &File, bytes: Vec<u8>) -> Attachment {
    let mime_type = file.mimetype.clone();
    Attachment {
        name: name(file),
        mime_type: mime_type.unwrap_or_else(|| "application/octet-stream".to_owned()),
        source: MediaSource::Inline(bytes),
    }
}

fn name(file: &File) -> String {
    let name = file.name.as_deref().unwrap_or("without a name");
    let name = name.chars().filter(|c| !c.is_control());
    name.take(MOST_OF_A_NAME).collect()
}

fn line(file: &File, why: &Unread) -> String {
    format!("[file {} could not be read: {why}]", name(file))
}

/// What the operator can do about it.
fn tell(file: &File, why: &Unread) {
    metrics::counter!("anchorhold_slack_unread_files_total").increment(1);
    let id = &file.id;
    if *why == Unread::NotShown {
        error!(
            file = id,
            "Slack does not show a file to this app, which needs the scope files:read: add it on its page OAuth & Permissions, and install it again"
        );
    } else {
        info!(file = id, %why, "a file from Slack is not read");
    }
}

/// Fetches one file of which `left` bytes are left to its message.
async fn fetch(slack: &Slack, file: &File, left: u64) -> Result<(File, Vec<u8>), Unread> {
    let file = match file.access {
        FileAccess::Open => file.clone(),
        FileAccess::Gone => return Err(Unread::Gone),
        FileAccess::AskFirst => look_up(slack, &file.id).await?,
    };
    let most = slack.config.max_file_bytes;
    let too_large = if most <= left {
        Unread::TooLarge(Bytes(most))
    } else {
        Unread::TooMuch(Bytes(slack.config.max_files_bytes))
    };
    let most = most.min(left);
    if file.size.is_some_and(|size| size > most) {
        return Err(too_large);
    }
    let url = file.url.as_deref().ok_or(Unread::Gone)?;
    let kind = file.mimetype.as_deref().unwrap_or_default();
    let is_page = kind.contains("html");
    let mut read = slack.web.download(url, is_page, most).await;
    for pause in PAUSES {
        if read != Err(Unread::Unanswered) {
            break;
        }
        tokio::time::sleep(pause).await;
        read = slack.web.download(url, is_page, most).await;
    }
    match read {
        Err(Unread::TooLarge(_)) => Err(too_large),
        read => Ok((file, read?)),
    }
}

/// Files of other workspaces are shown by their id alone.
async fn look_up(slack: &Slack, id: &str) -> Result<File, Unread> {
    let found = slack.web.call("files.info", &json!({"file": id})).await;
    let answer = found.map_err(|refused| match refused {
        refused if refused.is("missing_scope") => Unread::NotShown,
        Refused::Failed { .. } => Unread::Gone,
        _ => Unread::Unanswered,
    })?;
    let file = event::file(&answer["file"]);
    match file.access {
        FileAccess::Open => Ok(file),
        FileAccess::AskFirst | FileAccess::Gone => Err(Unread::Gone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> File {
        File {
            id: "F1".to_owned(),
            name: Some(name.to_owned()),
            mimetype: None,
            size: None,
            url: None,
            access: FileAccess::Open,
        }
    }

    #[test]
    fn what_is_not_read_is_a_line_below() {
        let why = Unread::TooLarge(Bytes(10 << 20));
        let line = line(&file("re\nport.pdf"), &why);
        assert_eq!(
            line,
            "[file report.pdf could not be read: it is larger than 10 MB]"
        );
        let lines = [line.clone()];
        assert_eq!(with_lines("look", &lines), format!("look\n\n{line}"));
        assert_eq!(with_lines("", &lines), line);
        assert_eq!(with_lines("look", &[]), "look");
    }

    #[test]
    fn a_file_without_a_type_is_bytes() {
        let attachment = attachment(&file("a"), vec![1]);
        assert_eq!(attachment.mime_type, "application/octet-stream");
    }
}
