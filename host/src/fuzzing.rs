//! What `fuzz/` drives: everything that reads what others send, and what must hold of it whatever
//! that is. Compiled only with `cfg(fuzzing)`, which cargo-fuzz sets.
//!
//! A function for each target; it panics where something does not hold.

use std::path::PathBuf;

use crate::capability::database;
use crate::channel::http::fuzz_headers;
use crate::channel::slack;
use crate::config::{Config, Environment};
use crate::dev::scripted::Scripted;
use crate::registry::{Embedded, Grant, Grants, Manifest, Permit, inspect};
use crate::runtime::{Input, Output};
use crate::{codec, net};

/// The first bytes of a component.
const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";

/// Bytes as a component, whole and behind a header that is right.
pub fn component(bytes: &[u8]) {
    for bytes in [bytes.to_vec(), [HEADER, bytes].concat()] {
        for embedded in [Embedded::Counts, Embedded::Replaced] {
            if let Ok(inspection) = inspect(&bytes, 1 << 20, embedded) {
                assert!(!inspection.exports.is_empty(), "{inspection:?}");
            }
        }
    }
}

/// A manifest that is taken survives being stored, and its wants can be granted.
pub fn manifest(text: &str) {
    let Ok(manifest) = Manifest::parse(text) else {
        return;
    };
    let stored = serde_json::to_string(&manifest).expect("a manifest can be stored");
    let read: Manifest = serde_json::from_str(&stored).expect("what is stored can be read");
    assert_eq!(format!("{read:?}"), format!("{manifest:?}"));
    let own = Grants::new(&manifest, Some(&[]), &[]).expect("no grants");
    let wanted = own.wanted();
    let granted = Grants::new(&manifest, Some(&wanted), &[]).expect("wants are grants");
    assert!(granted.missing("agent").is_empty(), "{wanted:?}");
}

/// Two grants and something to do, line by line: a grant that covers another allows all that the
/// other allows, and is the same when read again.
pub fn grants(text: &str) {
    let mut lines = text.lines();
    let mut permit = || lines.next()?.parse::<Permit>().ok();
    let (Some(ours), Some(theirs)) = (permit(), permit()) else {
        return;
    };
    for permit in [&ours, &theirs] {
        let again: Permit = permit.to_string().parse().expect("its name is a grant");
        assert_eq!(&again, permit);
        assert!(permit.covers(permit), "{permit}");
    }
    let name = lines.next().unwrap_or_default();
    let grants = [
        Grant::Llm(name),
        Grant::Database,
        Grant::State,
        Grant::Events(name),
        Grant::Http(name),
        Grant::Secret(name),
    ];
    for grant in grants.into_iter().filter(|_| ours.covers(&theirs)) {
        let holds = ours.allows(grant) || !theirs.allows(grant) || !is_said(grant);
        assert!(holds, "{ours} covers {theirs}, but not {grant:?}");
    }
}

/// Whether it is something that can come up: topics and hosts were checked before.
fn is_said(grant: Grant<'_>) -> bool {
    match grant {
        Grant::Events(topic) => crate::events::check_topic(topic).is_ok(),
        Grant::Http(host) => grant.name().parse::<Permit>().is_ok() && !host.contains('*'),
        _ => true,
    }
}

/// An address and where it redirects to, line by line.
pub fn url(text: &str) {
    let (url, location) = text.split_once('\n').unwrap_or((text, ""));
    net::fuzzing::target(url, location);
}

/// A configuration file.
pub fn config(text: &str) {
    // Reading is of files, and these exist only in the fuzzer.
    let path = PathBuf::from(format!("/dev/shm/anchorhold-fuzz-{}", std::process::id()));
    std::fs::write(&path, text).expect("a file in memory");
    if let Ok(config) = Config::load(Some(&path), &Environment::default()) {
        assert!(config.llm.models.contains_key("default"));
    }
}

/// A script of the scripted provider.
pub fn script(text: &str) {
    let _ = Scripted::parse(text);
}

/// Stored input, output and records: what can be read is written again as it was read.
pub fn codec(bytes: &[u8]) {
    let shown = codec::to_json(bytes);
    serde_json::to_string(&shown).expect("what is shown is JSON");
    if let Ok(input) = codec::decode::<Input>(bytes) {
        let written = codec::encode(&input).expect("what was read can be written");
        assert_eq!(codec::decode::<Input>(&written).expect("and read"), input);
    }
    if let Ok(output) = codec::decode::<Output>(bytes) {
        let written = codec::encode(&output).expect("what was read can be written");
        assert_eq!(codec::decode::<Output>(&written).expect("and read"), output);
    }
}

/// Statements of an agent, parted by `;;`.
pub fn sql(text: &str) {
    database::fuzzing::statements(text.split(";;"));
}

/// Headers of an agent's response, line by line, and the same as a client's.
pub fn headers(text: &str) {
    fuzz_headers(text.lines().filter_map(|line| line.split_once(':')));
}

/// What Slack sends, and an agent says there.
pub fn slack(text: &str) {
    slack::fuzzing::anything(text);
}
