//! Files from Slack, beside its methods. The token goes to Slack's own
//! hosts alone, and every address that a redirect names is looked at again.

use std::fmt;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Response, StatusCode, Url};
use secrecy::ExposeSecret;
use serde_json::Value;
use thiserror::Error;

use super::{Refused, Web, unsent};

/// Where Slack keeps files.
const HOSTS: [&str; 3] = ["slack.com", "slack-files.com", "slack-gov.com"];
const DOMAINS: [&str; 3] = [".slack.com", ".slack-edge.com", ".slack-gov.com"];

const MOST_HOPS: usize = 5;

/// For a byte that is uploaded, at 100 kB a second.
const SLOWEST: Duration = Duration::from_micros(10);

/// Why a file is not read, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(in super::super) enum Unread {
    #[error("it is larger than {0}")]
    TooLarge(Bytes),
    #[error("the files of a message may have {0} together")]
    TooMuch(Bytes),
    #[error("of the files of a message only {0} are read")]
    TooMany(usize),
    #[error("it is not in Slack itself")]
    Elsewhere,
    /// Slack asks to log in.
    #[error("Slack does not show it to this app")]
    NotShown,
    #[error("it is not there any more")]
    Gone,
    #[error("Slack did not answer")]
    Unanswered,
}

/// A number of bytes as people say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Bytes(pub(in super::super) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 20 => write!(f, "{} MB", bytes >> 20),
            bytes if bytes >= 1 << 10 => write!(f, "{} kB", bytes >> 10),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}

impl Web {
    /// Reads a file of at most `most` bytes. Where a page comes for what is no
    /// page Slack asked to log in.
    ///
    /// # Errors
    ///
    /// Why it is not read.
    pub(in super::super) async fn download(
        &self,
        url: &str,
        is_page: bool,
        most: u64,
    ) -> Result<Vec<u8>, Unread> {
        let url = Url::parse(url).map_err(|_| Unread::Elsewhere)?;
        let (response, is_moved) = self.reach(url).await?;
        match response.status() {
            status if status.is_success() => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(Unread::Gone),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(Unread::NotShown),
            _ => return Err(Unread::Unanswered),
        }
        if is_html(&response) && (is_moved || !is_page) {
            return Err(Unread::NotShown);
        }
        body(response, most).await
    }

    /// What an address answers, and whether that was another one in the end.
    async fn reach(&self, mut url: Url) -> Result<(Response, bool), Unread> {
        for hop in 0..=MOST_HOPS {
            if !is_slacks(&url, &self.base) {
                return Err(Unread::Elsewhere);
            }
            let request = self.http.get(url.clone()).timeout(self.timeout);
            let request = request.bearer_auth(self.token.expose_secret());
            let response = request.send().await.map_err(|_| Unread::Unanswered)?;
            if !response.status().is_redirection() {
                return Ok((response, hop > 0));
            }
            let to = response.headers().get(LOCATION);
            let to = to.and_then(|to| url.join(to.to_str().ok()?).ok());
            url = to.ok_or(Unread::Unanswered)?;
        }
        Err(Unread::Unanswered)
    }

    /// Brings a file to an address that Slack gave for it. Nobody sees it before
    /// it is said to be complete.
    ///
    /// # Errors
    ///
    /// Why it is not there.
    pub(in super::super) async fn upload(
        &self,
        url: &str,
        content: Vec<u8>,
    ) -> Result<(), Refused> {
        let url = Url::parse(url).ok();
        let Some(url) = url.filter(|url| is_slacks(url, &self.base)) else {
            return Err(Refused::Failed {
                error: "the address for a file is not one of Slack's".to_owned(),
                help: String::new(),
            });
        };
        // The address itself is the permission.
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let timeout = self.timeout + size * SLOWEST;
        let request = self.http.post(url).timeout(timeout);
        let request = request.header(CONTENT_TYPE, "application/octet-stream");
        let sent = request.body(content).send().await;
        match sent.map_err(|error| unsent(&error))?.status() {
            status if status.is_success() => Ok(()),
            status if status.is_client_error() => Err(Refused::Failed {
                error: format!("a file was answered with {status}"),
                help: String::new(),
            }),
            status => Err(Refused::Unreachable(format!(
                "a file was answered with {status}"
            ))),
        }
    }

    /// Answers a command or a click at the address that came with it, which is
    /// good for half an hour and five answers. It takes no token.
    ///
    /// # Errors
    ///
    /// Why it was not answered; it may be answered otherwise.
    pub(in super::super) async fn respond(&self, url: &str, body: &Value) -> Result<(), Refused> {
        let url = Url::parse(url).ok();
        let Some(url) = url.filter(|url| takes_answers(url, &self.base)) else {
            return Err(Refused::Failed {
                error: "the address for an answer is not one of Slack's".to_owned(),
                help: String::new(),
            });
        };
        let request = self.http.post(url).timeout(self.timeout);
        let request = request.header(CONTENT_TYPE, "application/json");
        let sent = request.body(body.to_string()).send().await;
        match sent.map_err(|error| unsent(&error))?.status() {
            status if status.is_success() => Ok(()),
            status => Err(Refused::Failed {
                error: format!("an answer was answered with {status}"),
                help: String::new(),
            }),
        }
    }
}

/// Where answers to commands and clicks may go: nowhere that somebody else names.
fn takes_answers(url: &Url, base: &str) -> bool {
    let host = url.host_str().unwrap_or_default();
    let is_hook = matches!(host, "hooks.slack.com" | "hooks.slack-gov.com");
    let is_plain = url.username().is_empty() && url.password().is_none();
    is_plain && (is_here(url, base) || (is_hook && url.scheme() == "https" && url.port().is_none()))
}

/// Whether it is what stands in for Slack on this machine. The configuration
/// takes http there alone.
fn is_here(url: &Url, base: &str) -> bool {
    let here = Url::parse(base).ok().filter(|base| base.scheme() == "http");
    here.is_some_and(|here| here.origin() == url.origin())
}

/// Whether a token may be sent there: to Slack, or to what stands in for it on
/// this machine.
fn is_slacks(url: &Url, base: &str) -> bool {
    if !url.username().is_empty() || url.password().is_some() {
        return false;
    }
    if is_here(url, base) {
        return true;
    }
    let host = url.host_str().unwrap_or_default();
    let is_named = HOSTS.contains(&host) || DOMAINS.iter().any(|end| host.ends_with(end));
    url.scheme() == "https" && url.port().is_none() && is_named
}

fn is_html(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.trim().to_ascii_lowercase().starts_with("text/html"))
}

/// Reads until the end or until it is too much, whatever its length is said to be.
async fn body(mut response: Response, most: u64) -> Result<Vec<u8>, Unread> {
    let too_large = |bytes: u64| (bytes > most).then_some(Unread::TooLarge(Bytes(most)));
    if let Some(error) = response.content_length().and_then(too_large) {
        return Err(error);
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| Unread::Unanswered)? {
        if let Some(error) = too_large((bytes.len() + chunk.len()) as u64) {
            return Err(error);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_goes_to_slack_alone() {
        let may = |url: &str, base: &str| is_slacks(&Url::parse(url).unwrap(), base);
        let slack = "https://slack.com/api";
        for url in [
            "https://files.slack.com/files-pri/T1-F1/download/a.pdf",
            "https://slack.com/a",
            "https://files.slack-gov.com/files-pri/T1-F1/a.pdf",
            "https://slack-files.com/a",
            "https://a.slack-edge.com/a",
        ] {
            assert!(may(url, slack), "{url}");
        }
        for url in [
            "http://files.slack.com/a",
            "https://files.slack.com:8443/a",
            "https://slack.com.example.org/a",
            "https://notslack.com/a",
            "https://slack-edge.com.example/a",
            "https://user@files.slack.com/a",
            "https://files.slack.com@example.org/a",
            "http://127.0.0.1:8090/a",
        ] {
            assert!(!may(url, slack), "{url}");
        }
        let here = "http://127.0.0.1:8090/api";
        assert!(may("http://127.0.0.1:8090/files-pri/a", here));
        assert!(!may("http://127.0.0.1:8091/files-pri/a", here));
        assert!(!may("http://localhost:8090/files-pri/a", here));
    }

    #[test]
    fn answers_go_to_slacks_hooks_alone() {
        let may = |url: &str, base: &str| takes_answers(&Url::parse(url).unwrap(), base);
        let slack = "https://slack.com/api";
        assert!(may("https://hooks.slack.com/commands/T1/2/3", slack));
        assert!(!may("https://slack.com/a", slack));
        assert!(!may("https://hooks.slack.com.example.org/a", slack));
        assert!(!may("http://hooks.slack.com/a", slack) && !may("http://127.0.0.1:1/a", slack));
        assert!(may("http://127.0.0.1:1/a", "http://127.0.0.1:1/api"));
        assert!(!may("http://127.0.0.1:2/a", "http://127.0.0.1:1/api"));
    }

    #[test]
    fn people_are_told_why() {
        let large = Unread::TooLarge(Bytes(4 << 20));
        assert_eq!(large.to_string(), "it is larger than 4 MB");
        assert_eq!(Bytes(2_048).to_string(), "2 kB");
        assert_eq!(Bytes(7).to_string(), "7 bytes");
    }
}
