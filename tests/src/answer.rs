//! What the host answered.

use serde_json::Value;

/// A response: status and body.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

impl Answer {
    /// Reads a response whole; a body that is not JSON becomes a JSON string.
    pub async fn read(response: reqwest::Response) -> Self {
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| {
                (
                    name.to_string(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect();
        let bytes = response.bytes().await.expect("a body");
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Self {
            status,
            headers,
            body,
        }
    }

    /// The text of the answer to a message that succeeded.
    ///
    /// # Panics
    ///
    /// If it did not succeed.
    pub fn text(&self) -> &str {
        assert_eq!(self.status, 200, "{:#}", self.body);
        self.body["text"]
            .as_str()
            .unwrap_or_else(|| panic!("no text: {:#}", self.body))
    }

    /// The text of the answer as JSON.
    ///
    /// # Panics
    ///
    /// If it is none.
    pub fn json_text(&self) -> Value {
        serde_json::from_str(self.text()).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The code of a problem.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("")
    }

    /// The sentence of a problem.
    pub fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or("")
    }

    /// The turn's id.
    pub fn turn(&self) -> String {
        self.body["turn"].as_str().unwrap_or("").to_owned()
    }

    /// A header of the response.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A server-sent event.
#[derive(Debug, Clone, PartialEq)]
pub struct SseEvent {
    pub id: String,
    pub event: String,
    pub data: Value,
}

impl SseEvent {
    /// The events of a whole stream.
    pub fn parse_all(text: &str) -> Vec<Self> {
        text.split("\n\n").filter_map(Self::parse).collect()
    }

    fn parse(block: &str) -> Option<Self> {
        let field = |name: &str| {
            let lines: Vec<&str> = block
                .lines()
                .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim_start)
                .collect();
            (!lines.is_empty()).then(|| lines.join("\n"))
        };
        Some(Self {
            id: field("id").unwrap_or_default(),
            event: field("event")?,
            data: serde_json::from_str(&field("data")?).ok()?,
        })
    }
}
