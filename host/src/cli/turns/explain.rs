//! Where the time and the money of a turn went.

use anyhow::Result;
use serde_json::{Value, json};

use crate::channel::http::views::{Items, JournalItem, LogItem, TurnView};
use crate::cli::client::Client;
use crate::cli::output::{self, plain};
use crate::cli::wire::{items, read, word};
use crate::format::{bar, bytes, count, money, percent, short, span};
use crate::store::JournalStatus;
use crate::turn::Receipt;

const BAR_WIDTH: u64 = 24;

/// Explains a turn.
pub(in crate::cli) async fn run(client: &Client, id: &str, as_json: bool) -> Result<()> {
    let turn: Value = client.get(&["turns", id], &[]).await?;
    let journal: Value = client.get(&["turns", id, "journal"], &[]).await?;
    let log: Value = client.get(&["turns", id, "log"], &[]).await?;
    if as_json {
        let all = json!({ "turn": turn, "journal": items(&journal), "log": items(&log) });
        return output::json(&all);
    }
    let calls: Items<JournalItem> = read(&journal)?;
    let log: Items<LogItem> = read(&log)?;
    for line in lines(&read(&turn)?, &calls.items, &log.items) {
        output::line(plain(&line));
    }
    Ok(())
}

fn lines(turn: &TurnView, calls: &[JournalItem], log: &[LogItem]) -> Vec<String> {
    let mut lines = super::headline(turn);
    let Some(receipt) = &turn.receipt else {
        lines.push("\nThe turn has no receipt yet.".to_owned());
        return lines;
    };
    lines.push(String::new());
    lines.extend(times(receipt, calls));
    lines.push(String::new());
    lines.extend(used(receipt));
    if !log.is_empty() {
        lines.push("\nLog".to_owned());
        lines.extend(log.iter().map(log_line));
    }
    lines
}

/// A table of times: the steps of the turn, and below `host calls` each call.
fn times(receipt: &Receipt, calls: &[JournalItem]) -> Vec<String> {
    let timing = &receipt.timing;
    let before = timing.queue_us + timing.load_us + timing.compile_us;
    let run = timing.instantiate_us + timing.guest_us + timing.host_us;
    let whole = before + run.max(receipt.wall_ms * 1_000);
    let line = |name: &str, us: u64| row(name, us, whole, "");
    let mut lines = vec![
        line("queue", timing.queue_us),
        line("load", timing.load_us),
        line("compile", timing.compile_us),
        line("instantiate", timing.instantiate_us),
        line("guest", timing.guest_us),
        line("host calls", timing.host_us),
    ];
    for call in calls {
        let name = format!("  {} {}", call.seq, call.kind);
        lines.push(row(&name, micros(call.ms), whole, &asked(call)));
    }
    lines.push(line("  models", timing.model_us));
    lines.push(line("other", whole.saturating_sub(before + run)));
    lines.push(line("all", whole));
    lines
}

fn row(name: &str, us: u64, whole: u64, note: &str) -> String {
    let bar = bar(us, whole, BAR_WIDTH);
    let width = BAR_WIDTH as usize;
    let line = format!(
        "{name:<28} {:>10} {:>6}  {bar:<width$}  {note}",
        span(us),
        percent(us, whole)
    );
    line.trim_end().to_owned()
}

fn asked(call: &JournalItem) -> String {
    let args = match &call.args {
        Value::Null => String::new(),
        args => short(&args.to_string(), 60),
    };
    match call.status {
        JournalStatus::Done => args,
        status => format!("{}  {args}", word(status)),
    }
}

fn micros(ms: f64) -> u64 {
    (ms * 1e3) as u64
}

fn used(receipt: &Receipt) -> Vec<String> {
    let cost = receipt
        .cost_micro_usd
        .map_or_else(|| "not known".to_owned(), money);
    let mut lines = vec![
        format!("fuel    {}", count(receipt.fuel)),
        format!("memory  {} at most", bytes(receipt.memory_peak_bytes)),
        format!("calls   {}", count(receipt.host_calls)),
        format!(
            "tokens  {} in, {} out",
            count(receipt.input_tokens),
            count(receipt.output_tokens)
        ),
        format!("cost    {cost}"),
    ];
    if receipt.log_bytes_dropped > 0 {
        lines.push(format!(
            "log     {} cut off",
            bytes(receipt.log_bytes_dropped)
        ));
    }
    lines
}

fn log_line(line: &LogItem) -> String {
    let fields = match &line.fields {
        Value::Object(fields) if !fields.is_empty() => format!("  {}", line.fields),
        _ => String::new(),
    };
    format!("  {:<5} {}{fields}", line.level, line.message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::Timing;

    fn receipt() -> Receipt {
        Receipt {
            fuel: 1_234_567,
            memory_peak_bytes: 1 << 20,
            wall_ms: 100,
            host_calls: 1,
            input_tokens: 10,
            output_tokens: 2,
            cost_micro_usd: None,
            timing: Timing {
                host_us: 75_000,
                model_us: 75_000,
                guest_us: 5_000,
                ..Timing::default()
            },
            ..Receipt::default()
        }
    }

    #[test]
    fn every_microsecond_is_somewhere() {
        let call = json!({"seq": 1, "kind": "llm.generate", "args_hash": "", "status": "done",
            "args": null, "result": null, "at": 0, "ms": 75.0});
        let call: JournalItem = read(&call).unwrap();
        let lines = times(&receipt(), &[call]);
        let line = |name: &str| {
            let found = lines
                .iter()
                .find(|line| line.trim_start().starts_with(name));
            found
                .unwrap()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            line("1 llm.generate"),
            "1 llm.generate 75.0 ms 75 % ##################"
        );
        assert_eq!(line("guest"), "guest 5.0 ms 5 % #");
        assert_eq!(line("other"), "other 20.0 ms 20 % ####");
        assert!(line("all").starts_with("all 100.0 ms 100 %"));
    }

    #[test]
    fn an_unknown_cost_is_not_zero() {
        assert!(used(&receipt()).contains(&"cost    not known".to_owned()));
    }

    #[test]
    fn a_turn_without_receipt_is_explained_as_far_as_it_can_be() {
        let turn = json!({"turn": "t", "kind": "chat", "status": "queued", "agent": "a",
            "channel": "http", "created_at": 0});
        let turn: TurnView = read(&turn).unwrap();
        assert!(
            lines(&turn, &[], &[])
                .last()
                .unwrap()
                .contains("no receipt yet")
        );
    }
}
