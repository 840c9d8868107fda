//! The API as tests speak it.

use serde_json::{Value, json};

use crate::answer::{Answer, SseEvent};
use crate::process::TestHost;

impl TestHost {
    /// Says something to an agent, in a conversation of its own.
    pub async fn ask(&self, agent: &str, text: &str) -> Answer {
        self.post(
            &format!("/api/v1/agents/{agent}/messages"),
            &json!({ "text": text }),
        )
        .await
    }

    /// Says something in a conversation.
    pub async fn ask_in(&self, conversation: &str, agent: &str, text: &str) -> Answer {
        let body = json!({ "text": text, "conversation": conversation });
        self.post(&format!("/api/v1/agents/{agent}/messages"), &body)
            .await
    }

    /// Says something and does not wait for the answer.
    pub async fn ask_async(&self, agent: &str, text: &str) -> Answer {
        let request = self.request("POST", &format!("/api/v1/agents/{agent}/messages"));
        let request = request
            .header("prefer", "respond-async")
            .json(&json!({ "text": text }));
        Answer::read(request.send().await.expect("an answer")).await
    }

    /// Says something and answers the events of the whole turn.
    pub async fn ask_streaming(&self, agent: &str, text: &str) -> Vec<SseEvent> {
        let request = self.request("POST", &format!("/api/v1/agents/{agent}/messages"));
        let request = request
            .header("accept", "text/event-stream")
            .json(&json!({ "text": text }));
        let response = request.send().await.expect("an answer");
        SseEvent::parse_all(&response.text().await.expect("a stream"))
    }

    /// The turn when it has ended.
    pub async fn ended(&self, turn: &str) -> Value {
        self.wait_for(&format!("the end of turn {turn}"), async || {
            let found = self.get(&format!("/api/v1/turns/{turn}")).await.body;
            matches!(
                found["status"].as_str(),
                Some("completed" | "failed" | "cancelled")
            )
            .then_some(found)
        })
        .await
    }

    /// The journal of a turn.
    pub async fn journal(&self, turn: &str) -> Vec<Value> {
        let body = self
            .get(&format!("/api/v1/turns/{turn}/journal"))
            .await
            .body;
        body["items"].as_array().expect("items").clone()
    }

    /// Runs a turn again from its journal.
    pub async fn replay(&self, turn: &str) -> Answer {
        self.post(&format!("/api/v1/turns/{turn}/replay"), &json!({}))
            .await
    }

    /// A request that the administrator makes.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.client.request(
            method.parse().expect("a method"),
            format!("{}{path}", self.url),
        )
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        Answer::read(self.request("GET", path).send().await.expect("an answer")).await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::read(
            self.request("POST", path)
                .json(body)
                .send()
                .await
                .expect("an answer"),
        )
        .await
    }

    /// PUT of JSON.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        Answer::read(
            self.request("PUT", path)
                .json(body)
                .send()
                .await
                .expect("an answer"),
        )
        .await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        Answer::read(
            self.request("DELETE", path)
                .send()
                .await
                .expect("an answer"),
        )
        .await
    }

    /// Uploads a component.
    pub async fn upload(&self, bytes: Vec<u8>) -> Answer {
        let request = self
            .request("POST", "/api/v1/components")
            .header("content-type", "application/wasm")
            .body(bytes);
        Answer::read(request.send().await.expect("an answer")).await
    }
}
