//! The commands about the machine that a guest sees: clocks, randomness, waiting, work.

use std::collections::HashMap;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anchorhold_agent::serde_json::json;
use anchorhold_agent::state::{self, Scope};
use anchorhold_agent::{Error, Result};

use crate::{show, store};

pub(crate) fn run(name: &str, text: &str) -> Result<String> {
    match name {
        "clock" => Ok(clock()),
        "random" => Ok(random()),
        "environment" => Ok(environment()),
        "sleep" => {
            thread::sleep(Duration::from_millis(number(text)?));
            Ok("slept".into())
        }
        "calls" => calls(number(text)?),
        "spin" => Ok(spin(number(text)?)),
        "exact-integers" => Ok(store::exact_integers()),
        _ => Err(Error::invalid_input(format!("no command `{name}`"))),
    }
}

fn number(text: &str) -> Result<u64> {
    text.trim()
        .parse()
        .map_err(|_| Error::invalid_input(format!("`{text}` is not a number")))
}

fn clock() -> String {
    let since_1970 = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall = [SystemTime::now(), SystemTime::now(), SystemTime::now()].map(since_1970);
    let start = Instant::now();
    let elapsed = [start.elapsed(), start.elapsed(), start.elapsed()];
    assert!(
        wall.is_sorted() && elapsed.is_sorted(),
        "a clock went back: {wall:?} {elapsed:?}"
    );
    let text = |duration: Duration| duration.as_nanos().to_string();
    json!({"wall_ns": wall.map(text), "elapsed_ns": elapsed.map(text)}).to_string()
}

fn random() -> String {
    let map: HashMap<u8, ()> = (0..16).map(|key| (key, ())).collect();
    let order: Vec<u8> = map.into_keys().collect();
    json!({"bytes": show::hex(&random_bytes(16)), "order": order}).to_string()
}

#[cfg(target_arch = "wasm32")]
fn random_bytes(count: u64) -> Vec<u8> {
    wasip2::random::random::get_random_bytes(count)
}

#[cfg(not(target_arch = "wasm32"))]
fn random_bytes(_count: u64) -> Vec<u8> {
    Vec::new()
}

/// What a guest sees of the machine of the host: nothing.
fn environment() -> String {
    let file = std::fs::read_dir("/")
        .map(|_| "readable")
        .unwrap_or("refused");
    json!({
        "variables": std::env::vars().count(),
        "arguments": std::env::args().count(),
        "file": file,
    })
    .to_string()
}

fn calls(count: u64) -> Result<String> {
    for _ in 0..count {
        state::get_bytes(Scope::Agent, "calls")?;
    }
    Ok(count.to_string())
}

fn spin(millions: u64) -> String {
    let mut sum = 0_u64;
    for step in 0..millions * 1_000_000 {
        sum = black_box(sum.wrapping_mul(31).wrapping_add(step));
    }
    format!("{sum:016x}")
}
