//! `anchorhold doctor`: what is right and wrong with this machine, this
//! configuration and this host, beside a running host and without one.

pub(super) mod check;
mod host;
mod machine;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::fault::{Exit, Fault};
use super::globals::Setting;
use super::output;
use crate::format::things;
use check::{Check, Verdict};

/// Check the configuration, the machine and the host
#[derive(Debug, Args)]
pub(super) struct Doctor {}

impl Doctor {
    pub(super) async fn run(self, setting: &Setting) -> Result<()> {
        let mut checks = Vec::new();
        match setting.config() {
            Ok(config) => {
                checks.push(Check::good("configuration", "readable"));
                checks.extend(machine::checks(&config));
            }
            Err(error) => {
                let mend = "mend the file, or name another with --config";
                checks.push(Check::bad("configuration", format!("{error:#}"), mend));
            }
        }
        checks.push(machine::clock());
        checks.extend(host::checks(setting).await);
        report(&checks, setting.globals.json)
    }
}

/// Says what was found; fails if something is bad.
pub(super) fn report(checks: &[Check], json: bool) -> Result<()> {
    print(checks, json)?;
    let bad = checks.iter().filter(|check| check.verdict == Verdict::Bad);
    match bad.count() {
        0 => Ok(()),
        bad => {
            let said = format!("{} failed", things(bad as u64, "check"));
            Err(Fault::new(Exit::Failure, said).into())
        }
    }
}

fn print(checks: &[Check], json: bool) -> Result<()> {
    if json {
        let ok = checks.iter().all(|check| check.verdict != Verdict::Bad);
        return output::json(&json!({ "ok": ok, "checks": checks }));
    }
    for check in checks {
        for line in check.lines() {
            output::line(output::plain(&line));
        }
    }
    Ok(())
}
