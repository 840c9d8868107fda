//! The names that a component imports and exports: which belong to the
//! contract, in which version, and which this host does not know.

use super::{CONTRACT, Misfit};

/// The contract's package.
const PACKAGE: &str = "anchorhold:agent";

/// What the contract lends.
const LENT: [&str; 11] = [
    "types", "llm", "database", "state", "events", "reply", "agents", "tools", "http", "config",
    "log",
];

/// What the host calls.
const CALLED: [&str; 4] = ["chat", "subscriber", "web", "guardrail"];

/// The packages of WASI 0.2 that are there.
const WASI: [&str; 5] = [
    "wasi:cli",
    "wasi:clocks",
    "wasi:filesystem",
    "wasi:io",
    "wasi:random",
];

/// The packages that reach the network.
const NETWORK: [&str; 2] = ["wasi:sockets", "wasi:http"];

/// A name such as `wasi:io/streams@0.2.6`, taken apart. What has no package (a
/// plain function) has an empty interface.
struct Name<'a> {
    package: &'a str,
    interface: &'a str,
    version: &'a str,
}

impl<'a> Name<'a> {
    fn of(name: &'a str) -> Self {
        let (path, version) = name.split_once('@').unwrap_or((name, ""));
        let (package, interface) = path.split_once('/').unwrap_or((path, ""));
        Self {
            package,
            interface,
            version,
        }
    }
}

/// Checks all names and answers the contract's version.
pub(super) fn check(imports: &[String], exports: &[String]) -> Result<String, Misfit> {
    for import in imports {
        check_import(import)?;
    }
    let mut contract = None;
    for export in exports.iter().map(|export| Name::of(export)) {
        if export.package == PACKAGE && CALLED.contains(&export.interface) {
            check_version(&export)?;
            contract = contract.or(Some(export.version.to_owned()));
        }
    }
    contract.ok_or(Misfit::NoExport)
}

/// The interfaces of the contract among the exports that the host calls.
pub(super) fn offered(exports: &[String]) -> Vec<String> {
    let names = exports.iter().map(|export| Name::of(export));
    names
        .filter(|name| name.package == PACKAGE && CALLED.contains(&name.interface))
        .map(|name| name.interface.to_owned())
        .collect()
}

/// Whether this host can run what was built for this version: before 1.0 the
/// second number changes with every break.
pub(super) fn is_compatible(version: &str) -> bool {
    let track = |version: &str| {
        let mut numbers = version.split('.').map(|part| part.parse::<u32>().ok());
        let track = (numbers.next()??, numbers.next()??);
        numbers.next()??;
        numbers.next().is_none().then_some(track)
    };
    track(version).is_some() && track(version) == track(CONTRACT)
}

fn check_import(import: &str) -> Result<(), Misfit> {
    let name = Name::of(import);
    if name.package == PACKAGE {
        check_version(&name)?;
        return match LENT.contains(&name.interface) {
            true => Ok(()),
            false => Err(Misfit::UnknownInterface(import.to_owned())),
        };
    }
    if NETWORK.contains(&name.package) {
        return Err(Misfit::Network(import.to_owned()));
    }
    if !WASI.contains(&name.package) {
        return Err(Misfit::ForeignImport(import.to_owned()));
    }
    if !name.version.starts_with("0.2.") {
        return Err(Misfit::WrongWasi(import.to_owned()));
    }
    Ok(())
}

fn check_version(name: &Name<'_>) -> Result<(), Misfit> {
    if is_compatible(name.version) {
        return Ok(());
    }
    let found = match name.version {
        "" => "none".to_owned(),
        version => version.to_owned(),
    };
    Err(Misfit::WrongContract { found })
}
