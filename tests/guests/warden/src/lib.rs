//! A guardrail that behaves as the texts tell it, badly too: `trap`, `loop`, `memory`, `error`,
//! `few`, `lend`, `refuse`. Else it writes small letters large.

use anchorhold_agent::guardrail::{Passage, Verdict};
use anchorhold_agent::state::{self, Scope};
use anchorhold_agent::{Guardrail, Result, events, llm, log, reply};

anchorhold_agent::manifest!("warden.toml");
anchorhold_agent::export!(Warden: Guardrail);

struct Warden;

impl Guardrail for Warden {
    fn check(passage: Passage) -> Result<Verdict> {
        let has = |word: &str| passage.pieces.iter().any(|piece| piece.text.contains(word));
        if has("trap") {
            panic!("as told");
        }
        if has("loop") {
            spin();
        }
        if has("memory") {
            std::hint::black_box(vec![1_u8; 64 << 20]);
        }
        if has("error") {
            return Err("as told".into());
        }
        if has("few") {
            return Ok(Verdict::Redact(Vec::new()));
        }
        if has("lend") {
            return Ok(Verdict::Refuse(lent()));
        }
        if has("refuse") {
            return Ok(Verdict::Refuse("as told".into()));
        }
        log::info(format!("{} looked at", passage.pieces.len()));
        Ok(passage.replace(|piece| Some(piece.text.to_uppercase())))
    }
}

fn spin() {
    let mut number = 0_u64;
    loop {
        number = std::hint::black_box(number + 1);
    }
}

/// What came of asking for what a guardrail is not lent.
fn lent() -> String {
    let asked = llm::Request::new("default").user("hi").generate();
    let kept = state::set(Scope::Agent, "seen", &1);
    let told = events::publish("warden.told", &1);
    let said = reply::send_text("hello");
    format!(
        "llm {:?}, state {:?}, events {:?}, reply {}",
        asked.map_err(|error| error.kind).err(),
        kept.map_err(|error| error.kind).err(),
        told.map_err(|error| error.kind).err(),
        said.is_ok()
    )
}
