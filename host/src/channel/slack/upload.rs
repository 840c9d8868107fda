//! Files of an answer, into its thread once: given to Slack first, where nobody
//! sees them, then shown together (docs.slack.dev/messaging/working-with-files).

use serde_json::{Value, json};
use tracing::error;

use super::Slack;
use super::answer::File;
use super::courier::{Target, later, never, undelivered, wait_until_sure};
use super::web::Refused;
use crate::outbox::Undelivered;
use crate::store::{Outgoing, SlackPostState};

/// Where files stand among the parts of an answer.
const PART: i64 = 2_000_000;

/// The files of an answer on their way.
pub(super) struct Upload<'a> {
    pub(super) slack: &'a Slack,
    pub(super) outgoing: &'a Outgoing,
    pub(super) target: &'a Target,
}

/// Files that Slack has.
pub(super) enum Given {
    /// Their ids; they may be shown already, if nobody knows.
    Ids { ids: Vec<String>, is_unsure: bool },
    /// They are shown, or there are none.
    Nothing,
    /// Slack does not take them.
    Refused,
}

impl Upload<'_> {
    /// Gives files to Slack, unless it has them.
    ///
    /// # Errors
    ///
    /// Why that may work later.
    pub(super) async fn give(&self, files: &[File]) -> Result<Given, Undelivered> {
        if files.is_empty() {
            return Ok(Given::Nothing);
        }
        let store = &self.slack.host.store;
        let (tenant, turn) = (&self.outgoing.tenant_id, &self.outgoing.turn);
        let known = store.begin_slack_post(tenant, turn, PART, &self.target.channel);
        match known.await.map_err(failed)? {
            Some(post) if post.state == SlackPostState::Done => return Ok(Given::Nothing),
            Some(post) if post.state == SlackPostState::Growing => {
                let ids = post.ts.split(',').map(str::to_owned).collect();
                wait_until_sure(self.slack, post.begun_at)?;
                return Ok(Given::Ids {
                    ids,
                    is_unsure: true,
                });
            }
            Some(_) | None => {}
        }
        let mut ids = Vec::new();
        for file in files {
            match self.bring(file).await {
                Ok(id) => ids.push(id),
                Err(why @ Refused::Failed { .. }) => {
                    error!(error = %why, turn, "Slack does not take the files of an answer; `anchorhold slack doctor` says whether the app may write files");
                    self.forget().await?;
                    return Ok(Given::Refused);
                }
                Err(why) => {
                    self.forget().await?;
                    return Err(undelivered(self.slack, why).await);
                }
            }
        }
        let names = ids.join(",");
        let given = store.slack_grows(tenant, turn, PART, &names);
        given.await.map_err(failed)?;
        Ok(Given::Ids {
            ids,
            is_unsure: false,
        })
    }

    /// Nothing was shown: it may be begun again.
    async fn forget(&self) -> Result<(), Undelivered> {
        let Outgoing {
            tenant_id, turn, ..
        } = self.outgoing;
        let store = &self.slack.host.store;
        let forgotten = store.slack_not_posted(tenant_id, turn, PART);
        forgotten.await.map_err(failed)
    }

    async fn bring(&self, file: &File) -> Result<String, Refused> {
        let web = &self.slack.web;
        let arguments = json!({"filename": file.name, "length": file.bytes.len()});
        let place = web.call("files.getUploadURLExternal", &arguments).await?;
        let url = place["upload_url"].as_str().unwrap_or_default();
        web.upload(url, file.bytes.clone()).await?;
        Ok(place["file_id"].as_str().unwrap_or_default().to_owned())
    }

    /// Shows files in the thread.
    ///
    /// # Errors
    ///
    /// Why they are not shown, and whether they may be later.
    pub(super) async fn show(&self, given: Given) -> Result<(), Undelivered> {
        let Given::Ids { ids, is_unsure } = given else {
            return Ok(());
        };
        if is_unsure && self.is_shown(&ids).await? {
            return self.shown(&ids).await;
        }
        let files: Vec<_> = ids.iter().map(|id| json!({"id": id})).collect();
        let arguments = json!({
            "files": files, "channel_id": self.target.channel, "thread_ts": self.target.thread_ts,
        });
        let method = "files.completeUploadExternal";
        match self.slack.web.call(method, &arguments).await {
            Ok(_) => self.shown(&ids).await,
            Err(why) => Err(undelivered(self.slack, why).await),
        }
    }

    /// Whether files are in the channel: asked where nobody knows.
    async fn is_shown(&self, ids: &[String]) -> Result<bool, Undelivered> {
        let arguments = json!({"file": ids.first()});
        match self.slack.web.call("files.info", &arguments).await {
            Ok(answer) => Ok(is_in(&answer["file"], &self.target.channel)),
            Err(why @ Refused::Failed { .. }) => Err(never(format!(
                "its files may have been shown, and Slack does not say ({why}); look there, and try it again if they are not"
            ))),
            Err(why) => Err(undelivered(self.slack, why).await),
        }
    }

    async fn shown(&self, ids: &[String]) -> Result<(), Undelivered> {
        let Outgoing {
            tenant_id, turn, ..
        } = self.outgoing;
        let store = &self.slack.host.store;
        let names = ids.join(",");
        let shown = store.slack_posted(tenant_id, turn, PART, &names);
        shown.await.map_err(failed)
    }
}

/// Whether a file is shown in a channel.
fn is_in(file: &Value, channel: &str) -> bool {
    let lists = ["channels", "groups", "ims"].map(|name| file[name].as_array());
    let mut listed = lists.into_iter().flatten().flatten();
    let shares = ["public", "private"].map(|name| file["shares"][name].get(channel));
    listed.any(|one| one == channel) || shares.into_iter().any(|share| share.is_some())
}

fn failed(error: anyhow::Error) -> Undelivered {
    later(format!("{error:#}"), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slack_says_where_a_file_is_shown() {
        assert!(is_in(&json!({"channels": ["C1"]}), "C1"));
        assert!(is_in(&json!({"ims": ["D1"], "channels": []}), "D1"));
        assert!(is_in(&json!({"shares": {"private": {"G1": []}}}), "G1"));
        assert!(!is_in(&json!({"channels": ["C2"], "shares": {}}), "C1"));
        assert!(!is_in(&Value::Null, "C1"));
    }
}
