//! What Markdown is made of, as far as cutting it needs to know.

/// The longest line that opens a fence as it stands; more is not a language.
const MAX_OPENING: usize = 32;

/// The longest fence and the deepest indentation that are taken for one.
const MAX_MARK: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    List,
    Quote,
    Code,
    Table,
}

impl Kind {
    /// The end of a part.
    pub(super) fn trimmed(self, part: &str) -> &str {
        match self {
            Self::Code => part.strip_suffix('\n').unwrap_or(part),
            _ => part.trim_end(),
        }
    }

    /// What goes on after a part; `is_line` where that ended with its line.
    pub(super) fn continued(self, rest: &str, is_line: bool) -> &str {
        match self {
            Self::Code if is_line => rest,
            Self::Code => rest.strip_prefix('\n').unwrap_or(rest),
            _ if is_line => rest,
            _ => rest.strip_prefix('\n').unwrap_or_else(|| rest.trim_start()),
        }
    }
}

/// A part of an answer that Slack shows as one.
#[derive(Debug)]
pub(super) struct Block<'a> {
    pub(super) kind: Kind,
    /// Whether an empty line stands before it.
    pub(super) is_apart: bool,
    /// What each part of it begins with: the opened fence, the table's head.
    pub(super) before: String,
    pub(super) after: String,
    pub(super) body: Vec<&'a str>,
}

/// The blocks of an answer, in order.
pub(super) fn blocks(markdown: &str) -> Vec<Block<'_>> {
    let lines: Vec<&str> = markdown.split('\n').collect();
    let mut rest = lines.as_slice();
    let mut blocks = Vec::new();
    let mut is_apart = false;
    while let Some(line) = rest.first() {
        if line.trim().is_empty() {
            (is_apart, rest) = (true, &rest[1..]);
            continue;
        }
        let (mut block, after) = block(rest);
        block.is_apart = std::mem::take(&mut is_apart);
        blocks.push(block);
        rest = after;
    }
    blocks
}

fn block<'a, 'b>(lines: &'b [&'a str]) -> (Block<'a>, &'b [&'a str]) {
    if let Some(fence) = Fence::opened(lines[0]) {
        return fence.block(lines);
    }
    if is_table(lines) {
        return table(lines);
    }
    let kind = kind(lines[0]);
    let goes_on = |line: &&str| !line.trim().is_empty() && line_kind(line, kind) == kind;
    let begins = |at: usize| Fence::opened(lines[at]).is_some() || is_table(&lines[at..]);
    let ends = |at: &usize| !goes_on(&lines[*at]) || begins(*at) || stands_alone(lines[*at]);
    let size = if stands_alone(lines[0]) {
        1
    } else {
        (1..lines.len()).find(ends).unwrap_or(lines.len())
    };
    let (body, rest) = lines.split_at(size);
    (plain_block(kind, body), rest)
}

fn plain_block<'a>(kind: Kind, body: &[&'a str]) -> Block<'a> {
    Block {
        kind,
        is_apart: false,
        before: String::new(),
        after: String::new(),
        body: body.to_vec(),
    }
}

/// Headings and rules.
fn stands_alone(line: &str) -> bool {
    let line = line.trim();
    let is_rule = |mark: char| {
        line.len() > 2 && line.starts_with(mark) && line.chars().all(|c| c == mark || c == ' ')
    };
    line.starts_with('#') || ['-', '*', '_'].into_iter().any(is_rule)
}

fn kind(line: &str) -> Kind {
    let line = line.trim_start();
    if line.starts_with('>') {
        Kind::Quote
    } else if item(line) > 0 {
        Kind::List
    } else {
        Kind::Text
    }
}

/// An indented line goes on with what it stands below.
fn line_kind(line: &str, above: Kind) -> Kind {
    match kind(line) {
        Kind::Text if above == Kind::List && line.starts_with([' ', '\t']) => Kind::List,
        kind => kind,
    }
}

/// How long the mark of an item is; 0 where there is none.
fn item(line: &str) -> usize {
    let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let mark = match line.as_bytes().get(digits) {
        Some(b'-' | b'*' | b'+') if digits == 0 => 1,
        Some(b'.' | b')') if (1..10).contains(&digits) => digits + 1,
        _ => return 0,
    };
    match line.as_bytes().get(mark) {
        Some(b' ') => mark + 1,
        _ => 0,
    }
}

/// How code is fenced.
pub(super) struct Fence<'a> {
    /// The quote or the indentation before the mark.
    prefix: &'a str,
    /// The item's mark that stands before it.
    item: &'a str,
    mark: &'a str,
    info: &'a str,
}

impl<'a> Fence<'a> {
    pub(super) fn opened(line: &'a str) -> Option<Self> {
        let (prefix, rest) = prefix(line);
        let (item, rest) = rest.split_at(item(rest));
        let item_gap = rest.len() - rest.trim_start_matches(' ').len();
        let rest = &rest[item_gap..];
        let fence = rest.chars().next().filter(|c| matches!(c, '`' | '~'))?;
        let info = rest.trim_start_matches(fence);
        let mark = &rest[..rest.len() - info.len()];
        let is_short = mark.len() <= MAX_MARK && prefix.len() <= MAX_MARK;
        let is_fence = mark.len() >= 3 && is_short && !(fence == '`' && info.contains('`'));
        is_fence.then_some(Self {
            prefix,
            item,
            mark,
            info: info.trim(),
        })
    }

    pub(super) fn is_closed_by(&self, line: &str) -> bool {
        let (indent, rest) = prefix(line);
        let rest = rest.trim_end();
        let quotes = |prefix: &str| prefix.matches('>').count();
        rest.len() >= self.mark.len()
            && rest.trim_start_matches(&self.mark[..1]).is_empty()
            && quotes(indent) == quotes(self.prefix)
    }

    /// What follows the mark and is too long for a language: it is taken for code.
    pub(super) fn long_info(&self) -> &'a str {
        match self.info.chars().nth(MAX_OPENING) {
            Some(_) => self.info,
            None => "",
        }
    }

    fn block<'b>(&self, lines: &'b [&'a str]) -> (Block<'a>, &'b [&'a str]) {
        let inner = &lines[1..];
        let size = inner.iter().position(|line| self.is_closed_by(line));
        let (body, rest) = match size {
            Some(size) => (&inner[..size], &inner[size + 1..]),
            None => (inner, &inner[inner.len()..]),
        };
        let mut body = body.to_vec();
        while size.is_none() && body.last().is_some_and(|line| line.trim().is_empty()) {
            body.pop();
        }
        let mut before = format!("{}{}{}{}\n", self.prefix, self.item, self.mark, self.info);
        if !self.long_info().is_empty() {
            before = format!("{}{}{}\n", self.prefix, self.item, self.mark);
            body.insert(0, self.info);
        }
        let indent = " ".repeat(self.item.len());
        let mut after = format!("\n{}{indent}{}", self.prefix, self.mark);
        if body.is_empty() {
            after.remove(0);
        }
        let block = Block {
            kind: Kind::Code,
            is_apart: false,
            before,
            after,
            body,
        };
        (block, rest)
    }
}

fn prefix(line: &str) -> (&str, &str) {
    let rest = line.trim_start_matches([' ', '\t', '>']);
    line.split_at(line.len() - rest.len())
}

/// A head, and below it the line that makes it one.
fn is_table(lines: &[&str]) -> bool {
    let [head, line, ..] = lines else {
        return false;
    };
    let is_line = line.contains('-') && line.contains('|');
    head.contains('|')
        && is_line
        && line
            .trim()
            .chars()
            .all(|c| matches!(c, '|' | '-' | ':' | ' '))
}

fn table<'a, 'b>(lines: &'b [&'a str]) -> (Block<'a>, &'b [&'a str]) {
    let (head, rows) = lines.split_at(2);
    let is_row = |line: &&str| line.contains('|') && Fence::opened(line).is_none();
    let size = rows
        .iter()
        .position(|line| !is_row(line))
        .unwrap_or(rows.len());
    let (rows, rest) = rows.split_at(size);
    if rows.is_empty() {
        return (plain_block(Kind::Table, head), rest);
    }
    let block = Block {
        before: format!("{}\n{}\n", head[0], head[1]),
        ..plain_block(Kind::Table, rows)
    };
    (block, rest)
}
