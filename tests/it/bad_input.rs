//! Bad input gets a clear error and loses nothing.

use anchorhold_tests::{Answer, TestHost};
use serde_json::json;

async fn send(host: &TestHost, body: impl Into<reqwest::Body>) -> Answer {
    let request = host
        .request("POST", "/api/v1/agents/probe/messages")
        .header("content-type", "application/json")
        .body(body);
    Answer::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn messages_that_cannot_be() {
    let host = TestHost::new().plugin("probe").start().await;
    let malformed = send(&host, "{not json").await;
    assert_eq!(
        (malformed.status, malformed.code()),
        (400, "invalid-request")
    );
    assert_eq!(
        malformed.header("content-type"),
        Some("application/problem+json")
    );
    let invalid_utf8 = send(&host, b"{\"text\":\"\xff\xfe\"}".to_vec()).await;
    assert_eq!(
        (invalid_utf8.status, invalid_utf8.code()),
        (400, "invalid-request")
    );
    let unknown_key = send(&host, "{\"text\":\"a\",\"txet\":\"b\"}").await;
    assert!(
        unknown_key.status == 400 || unknown_key.status == 422,
        "{:#}",
        unknown_key.body
    );
    assert!(
        unknown_key.detail().contains("txet"),
        "{:#}",
        unknown_key.body
    );
    assert_eq!(
        send(&host, "{\"text\":\" \"}").await.code(),
        "invalid-request"
    );
    let long = host.ask("probe", &"x".repeat(300_000)).await;
    assert_eq!((long.status, long.code()), (413, "too-large"));
    let huge = host.ask("probe", &"x".repeat(4_200_000)).await;
    assert_eq!((huge.status, huge.code()), (413, "too-large"));
    let nobody = host.ask("nobody", "hello").await;
    assert_eq!((nobody.status, nobody.code()), (404, "not-found"));
    assert_eq!(host.get("/api/v1/nothing").await.code(), "not-found");
    assert_eq!(host.get("/api/v1/turns/nope").await.code(), "not-found");
    assert_eq!(host.get("/api/v1/turns?limt=1").await.status, 400);
    assert_eq!(
        host.request("DELETE", "/api/v1/messages")
            .send()
            .await
            .unwrap()
            .status(),
        405
    );
    assert_eq!(host.ask("probe", "echo fine").await.text(), "fine");
    assert_eq!(
        host.get("/api/v1/turns").await.body["items"]
            .as_array()
            .unwrap()
            .len(),
        1,
        "nothing else became a turn"
    );
}

#[tokio::test]
async fn tokens_and_scopes() {
    let host = TestHost::new().plugin("probe").start().await;
    let with = async |token: &str, method: &str, path: &str| {
        let request = reqwest::Client::new()
            .request(method.parse().unwrap(), format!("{}{path}", host.url))
            .header("authorization", format!("Bearer {token}"))
            .json(&json!({ "text": "echo hi" }));
        Answer::read(request.send().await.unwrap()).await
    };
    let say = "/api/v1/agents/probe/messages";
    let anonymous = Answer::read(
        reqwest::Client::new()
            .post(format!("{}{say}", host.url))
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(
        (anonymous.status, anonymous.code()),
        (401, "unauthenticated")
    );
    assert!(anonymous.header("www-authenticate").is_some());
    assert_eq!(with("wrong", "POST", say).await.status, 401);

    let made = host
        .post(
            "/api/v1/tokens",
            &json!({ "name": "reader", "scopes": ["read"] }),
        )
        .await;
    assert!(made.status < 300, "{:#}", made.body);
    let token = made.body["token"].as_str().unwrap().to_owned();
    assert_eq!(with(&token, "GET", "/api/v1/turns").await.status, 200);
    let refused = with(&token, "POST", say).await;
    assert_eq!((refused.status, refused.code()), (403, "forbidden"));
    assert!(refused.detail().contains("chat"), "{}", refused.detail());
    assert_eq!(with(&token, "GET", "/api/v1/tokens").await.status, 403);

    let listed = host.get("/api/v1/tokens").await.body;
    assert!(
        !listed.to_string().contains(&token),
        "a token is shown once"
    );
    let id = made.body["id"].as_str().unwrap();
    assert_eq!(
        host.delete(&format!("/api/v1/tokens/{id}")).await.status / 100,
        2
    );
    assert_eq!(with(&token, "GET", "/api/v1/turns").await.status, 401);
    let database = std::fs::read(host.data_dir().join("anchorhold.db-wal")).unwrap();
    assert!(
        !database
            .windows(token.len())
            .any(|window| window == token.as_bytes()),
        "tokens are hashed at rest"
    );
}

#[tokio::test]
async fn a_token_that_only_chats_sees_only_its_own() {
    let host = TestHost::new().plugin("probe").start().await;
    let mut tokens = Vec::new();
    for name in ["same", "same"] {
        let made = host
            .post(
                "/api/v1/tokens",
                &json!({ "name": name, "scopes": ["chat"] }),
            )
            .await;
        tokens.push(made.body["token"].as_str().unwrap().to_owned());
    }
    let send = async |token: &str, method: &str, path: &str| {
        let body = json!({ "text": "echo hi", "conversation": "mine", "user": "ada" });
        let request = reqwest::Client::new()
            .request(method.parse().unwrap(), format!("{}{path}", host.url))
            .bearer_auth(token);
        let request = if method == "POST" {
            request.json(&body)
        } else {
            request
        };
        Answer::read(request.send().await.unwrap()).await
    };
    let say = "/api/v1/agents/probe/messages";
    let turn = send(&tokens[0], "POST", say).await.turn();
    let paths = [
        format!("/api/v1/turns/{turn}"),
        "/api/v1/conversations/mine/messages".to_owned(),
    ];
    for path in &paths {
        assert_eq!(send(&tokens[0], "GET", path).await.status, 200, "{path}");
        assert_eq!(send(&tokens[1], "GET", path).await.status, 404, "{path}");
        assert_eq!(host.get(path).await.status, 200, "{path}");
    }
    assert_eq!(send(&tokens[1], "POST", say).await.status, 404);
}

#[tokio::test]
async fn a_host_that_cannot_start_says_why() {
    let (code, error) = TestHost::new().set("server.listn", "x").start_fails().await;
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("listn"), "{error}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, error) = TestHost::new()
        .env("ANCHORHOLD_SERVER__LISTEN", &address)
        .start_fails()
        .await;
    assert_eq!(code, 1, "{error}");
    assert!(
        error.contains(&address) && error.contains("[server] listen"),
        "{error}"
    );

    let (code, error) = TestHost::new()
        .env("ANCHORHOLD_STORAGE__DATA_DIR", "/proc/nowhere")
        .start_fails()
        .await;
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("[storage] data_dir"), "{error}");

    let (code, error) = TestHost::new()
        .set("registry.default_grants", vec!["everything"])
        .start_fails()
        .await;
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("everything"), "{error}");
}

#[tokio::test]
async fn a_second_host_on_the_same_folder_is_refused() {
    let host = TestHost::new().start().await;
    let folder = host.data_dir();
    let (code, error) = TestHost::new()
        .env("ANCHORHOLD_STORAGE__DATA_DIR", folder.to_str().unwrap())
        .start_fails()
        .await;
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("another anchorhold"), "{error}");
    assert_eq!(host.get("/health/ready").await.status, 200);
}

#[tokio::test]
async fn secrets_stay_out_of_the_log() {
    let host = TestHost::new()
        .plugin("probe")
        .env("ANCHORHOLD_LOG", "debug")
        .env("OPENAI_API_KEY", "sk-very-secret")
        .start()
        .await;
    host.ask("probe", "echo private words").await.text();
    let log = host.log();
    assert!(
        !log.contains("sk-very-secret") && !log.contains("test-admin-token"),
        "{log}"
    );
}
