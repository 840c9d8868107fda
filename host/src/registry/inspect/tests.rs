//! What is said of components that fit and of those that do not.

use super::*;
use crate::registry::testing::{component, component_with, core_module};

const MAX: u64 = 1 << 20;

fn misfit(bytes: &[u8]) -> Misfit {
    inspect(bytes, MAX, Embedded::Counts).unwrap_err()
}

fn of_wat(text: &str) -> Result<Inspection, Misfit> {
    inspect(&wat::parse_str(text).unwrap(), MAX, Embedded::Counts)
}

#[test]
fn the_contract_is_that_of_the_wit_files() {
    let world = include_str!("../../../../wit/world.wit");
    assert!(world.contains(&format!("package anchorhold:agent@{CONTRACT};")));
}

#[test]
fn a_component_is_described() {
    let bytes = component("");
    let inspection = inspect(&bytes, MAX, Embedded::Counts).unwrap();
    assert_eq!(inspection.digest, hex::encode(Sha256::digest(&bytes)));
    assert_eq!(inspection.size, bytes.len() as u64);
    assert_eq!(inspection.contract, "0.1.0");
    assert_eq!(inspection.exports, ["chat"]);
    assert_eq!(inspection.imports, Vec::<String>::new());
    assert_eq!(inspection.manifest, None);
}

#[test]
fn what_is_no_component_gets_a_sentence_of_its_own() {
    let whole = component("");
    for (bytes, expected) in [
        (&b""[..], Misfit::Empty),
        (b"\0as", Misfit::Truncated),
        (b"\0asm\x0d\0", Misfit::Truncated),
        (b"(component)", Misfit::Text),
        (b"\x7fELF\xff\xfe", Misfit::NotWasm),
        (b"\0asm\x07\0\x01\0", Misfit::UnknownFormat),
        (&core_module(), Misfit::CoreModule),
        (&whole[..whole.len() - 1], Misfit::Truncated),
        (&whole[..20], Misfit::Truncated),
    ] {
        assert_eq!(misfit(bytes), expected);
    }
    let mut broken = whole.clone();
    broken.extend([7, 1, 0xff]);
    assert!(matches!(misfit(&broken), Misfit::Invalid(_)));
    assert_eq!(
        inspect(&whole, 10, Embedded::Counts),
        Err(Misfit::TooLarge { max_bytes: 10 })
    );
    assert!(Misfit::CoreModule.to_string().contains("wasm32-wasip2"));
}

#[test]
fn a_component_cut_short_is_refused_unless_nothing_is_lost() {
    let whole = component("");
    let accepted = (0..whole.len())
        .filter_map(|end| inspect(&whole[..end], MAX, Embedded::Counts).ok())
        .inspect(|inspection| assert_eq!(inspection.exports, ["chat"]));
    // Only the section of names, which nobody calls, is missing.
    assert_eq!(accepted.count(), 1);
}

#[test]
fn another_version_of_the_contract_is_named() {
    for version in ["0.2.0", "1.0.0", "0.1.0-draft"] {
        let error = misfit(&component_with("chat", version, "", ""));
        let expected = Misfit::WrongContract {
            found: version.to_owned(),
        };
        assert_eq!(error, expected);
        assert!(error.to_string().contains("this host speaks 0.1.0"));
    }
    let later = inspect(
        &component_with("web", "0.1.7", "", ""),
        MAX,
        Embedded::Counts,
    )
    .unwrap();
    assert_eq!(
        (later.contract.as_str(), later.exports),
        ("0.1.7", vec!["web".to_owned()])
    );
}

#[test]
fn a_component_must_offer_something() {
    assert_eq!(of_wat("(component)"), Err(Misfit::NoExport));
    assert_eq!(
        inspect(
            &component_with("router", "0.1.0", "", ""),
            MAX,
            Embedded::Counts
        ),
        Err(Misfit::NoExport)
    );
}

#[test]
fn imports_are_refused_by_name() {
    let with = |import: &str| {
        let import = format!("(import \"{import}\" (instance))");
        inspect(
            &component_with("chat", "0.1.0", &import, ""),
            MAX,
            Embedded::Counts,
        )
    };
    for good in [
        "wasi:io/streams@0.2.6",
        "wasi:cli/stdout@0.2.0",
        "wasi:clocks/wall-clock@0.2.3",
        "wasi:filesystem/types@0.2.6",
        "wasi:random/random@0.2.6",
        "anchorhold:agent/llm@0.1.0",
    ] {
        assert_eq!(with(good).unwrap().imports, [good]);
    }
    let named = |name: &str| name.to_owned();
    for (import, expected) in [
        (
            "wasi:sockets/tcp@0.2.6",
            Misfit::Network(named("wasi:sockets/tcp@0.2.6")),
        ),
        (
            "wasi:http/types@0.2.6",
            Misfit::Network(named("wasi:http/types@0.2.6")),
        ),
        (
            "wasi:cli/stdout@0.3.0",
            Misfit::WrongWasi(named("wasi:cli/stdout@0.3.0")),
        ),
        (
            "wasi:nn/graph@0.2.0",
            Misfit::ForeignImport(named("wasi:nn/graph@0.2.0")),
        ),
        (
            "other:thing/api",
            Misfit::ForeignImport(named("other:thing/api")),
        ),
        ("plain", Misfit::ForeignImport(named("plain"))),
        (
            "anchorhold:agent/memory@0.1.2",
            Misfit::UnknownInterface(named("anchorhold:agent/memory@0.1.2")),
        ),
        (
            "anchorhold:agent/llm@0.2.0",
            Misfit::WrongContract {
                found: named("0.2.0"),
            },
        ),
    ] {
        let error = with(import).unwrap_err();
        assert_eq!(error, expected);
    }
}

#[test]
fn other_exports_and_named_types_are_allowed() {
    let inspection = of_wat(
        r#"(component
            (type $t string)
            (import "text" (type (eq $t)))
            (instance $chat)
            (export "anchorhold:agent/chat@0.1.0" (instance $chat))
            (instance $other)
            (export "exports" (instance $other)))"#,
    )
    .unwrap();
    assert_eq!(inspection.exports, ["chat"]);
}

#[test]
fn a_manifest_may_be_in_the_component_or_in_a_module_inside() {
    let outside = inspect(&component("name = 'outer'"), MAX, Embedded::Counts).unwrap();
    assert_eq!(outside.manifest.unwrap().name, "outer");
    let module = r#"(core module (@custom "anchorhold:manifest" "name = 'inner'"))"#;
    let bytes = component_with("chat", "0.1.0", module, "");
    let inside = inspect(&bytes, MAX, Embedded::Counts).unwrap();
    assert_eq!(inside.manifest.unwrap().name, "inner");
    let bytes = component_with("chat", "0.1.0", module, "name = 'outer'");
    let both = inspect(&bytes, MAX, Embedded::Counts).unwrap();
    assert_eq!(both.manifest.unwrap().name, "outer");
}

#[test]
fn a_bad_manifest_is_refused_unless_it_is_replaced() {
    for (text, part) in [
        ("nmae = 'x'", "nmae"),
        ("contract = '0.2.0'", "built for version 0.2.0"),
    ] {
        let bytes = component(text);
        let error = inspect(&bytes, MAX, Embedded::Counts)
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "{error}");
        let replaced = inspect(&bytes, MAX, Embedded::Replaced).unwrap();
        assert_eq!(replaced.manifest, None);
    }
    let two = r#"(core module (@custom "anchorhold:manifest" "name = 'a'"))
        (core module (@custom "anchorhold:manifest" "name = 'b'"))"#;
    let error = misfit(&component_with("chat", "0.1.0", two, ""));
    assert!(error.to_string().contains("two that differ"));
}

proptest::proptest! {
    #[test]
    fn damage_never_panics(at in 8_usize..200, byte in proptest::prelude::any::<u8>()) {
        let mut bytes = component("name = 'x'");
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = inspect(&bytes, MAX, Embedded::Counts);
    }
}

#[test]
fn the_components_in_text_of_the_tests_are_told_apart() {
    let of_file = |name: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/wat");
        of_wat(&std::fs::read_to_string(format!("{folder}/{name}.wat")).unwrap())
    };
    for good in ["start-trap", "table-growth", "two-memories"] {
        assert_eq!(of_file(good).unwrap().exports, ["chat"], "{good}");
    }
    let foreign = "elsewhere:machine/files@1.0.0".to_owned();
    let found = "9.0.0".to_owned();
    assert_eq!(
        of_file("unknown-import"),
        Err(Misfit::ForeignImport(foreign))
    );
    assert_eq!(
        of_file("wrong-version"),
        Err(Misfit::WrongContract { found })
    );
    assert_eq!(of_file("no-exports"), Err(Misfit::NoExport));
    assert_eq!(of_file("core-module"), Err(Misfit::CoreModule));
}
