//! A guest that misbehaves in the way the text of a message asks for; one command each.
//!
//! | command | what it does | if it is let |
//! |---|---|---|
//! | `loop` | loops for ever | |
//! | `recurse` | calls itself for ever | |
//! | `memory MIB` | allocates and touches so much, 1 MiB at a time | how far it came |
//! | `grow MIB` | grows its memory at once | the old size in pages |
//! | `calls N` | reads the state so often | `N calls` |
//! | `log MIB` | one log line | `done` |
//! | `stdout MIB` | one line to standard output | `done` |
//! | `reply MIB` | a reply of that size | the reply |
//! | `send MIB` | shows the person that much, 1 MiB at a time | `done` |
//! | `state MIB` | stores a value of that size | `done` |
//! | `publish MIB` | publishes data of that size | `done` |
//! | `random MIB` | asks for that many random bytes | their number |
//! | `generations N` | opens so many and leaves them open | their number |
//! | `sql SQL` | executes the statement | the outcome |
//! | `query SQL` | runs the query | the rows |
//! | `http URL` | a GET request | status and body |
//! | `panic` | panics | |
//! | `trap` | runs the instruction `unreachable` | |
//! | `exit` | ends the process | |
//! | `sleep-forever` | sleeps for a year, again and again | |
//! | `poll-empty` | polls an empty list, which WASI makes a trap | |
//! | anything else | answers it unchanged | the text |
//!
//! What the host refuses is answered as `error KIND: MESSAGE`.

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use anchorhold_agent::llm::Request;
use anchorhold_agent::state::{self, Scope};
use anchorhold_agent::{Chat, Error, Message, Reply, Result};
use anchorhold_agent::{database, events, http, log, params, reply};

anchorhold_agent::manifest!("hog.toml");
anchorhold_agent::export!(Hog: Chat);

struct Hog;

/// Bytes of a mebibyte.
const MIB: usize = 1 << 20;

impl Chat for Hog {
    fn respond(message: Message) -> Result<Reply> {
        let (command, rest) = message.text.split_once(' ').unwrap_or((&message.text, ""));
        let answer = match command {
            "panic" | "trap" | "exit" | "loop" | "recurse" | "sleep-forever" | "poll-empty" => {
                end(command)
            }
            "sql" | "query" | "http" => reach(command, rest),
            _ => match rest.parse() {
                Ok(amount) => take(command, amount, &message.text),
                Err(_) => Ok(message.text.clone()),
            },
        };
        let refused = |error: Error| format!("error {}: {}", error.kind, error.message);
        Ok(answer.unwrap_or_else(refused).into())
    }
}

/// What does not come back.
fn end(command: &str) -> Result<String> {
    match command {
        "panic" => panic!("the hog panics, as it was asked to"),
        "trap" => trap(),
        "exit" => std::process::exit(3),
        "recurse" => Ok(recurse(0).to_string()),
        "sleep-forever" => loop {
            thread::sleep(Duration::from_secs(365 * 24 * 60 * 60));
        },
        "poll-empty" => Ok(poll_empty()),
        _ => loop {
            black_box(());
        },
    }
}

#[expect(unconditional_recursion, reason = "it is what a test asks for")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    recurse(depth + 1) + frame[0]
}

/// What takes too much of something.
fn take(command: &str, amount: usize, text: &str) -> Result<String> {
    let large = |unit: &str| unit.repeat(amount * MIB);
    match command {
        "memory" => return Ok(memory(amount)),
        "grow" => return Ok(format!("{} pages before", grow(amount * 16))),
        "calls" => return calls(amount),
        "random" => return Ok(format!("{} bytes", random(amount * MIB))),
        "generations" => return generations(amount),
        "reply" => return Ok(large("r")),
        "log" => log::info(large("l")),
        "stdout" => println!("{}", large("o")),
        "send" => (0..amount).try_for_each(|_| reply::send_text("s".repeat(MIB)))?,
        "state" => {
            state::set_bytes(Scope::Agent, "large", large("v").as_bytes(), None).map(drop)?
        }
        "publish" => events::publish("hog.large", &large("e")).map(drop)?,
        _ => return Ok(text.into()),
    }
    Ok("done".into())
}

/// Allocates until it is refused. The chunks are touched, so that they count.
fn memory(amount: usize) -> String {
    let mut chunks: Vec<Vec<u8>> = Vec::new();
    for taken in 0..amount {
        let mut chunk = Vec::new();
        if chunk.try_reserve_exact(MIB).is_err() {
            return format!("refused after {taken} MiB");
        }
        chunk.resize(MIB, 1);
        chunks.push(black_box(chunk));
    }
    format!("{} MiB", chunks.len())
}

fn calls(amount: usize) -> Result<String> {
    for _ in 0..amount {
        state::get_bytes(Scope::Agent, "calls")?;
    }
    Ok(format!("{amount} calls"))
}

fn generations(amount: usize) -> Result<String> {
    let mut open = Vec::new();
    for number in 0..amount {
        match Request::new("default")
            .user(format!("generation {number}"))
            .start()
        {
            Ok(generation) => open.push(generation),
            Err(error) => return Ok(format!("{} open, then: {}", open.len(), error.message)),
        }
    }
    Ok(format!("{} open", open.len()))
}

/// What reaches for things outside of its cell.
fn reach(command: &str, rest: &str) -> Result<String> {
    match command {
        "sql" => Ok(format!("{:?}", database::execute(rest, params![])?)),
        "query" => Ok(format!("{:?}", database::query(rest, params![])?.rows)),
        _ => {
            let response = http::get(rest).send()?;
            Ok(format!("{} {}", response.status, response.text()))
        }
    }
}

#[cfg(target_arch = "wasm32")]
fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

#[cfg(target_arch = "wasm32")]
fn poll_empty() -> String {
    format!("{:?}", wasip2::io::poll::poll(&[]))
}

#[cfg(target_arch = "wasm32")]
fn random(count: usize) -> usize {
    wasip2::random::random::get_random_bytes(count as u64).len()
}

/// The size before, in pages of 64 KiB; `usize::MAX` when it was refused.
#[cfg(target_arch = "wasm32")]
fn grow(pages: usize) -> usize {
    core::arch::wasm32::memory_grow(0, pages)
}

#[cfg(not(target_arch = "wasm32"))]
use elsewhere::{grow, poll_empty, random, trap};

/// Off wasm these have no meaning; they are there for the crate to build and be checked.
#[cfg(not(target_arch = "wasm32"))]
mod elsewhere {
    pub(super) fn trap() -> ! {
        panic!("only in a component")
    }

    pub(super) fn poll_empty() -> String {
        "only in a component".into()
    }

    pub(super) fn random(_count: usize) -> usize {
        0
    }

    pub(super) fn grow(_pages: usize) -> usize {
        usize::MAX
    }
}

#[cfg(test)]
mod tests {
    use anchorhold_agent::Chat;
    use anchorhold_agent::testing::{self, Host};

    fn say(text: &str) -> String {
        super::Hog::respond(testing::message(text)).unwrap().text
    }

    #[test]
    fn behaves_unless_it_is_told_otherwise() {
        let _host = Host::new();
        assert_eq!(say("hello there"), "hello there");
        assert_eq!(say("memory 2"), "2 MiB");
        assert_eq!(say("reply 1").len(), 1 << 20);
        assert!(say("http http://127.0.0.1/").starts_with("error unavailable: "));
        assert!(say("generations 2").starts_with("0 open, then: "));
    }
}
