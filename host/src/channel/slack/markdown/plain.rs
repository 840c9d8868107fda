//! An answer without its markup, for notifications.

/// What a notification may have, in bytes as Slack counts them, escaped: it refuses
/// more than 4,000 where a message is changed.
const MAX_PLAIN: usize = 3_900;

/// A short text without markup. Slack reads its own there too, so angle brackets
/// are escaped; entities that are there stay as they are.
pub(in crate::channel::slack) fn plain(markdown: &str) -> String {
    let lines = markdown.lines().filter_map(line);
    let mut out = String::new();
    for line in lines {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&line);
        // No more is needed, and answers can be long.
        if out.len() > 8 * MAX_PLAIN {
            break;
        }
    }
    if out.is_empty() {
        out = markdown.trim().to_owned();
    }
    shortened(&out.replace('<', "&lt;").replace('>', "&gt;"))
}

/// A line's words; none where it is only markup.
fn line(line: &str) -> Option<String> {
    let line = line.trim().trim_start_matches(['>', ' ']);
    let is_fence = line.starts_with("```") || line.starts_with("~~~");
    let is_rule = line.len() > 2
        && line
            .chars()
            .all(|c| matches!(c, '-' | '|' | ':' | ' ' | '*' | '_' | '='));
    if is_fence || is_rule || line.is_empty() {
        return None;
    }
    let heading = line.trim_start_matches('#');
    let line = if heading.starts_with(' ') {
        heading.trim_start()
    } else {
        line
    };
    let line = match line.strip_prefix(['-', '*', '+']) {
        Some(item) if item.starts_with(' ') => format!("•{item}"),
        _ => line.to_owned(),
    };
    let words = words(&cells(&line));
    (!words.is_empty()).then_some(words)
}

/// The cells of a table's row, if it is one.
fn cells(line: &str) -> String {
    let inner = line
        .strip_prefix('|')
        .and_then(|line| line.strip_suffix('|'));
    match inner {
        Some(inner) => {
            let cells: Vec<_> = inner.split('|').map(str::trim).collect();
            cells.join(" · ")
        }
        None => line.to_owned(),
    }
}

/// Words without the marks in a line; code stays as it is.
fn words(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for (at, part) in line.split('`').enumerate() {
        if at % 2 == 1 {
            out.push_str(part);
        } else {
            out.push_str(&unmarked(&unlinked(part)));
        }
    }
    out.trim().to_owned()
}

/// Links as their words.
fn unlinked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(middle) = rest.find("](") {
        let (before, after) = (&rest[..middle], &rest[middle + 2..]);
        let (Some(open), Some(close)) = (before.rfind('['), end_of_link(after)) else {
            out.push_str(&rest[..middle + 2]);
            rest = after;
            continue;
        };
        let label = &before[open + 1..];
        out.push_str(before[..open].trim_end_matches('!'));
        out.push_str(if label.is_empty() {
            &after[..close]
        } else {
            label
        });
        rest = &after[close + 1..];
    }
    out + rest
}

/// No address is longer.
const MAX_ADDRESS: usize = 2_048;

/// Where the parenthesis closes that was open before; an address may have more.
fn end_of_link(address: &str) -> Option<usize> {
    let mut open = 1;
    let end = address.char_indices().take(MAX_ADDRESS).find(|(_, c)| {
        match c {
            '(' => open += 1,
            ')' => open -= 1,
            _ => {}
        }
        open == 0
    });
    end.map(|(at, _)| at)
}

/// Marks of emphasis touch a word on one side only: `snake_case` and `2 * 3` have
/// none.
fn unmarked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if !matches!(first, '*' | '_' | '~') {
            out.push(first);
            (before, rest) = (first, &rest[first.len_utf8()..]);
            continue;
        }
        let after = rest.trim_start_matches(first);
        let run = &rest[..rest.len() - after.len()];
        let next = after.chars().next().unwrap_or(' ');
        let is_open = !before.is_alphanumeric() && !next.is_whitespace();
        let is_close = !before.is_whitespace() && !next.is_alphanumeric();
        let is_mark = (is_open || is_close) && (first != '~' || run.len() == 2) && run.len() < 4;
        if !is_mark {
            out.push_str(run);
        }
        (before, rest) = (first, after);
    }
    out
}

/// At most [`MAX_PLAIN`], and no half of an entity.
fn shortened(text: &str) -> String {
    let mut size = 0;
    let too_much = text.char_indices().find(|(_, c)| {
        // Slack escapes it, and may escape it again.
        size += if *c == '&' { 5 } else { c.len_utf8() };
        size > MAX_PLAIN
    });
    let Some((end, _)) = too_much else {
        return text.to_owned();
    };
    let mut kept = &text[..end];
    if let Some(start) = kept.rfind('&')
        && !kept[start..].contains(';')
        && end - start < 8
    {
        kept = &kept[..start];
    }
    format!("{}…", kept.trim_end())
}
