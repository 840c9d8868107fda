//! The fake's Web API: who may call what, and what becomes of it. Pure like the world that it
//! works on; `server` brings the requests.

mod args;
mod chat;
mod conversations;
mod files;
mod people;
mod sessions;
mod streams;
#[cfg(test)]
mod tests;
mod views;

use serde_json::{Value, json};

pub(super) use args::Args;

use super::world::{Call, FaultKind, Refusal, Result, World, merge};

/// What a method needs.
#[derive(Debug, Clone, Copy)]
enum Needs {
    /// Any token.
    Nothing,
    /// The app's token.
    App,
    Scope(&'static str),
    /// `channels:…`, `groups:…`, `im:…` or `mpim:…`, as the channel is.
    OfChannel(&'static str),
}

/// How often a method may be called, in a minute.
#[derive(Debug, Clone, Copy)]
enum Tier {
    PerMinute(usize),
    /// Once a second in each channel.
    PerChannel,
}

const T1: Tier = Tier::PerMinute(1);
const T2: Tier = Tier::PerMinute(20);
const T3: Tier = Tier::PerMinute(50);
const T4: Tier = Tier::PerMinute(100);

type Work = fn(&mut World, &Args) -> Result<Value>;

struct Method {
    name: &'static str,
    needs: Needs,
    tier: Tier,
    work: Work,
}

const fn method(name: &'static str, needs: Needs, tier: Tier, work: Work) -> Method {
    Method {
        name,
        needs,
        tier,
        work,
    }
}

use Needs::{App, Nothing, OfChannel, Scope};

const METHODS: [Method; 38] = [
    method(
        "agents.sessions.rename",
        Scope("chat:write"),
        T3,
        sessions::rename,
    ),
    method(
        "agents.sessions.setStatus",
        Scope("chat:write"),
        T3,
        sessions::set_status,
    ),
    method("api.test", Nothing, T4, people::api_test),
    method("apps.connections.open", App, T1, people::open_connection),
    method(
        "assistant.threads.setStatus",
        Scope("assistant:write"),
        Tier::PerMinute(60),
        sessions::set_assistant_status,
    ),
    method(
        "assistant.threads.setSuggestedPrompts",
        Scope("assistant:write"),
        T3,
        sessions::set_prompts,
    ),
    method(
        "assistant.threads.setTitle",
        Scope("assistant:write"),
        T3,
        sessions::set_title,
    ),
    method(
        "auth.test",
        Nothing,
        Tier::PerMinute(600),
        people::auth_test,
    ),
    method("bots.info", Scope("users:read"), T3, people::bot),
    method(
        "chat.appendStream",
        Scope("chat:write"),
        T4,
        streams::append,
    ),
    method("chat.delete", Scope("chat:write"), T3, chat::delete),
    method(
        "chat.getPermalink",
        Nothing,
        Tier::PerMinute(600),
        chat::permalink,
    ),
    method(
        "chat.postEphemeral",
        Scope("chat:write"),
        T4,
        chat::post_ephemeral,
    ),
    method(
        "chat.postMessage",
        Scope("chat:write"),
        Tier::PerChannel,
        chat::post,
    ),
    method("chat.startStream", Scope("chat:write"), T2, streams::start),
    method("chat.stopStream", Scope("chat:write"), T2, streams::stop),
    method("chat.update", Scope("chat:write"), T3, chat::update),
    method(
        "conversations.history",
        OfChannel("history"),
        T3,
        conversations::history,
    ),
    method(
        "conversations.info",
        OfChannel("read"),
        T3,
        conversations::info,
    ),
    method(
        "conversations.list",
        Scope("channels:read"),
        T2,
        conversations::list,
    ),
    method(
        "conversations.members",
        OfChannel("read"),
        T4,
        conversations::members,
    ),
    method(
        "conversations.open",
        Scope("im:write"),
        T3,
        conversations::open,
    ),
    method(
        "conversations.replies",
        OfChannel("history"),
        T3,
        conversations::replies,
    ),
    method(
        "files.completeUploadExternal",
        Scope("files:write"),
        T4,
        files::complete,
    ),
    method(
        "files.getUploadURLExternal",
        Scope("files:write"),
        T4,
        files::upload_url,
    ),
    method("files.info", Scope("files:read"), T4, files::info),
    method("reactions.add", Scope("reactions:write"), T3, chat::react),
    method(
        "reactions.get",
        Scope("reactions:read"),
        T3,
        chat::reactions,
    ),
    method(
        "reactions.remove",
        Scope("reactions:write"),
        T2,
        chat::unreact,
    ),
    method("team.info", Scope("team:read"), T3, people::team),
    method(
        "usergroups.list",
        Scope("usergroups:read"),
        T2,
        people::groups,
    ),
    method(
        "usergroups.users.list",
        Scope("usergroups:read"),
        T2,
        people::group_members,
    ),
    method("users.info", Scope("users:read"), T4, people::user),
    method("users.list", Scope("users:read"), T2, people::users),
    method("views.open", Nothing, T4, views::open),
    method("views.publish", Nothing, T4, views::publish),
    method("views.push", Nothing, T4, views::push),
    method("views.update", Nothing, T4, views::update),
];

/// What came in.
pub(super) struct Request {
    pub(super) method: String,
    /// Of the header, or of the arguments.
    pub(super) token: Option<String>,
    pub(super) args: Args,
}

/// What goes out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Response {
    pub(super) body: Value,
    pub(super) retry_after: Option<u64>,
    /// What happens to it on its way.
    pub(super) fault: Option<FaultKind>,
}

/// Answers a call, and writes it down.
pub(super) fn call(world: &mut World, request: &Request) -> Response {
    let fault = world.take_fault(&request.method);
    let result = match &fault {
        Some(FaultKind::Error { error, extra }) => Err(Refusal::with(error, extra.clone())),
        None | Some(FaultKind::Lost) => answer(world, request),
        // Nothing is done, and nobody learns what would have been said.
        Some(_) => Ok(json!({})),
    };
    let mut retry_after = match fault {
        Some(FaultKind::Ratelimited { retry_after }) => Some(retry_after),
        _ => None,
    };
    let error = result.as_ref().err().map(|refusal| refusal.error.clone());
    let body = match result {
        _ if retry_after.is_some() => json!({"ok": false, "error": "ratelimited"}),
        Ok(mut body) => {
            merge(&mut body, &json!({"ok": true}));
            body
        }
        Err(refusal) => {
            retry_after = refusal.extra["retry_after"].as_u64();
            let mut body = json!({"ok": false, "error": refusal.error});
            if retry_after.is_none() {
                merge(&mut body, &refusal.extra);
            }
            body
        }
    };
    let at_ms = world.now / 1_000;
    world.called(Call {
        n: 0,
        at_ms,
        method: request.method.clone(),
        args: request.args.shown(),
        ok: body["ok"] == true
            && !matches!(
                fault,
                Some(FaultKind::Status { .. } | FaultKind::Hang { .. } | FaultKind::Close)
            ),
        error: error.or_else(|| body["error"].as_str().map(str::to_owned)),
        fault: fault
            .as_ref()
            .map(|fault| json!(fault)["kind"].as_str().unwrap_or_default().to_owned()),
    });
    Response {
        body,
        retry_after,
        fault,
    }
}

fn answer(world: &mut World, request: &Request) -> Result<Value> {
    let method = METHODS.iter().find(|it| it.name == request.method);
    let method = method
        .ok_or_else(|| Refusal::with("unknown_method", json!({"req_method": request.method})))?;
    check_token(world, method, request.token.as_deref())?;
    check_scope(world, method, &request.args)?;
    check_rate(world, method, &request.args)?;
    (method.work)(world, &request.args)
}

fn check_token(world: &World, method: &Method, token: Option<&str>) -> Result<()> {
    let token = token.ok_or("not_authed")?;
    let is_app = matches!(method.needs, App);
    let (expected, other) = match is_app {
        true => (&world.setup.app_token, &world.setup.bot_token),
        false => (&world.setup.bot_token, &world.setup.app_token),
    };
    if token == other {
        return Err("not_allowed_token_type".into());
    }
    if token != expected {
        return Err("invalid_auth".into());
    }
    if world.settings.revoked {
        return Err("token_revoked".into());
    }
    Ok(())
}

fn check_scope(world: &World, method: &Method, args: &Args) -> Result<()> {
    let needed = match method.needs {
        Nothing | App => return Ok(()),
        Scope(scope) => scope.to_owned(),
        OfChannel(what) => {
            let channel = args.text("channel").unwrap_or_default();
            let channel = world.channel(&channel)?;
            format!("{}:{what}", channel.kind.plural())
        }
    };
    if world.settings.has_scope(&needed) {
        return Ok(());
    }
    let provided = world.settings.scopes.join(",");
    Err(Refusal::with(
        "missing_scope",
        json!({"needed": needed, "provided": provided}),
    ))
}

fn check_rate(world: &mut World, method: &Method, args: &Args) -> Result<()> {
    if !world.settings.rate_limits {
        return Ok(());
    }
    let (key, most, window) = match method.tier {
        Tier::PerMinute(most) => (method.name.to_owned(), most, 60_000_000),
        Tier::PerChannel => {
            let channel = args.text("channel").unwrap_or_default();
            (format!("{} {channel}", method.name), 1, 1_000_000)
        }
    };
    let now = world.now;
    let recent = world.rates.entry(key).or_default();
    recent.retain(|at| now - at < window);
    if recent.len() < most {
        recent.push(now);
        return Ok(());
    }
    let oldest = recent.first().copied().unwrap_or(now);
    let wait = u64::try_from(oldest + window - now).unwrap_or_default();
    let seconds = wait.div_ceil(1_000_000).max(1);
    Err(Refusal::with(
        "ratelimited",
        json!({"retry_after": seconds}),
    ))
}
