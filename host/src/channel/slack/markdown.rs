//! An agent's answer, standard Markdown, as what Slack is given: harmless, in
//! pieces that Slack takes, and as one line of notification.

mod blocks;
mod plain;

use blocks::{Block, Fence, Kind, blocks};

pub(super) use plain::plain;

/// What one message takes, counted as Slack shows it: 50, and room for a footer.
const MAX_BLOCKS: usize = 45;

/// No piece can be shorter than this, because a fence must have room in it.
const MIN_PIECE: usize = 256;

/// How far the end of what must not be cut is looked for, in bytes.
const LOOK_AHEAD: usize = 512;

/// How many words are tried.
const MOST_WORDS: usize = 256;

/// Links can be longer than anything else.
const LONGEST_LINK: usize = 2_048;

/// The same words without anything that Slack would read as its own: mentions,
/// commands, links that hide where they go.
///
/// Ampersands stay: Slack does not look at what it decodes once more, and in
/// links it does not decode. The marks of quotes stay, because nothing opens what
/// they could close.
pub(super) fn safe(markdown: &str) -> String {
    let mut out = String::with_capacity(markdown.len());
    for line in markdown.split_inclusive('\n') {
        let (quote, words) = line.split_at(quote_mark(line));
        out.push_str(quote);
        out.push_str(&words.replace('<', "&lt;").replace('>', "&gt;"));
    }
    out
}

/// How long the mark is that makes a line a quote.
fn quote_mark(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '>']).len()
}

/// The answer in pieces of at most `max` scalars (but see [`MIN_PIECE`]), each of
/// them Markdown by itself: code and tables that are cut begin again as such.
pub(super) fn pieces(markdown: &str, max: usize) -> Vec<String> {
    let mut pages = Pages::new(max.max(MIN_PIECE));
    for block in blocks(markdown) {
        pages.add(&block);
    }
    pages.turn();
    pages.done
}

/// Pages being filled.
struct Pages {
    max: usize,
    done: Vec<String>,
    page: String,
    /// Scalars on the page.
    size: usize,
    /// What Slack makes of the page.
    blocks: usize,
    last: Option<Kind>,
}

impl Pages {
    fn new(max: usize) -> Self {
        Self {
            max,
            done: Vec::new(),
            page: String::new(),
            size: 0,
            blocks: 0,
            last: None,
        }
    }

    /// Begins another page.
    fn turn(&mut self) {
        let page = std::mem::take(&mut self.page);
        if !page.trim().is_empty() {
            self.done.push(page);
        }
        (self.size, self.blocks, self.last) = (0, 0, None);
    }

    fn add(&mut self, block: &Block<'_>) {
        let body = block.body.join("\n");
        let wrap = Wrap {
            before: &block.before,
            after: &block.after,
        };
        let gap = if block.is_apart { "\n\n" } else { "\n" };
        if wrap.size() <= self.max / 2 {
            self.pour(block.kind, gap, &wrap, &body);
        } else {
            // Too long a head to say it again.
            let whole = format!("{}{body}{}", wrap.before, wrap.after);
            self.pour(block.kind, gap, &Wrap::default(), &whole);
        }
    }

    /// Fills pages with a block as long as it does not fit on one.
    fn pour(&mut self, kind: Kind, gap: &str, wrap: &Wrap<'_>, body: &str) {
        let mut rest = body;
        loop {
            if !self.has_place_for(kind) {
                self.turn();
            }
            let size = size(rest);
            let room = match self.room(gap, wrap) {
                Some(room) if size <= room => return self.put(kind, gap, wrap, rest),
                Some(room) if !self.is_better_on_another(size + wrap.size()) => room,
                _ => {
                    self.turn();
                    continue;
                }
            };
            let (now, later) = rest.split_at(cut(rest, room, kind));
            self.put(kind, gap, wrap, kind.trimmed(now));
            self.turn();
            rest = kind.continued(later, now.ends_with('\n'));
            if rest.is_empty() {
                return;
            }
        }
    }

    /// A list goes on where its items stand apart.
    fn goes_on(&self, kind: Kind) -> bool {
        kind == Kind::List && self.last == Some(kind)
    }

    fn has_place_for(&self, kind: Kind) -> bool {
        self.blocks < MAX_BLOCKS || self.goes_on(kind)
    }

    /// A page that is nearly empty is not left behind, as that of a heading.
    fn is_better_on_another(&self, size: usize) -> bool {
        let is_early = self.size < self.max / 4;
        !self.page.is_empty() && (!is_early || size <= self.max / 2)
    }

    /// The room for the body of a block; none where not even its wrap has place.
    fn room(&self, gap: &str, wrap: &Wrap<'_>) -> Option<usize> {
        let gap = if self.page.is_empty() { 0 } else { gap.len() };
        self.max.checked_sub(self.size + gap + wrap.size())
    }

    fn put(&mut self, kind: Kind, gap: &str, wrap: &Wrap<'_>, body: &str) {
        let gap = if self.page.is_empty() { "" } else { gap };
        for part in [gap, wrap.before, body, wrap.after] {
            self.page.push_str(part);
            self.size += size(part);
        }
        if !self.goes_on(kind) {
            self.blocks += 1;
        }
        self.last = Some(kind);
    }
}

/// What stands around each part of a block.
#[derive(Default)]
struct Wrap<'a> {
    before: &'a str,
    after: &'a str,
}

impl Wrap<'_> {
    fn size(&self) -> usize {
        size(self.before) + size(self.after)
    }
}

/// As Slack counts: Unicode scalars.
fn size(text: &str) -> usize {
    text.chars().count()
}

/// Where to cut so that at most `room` scalars come before: behind a line, else
/// behind a word, else anywhere. Never at 0.
fn cut(text: &str, room: usize, kind: Kind) -> usize {
    let end = text.char_indices().nth(room.max(1));
    let end = end.map_or(text.len(), |(at, _)| at);
    let held = match kind {
        Kind::Code => Vec::new(),
        _ => held(&text[..ahead(text, end, LONGEST_LINK)]),
    };
    let is_free = |at: &usize| {
        let before = held.partition_point(|(start, _)| start < at);
        before == 0 || held[before - 1].1 <= *at
    };
    let behind = |is_end: fn(char) -> bool| {
        let ends = text[..end].char_indices().rev();
        let ends = ends.filter(move |(_, c)| is_end(*c));
        ends.map(|(at, c)| at + c.len_utf8())
    };
    let line_ends = text[end..].starts_with('\n').then_some(end);
    let line = line_ends
        .into_iter()
        .chain(behind(|c| c == '\n'))
        .find(is_free);
    let mut words = behind(char::is_whitespace).take(MOST_WORDS);
    line.or_else(|| words.find(|at| is_free(at) && is_clean(text, *at)))
        .unwrap_or_else(|| anywhere(text, end))
}

/// A place some bytes behind another, or the nearest before it.
fn ahead(text: &str, from: usize, bytes: usize) -> usize {
    text.floor_char_boundary(from.saturating_add(bytes))
}

/// Whether neither part of a line that is cut would be a fence.
fn is_clean(text: &str, at: usize) -> bool {
    let (head, tail) = text.split_at(at);
    let head = head.rsplit('\n').next().unwrap_or_default();
    let tail = tail.trim_start().lines().next().unwrap_or_default();
    !head.is_empty() && !is_fence(head) && !is_fence(tail)
}

fn is_fence(line: &str) -> bool {
    let line = line.trim();
    let is_of = |mark: char| line.len() > 2 && line.chars().all(|c| c == mark);
    Fence::opened(line).is_some() || is_of('`') || is_of('~')
}

/// The last place up to `end` that is not in an entity and makes no fence.
fn anywhere(text: &str, end: usize) -> usize {
    let mut at = end;
    if let Some(start) = text[..end].rfind('&') {
        let entity = entity_end(&text[start..]);
        if entity.is_some_and(|size| start + size > end) {
            at = start;
        }
    }
    let before = text[..at].char_indices().rev().map(|(at, _)| at).take(64);
    let line = text[..end].rfind('\n').map_or(0, |at| at + 1);
    // Two marks of a fence are none yet.
    let marks = text[line..end].find(['`', '~']).map(|at| line + at + 2);
    let mut places = std::iter::once(at).chain(before).chain(marks);
    places
        .find(|at| *at <= end && text.is_char_boundary(*at) && is_clean(text, *at))
        .unwrap_or(end)
}

/// What must not be cut: links, code in a line, what stands in angle brackets.
/// Sorted, and none within another.
fn held(text: &str) -> Vec<(usize, usize)> {
    let mut held: Vec<(usize, usize)> = Vec::new();
    let mut brackets = Vec::new();
    let mut at = 0;
    while let Some(next) = text[at..].find(['[', ']', '`', '<', '&']) {
        let start = at + next;
        let rest = &text[start..];
        at = start + 1;
        let from_to = match rest.as_bytes()[0] {
            b'[' => {
                brackets.push(start);
                None
            }
            b']' => brackets.pop().and_then(|open| {
                let target = target(&rest[1..])?;
                Some((open, start + 1 + target))
            }),
            b'`' => {
                let ticks = rest.len() - rest.trim_start_matches('`').len();
                at = start + ticks;
                code(rest, ticks).map(|size| (start, start + size))
            }
            b'<' => until(&rest[1..], ">", LOOK_AHEAD).map(|size| (start, start + 1 + size)),
            _ => entity(rest).map(|size| (start, start + size)),
        };
        if let Some((from, to)) = from_to {
            while held.last().is_some_and(|(start, _)| *start >= from) {
                held.pop();
            }
            held.push((from, to));
            at = at.max(to);
        }
    }
    held
}

/// How long the target of a link is, with its brackets.
fn target(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('(')?;
    Some(1 + until(inner, ")", LONGEST_LINK)?)
}

/// How long code in a line is that begins with so many backticks.
fn code(text: &str, ticks: usize) -> Option<usize> {
    let (fence, inner) = text.split_at(ticks);
    Some(ticks + until(inner, fence, LOOK_AHEAD)?)
}

/// `&lt;…&gt;` is held together as `<…>` is, another entity by itself.
fn entity(text: &str) -> Option<usize> {
    let token = text.strip_prefix("&lt;");
    let token = token.and_then(|inner| until(inner, "&gt;", LOOK_AHEAD));
    token
        .map(|size| size + "&lt;".len())
        .or_else(|| entity_end(text))
}

/// How long an entity is; those with meaning here are short.
fn entity_end(text: &str) -> Option<usize> {
    let size = text.bytes().take(8).position(|byte| byte == b';');
    size.map(|size| size + 1)
}

/// How far the end is, with the end, in the same paragraph.
fn until(text: &str, end: &str, bytes: usize) -> Option<usize> {
    let near = &text[..ahead(text, 0, bytes)];
    Some(near.find(end)? + end.len())
}

#[cfg(test)]
mod tests;
