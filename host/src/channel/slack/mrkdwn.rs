//! Slack's own markup, mrkdwn: what people wrote as plain text, and plain text
//! as what Slack shows unchanged.

/// What a person wrote, for an agent: names in place of Slack's tokens, entities
/// decoded once, and without our own mention.
pub(super) fn read(text: &str, own_user: &str) -> String {
    let mut reader = Reader {
        out: String::with_capacity(text.len()),
        rest: text,
        own: own_user,
    };
    while !reader.rest.is_empty() {
        reader.step();
    }
    reader.out
}

/// Text as Slack shows it unchanged, where it reads mrkdwn.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Whether a user is mentioned outside code.
pub(super) fn mentions(text: &str, user: &str) -> bool {
    let mut rest = text;
    while let Some((part, after)) = next(rest) {
        if let Part::Token(token) = part
            && mentioned(token) == Some(user)
        {
            return true;
        }
        rest = after;
    }
    false
}

/// What a text is made of.
enum Part<'a> {
    Plain(&'a str),
    /// With its backticks.
    Code(&'a str),
    /// Between `<` and `>`.
    Token(&'a str),
}

/// The next part, and what follows; none at the end.
fn next(text: &str) -> Option<(Part<'_>, &str)> {
    let first = text.chars().next()?;
    if first == '`'
        && let Some(size) = code(text)
    {
        let (code, rest) = text.split_at(size);
        return Some((Part::Code(code), rest));
    }
    if first == '<'
        && let Some(token) = token(text)
    {
        return Some((Part::Token(token), &text[token.len() + 2..]));
    }
    // Backticks that open nothing go together: a part of them opens nothing too.
    let own = if first == '`' {
        text.len() - text.trim_start_matches('`').len()
    } else {
        first.len_utf8()
    };
    let size = text[own..]
        .find(['`', '<'])
        .map_or(text.len(), |at| own + at);
    let (plain, rest) = text.split_at(size);
    Some((Part::Plain(plain), rest))
}

/// How long the code is with which a text begins.
fn code(text: &str) -> Option<usize> {
    const FENCE: &str = "```";
    if let Some(inner) = text.strip_prefix(FENCE) {
        return Some(inner.find(FENCE)? + 2 * FENCE.len());
    }
    let inner = text.strip_prefix('`')?;
    let size = inner.find(['`', '\n'])?;
    (size > 0 && inner[size..].starts_with('`')).then_some(size + 2)
}

/// What stands in the angle brackets with which a text begins.
fn token(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('<')?;
    let size = inner.find(['<', '>', '\n'])?;
    (size > 0 && inner[size..].starts_with('>')).then(|| &inner[..size])
}

fn mentioned(token: &str) -> Option<&str> {
    let user = token.strip_prefix('@')?;
    Some(user.split_once('|').map_or(user, |(user, _)| user))
}

struct Reader<'a> {
    out: String,
    rest: &'a str,
    own: &'a str,
}

impl Reader<'_> {
    fn step(&mut self) {
        let Some((part, rest)) = next(self.rest) else {
            return;
        };
        self.rest = rest;
        match part {
            Part::Plain(text) => self.out.push_str(&decode(text)),
            Part::Code(code) => self.out.push_str(&unlinked(code)),
            Part::Token(token) if mentioned(token) == Some(self.own) => self.leave_out(),
            Part::Token(token) => self.out.push_str(&shown(token)),
        }
    }

    /// Our mention goes, and with it the space that it would leave.
    fn leave_out(&mut self) {
        if self.rest.trim_start().is_empty() {
            self.out.truncate(self.out.trim_end().len());
            self.rest = "";
        } else if self.out.trim_start().is_empty() {
            self.out.clear();
            let rest = self.rest.trim_start();
            let said = rest.strip_prefix([',', ':']);
            let said = said.filter(|said| said.starts_with(char::is_whitespace));
            self.rest = said.unwrap_or(rest).trim_start();
        } else if self.rest.starts_with(['.', ',', ';', ':', '!', '?']) {
            self.out.truncate(self.out.trim_end_matches(' ').len());
        } else if self.out.ends_with(char::is_whitespace) {
            self.rest = self.rest.trim_start_matches(' ');
        }
    }
}

/// Slack makes links of addresses in code too; there they are as they were
/// written again. Other tokens stay, because somebody meant to show them.
fn unlinked(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find('<') {
        let (before, from) = rest.split_at(at);
        out.push_str(&decode(before));
        let link = token(from).filter(|token| is_address(token));
        if let Some(link) = link {
            let written = link.split_once('|').map_or(link, |(_, label)| label);
            out.push_str(&decode(written));
            rest = &from[link.len() + 2..];
        } else {
            out.push('<');
            rest = &from[1..];
        }
    }
    out.push_str(&decode(rest));
    out
}

/// A token as a person sees it.
fn shown(token: &str) -> String {
    let (target, label) = match token.split_once('|') {
        Some((target, label)) => (target, Some(label).filter(|label| !label.is_empty())),
        None => (token, None),
    };
    if let Some(user) = target.strip_prefix('@') {
        return named('@', label.unwrap_or(user));
    }
    if let Some(channel) = target.strip_prefix('#') {
        return named('#', label.unwrap_or(channel));
    }
    if let Some(command) = target.strip_prefix('!') {
        return special(command, label).unwrap_or_else(|| format!("<{}>", decode(token)));
    }
    if !is_address(target) {
        return format!("<{}>", decode(token));
    }
    link(&decode(target), label.map(decode).as_deref())
}

/// Some labels have their sign already.
fn named(sign: char, name: &str) -> String {
    let name = decode(name);
    format!("{sign}{}", name.strip_prefix(sign).unwrap_or(&name))
}

fn special(command: &str, label: Option<&str>) -> Option<String> {
    match command.split('^').next() {
        Some("here" | "channel" | "everyone" | "group") => Some(named('@', command)),
        Some("subteam") => Some(named('@', label.or(command.split('^').nth(1))?)),
        // A date, or what Slack adds one day: the words for those who do not know it.
        _ => label.map(decode),
    }
}

/// Slack makes a link of `example.com` by itself; the person wrote only that.
fn link(url: &str, label: Option<&str>) -> String {
    let bare = |scheme| url.strip_prefix(scheme);
    let schemes = ["http://", "https://", "mailto:", "tel:"];
    match label {
        None => schemes[2..].iter().find_map(bare).unwrap_or(url).to_owned(),
        Some(label) if label == url => url.to_owned(),
        Some(label) if schemes.iter().filter_map(bare).any(|url| url == label) => label.to_owned(),
        Some(label) => format!("{label} ({url})"),
    }
}

/// Whether it begins with a scheme, as addresses do.
fn is_address(target: &str) -> bool {
    let scheme = target.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_of_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(is_of_scheme)
}

/// Slack escapes these three and no more. The ampersand comes last: what it
/// makes is not decoded again.
fn decode(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests;
