//! What people write, as Slack writes it down: `mrkdwn`, in which references are
//! in angle brackets and `&`, `<` and `>` are escaped
//! (docs.slack.dev/messaging/formatting-message-text).

/// A text as plain text for an agent; where it speaks to `own`, that is left
/// out.
pub(super) fn read(text: &str, own: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        plain.push_str(&rest[..start]);
        rest = &rest[start..];
        let Some(end) = rest.find('>') else {
            break;
        };
        plain.push_str(&reference(&rest[1..end], own));
        rest = &rest[end + 1..];
    }
    plain.push_str(rest);
    unescape(plain.trim())
}

/// What stands in the place of a reference.
fn reference(inner: &str, own: &str) -> String {
    let (target, label) = match inner.split_once('|') {
        Some((target, label)) => (target, Some(label).filter(|label| !label.is_empty())),
        None => (inner, None),
    };
    let mut characters = target.chars();
    match characters.next() {
        Some('@') if characters.as_str() == own => String::new(),
        Some('@') => format!("@{}", label.unwrap_or(characters.as_str())),
        Some('#') => format!("#{}", label.unwrap_or(characters.as_str())),
        Some('!') => special(characters.as_str(), label),
        _ => match label {
            Some(label) if label != target => format!("{label} ({target})"),
            _ => target.to_owned(),
        },
    }
}

/// Groups, broadcasts, dates.
fn special(target: &str, label: Option<&str>) -> String {
    if target.starts_with("date^") {
        return label.unwrap_or_default().to_owned();
    }
    let name = label.unwrap_or_else(|| target.split('^').next().unwrap_or_default());
    format!("@{}", name.trim_start_matches('@'))
}

/// Once: what looks escaped afterwards was written so.
fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

/// Plain text as mrkdwn.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn references_are_readable() {
        for (written, meant) in [
            ("<@UBOT> hello", "hello"),
            ("hello <@UBOT|bot>", "hello"),
            ("ask <@U1|ada> or <@U2>", "ask @ada or @U2"),
            ("in <#C1|general>, <#C2>", "in #general, #C2"),
            (
                "<!here> <!subteam^S1|@team> <!subteam^S2>",
                "@here @team @subteam",
            ),
            ("<!date^1392734382^{date}|Feb 18>", "Feb 18"),
            ("<https://a.b/c?d=1&amp;e=2>", "https://a.b/c?d=1&e=2"),
            ("<https://a.b|here>", "here (https://a.b)"),
            ("<mailto:a@b.c|a@b.c>", "a@b.c (mailto:a@b.c)"),
            ("1 &lt; 2 &amp;&amp; 3 &gt; 2", "1 < 2 && 3 > 2"),
            ("&amp;lt;", "&lt;"),
            ("half a <bracket", "half a <bracket"),
            ("", ""),
        ] {
            assert_eq!(read(written, "UBOT"), meant, "{written}");
        }
    }

    proptest! {
        #[test]
        fn what_is_escaped_is_read_as_it_was(text in "\\PC*") {
            prop_assert_eq!(read(&escape(&text), "UBOT"), text.trim());
        }

        #[test]
        fn nothing_is_too_odd(text in ".*") {
            let said = read(&text, "UBOT");
            prop_assert!(!said.contains("<@UBOT>"));
        }
    }
}
