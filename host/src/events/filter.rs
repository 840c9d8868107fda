//! Filters of subscriptions: expressions over an event that say whether an
//! agent gets it. They compare and compute nothing, and are bounded in size and
//! in work, because they are evaluated where events are stored.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use lru::LruCache;
use minijinja::value::Serde;
use minijinja::{
    Environment, Error, ErrorKind, Expression, UndefinedBehavior, Value, context, filters, tests,
};
use tracing::warn;

use crate::store::{NewEvent, StoredEvent};

/// The longest filter, in bytes.
const MAX_FILTER_BYTES: usize = 500;

/// Instructions of one evaluation.
const FUEL: u64 = 2_000;

/// Filters that stay compiled.
const MOST_COMPILED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);

type Compiled = Expression<'static, 'static>;

/// Filters that were reported because they failed; beyond that it begins anew.
const MAX_REPORTED: usize = 1_000;

/// What a filter can ask for.
const NAMES: [&str; 7] = [
    "topic",
    "source",
    "priority",
    "correlation",
    "ordering_key",
    "hops",
    "data",
];

static LANGUAGE: LazyLock<Environment<'static>> = LazyLock::new(language);

/// Filters that were used lately.
static COMPILED: LazyLock<Mutex<LruCache<String, Arc<Compiled>>>> =
    LazyLock::new(|| Mutex::new(LruCache::new(MOST_COMPILED)));

static REPORTED: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// Checks the filter of a subscription.
///
/// # Errors
///
/// If it is too long, no expression, or uses what there is not.
pub fn check_filter(filter: &str) -> Result<()> {
    if filter.len() > MAX_FILTER_BYTES {
        bail!("a filter is at most {MAX_FILTER_BYTES} bytes");
    }
    if let Some(operator) = growing(filter) {
        bail!("the filter {filter:?} has {operator}: filters compare, they compute nothing");
    }
    let parsed = LANGUAGE
        .compile_expression(filter)
        .map_err(|error| anyhow!("{error}"))
        .with_context(|| format!("the filter {filter:?} is not an expression"))?;
    let mut unknown = parsed.undeclared_variables(false).into_iter();
    if let Some(name) = unknown.find(|name| !NAMES.contains(&name.as_str())) {
        bail!(
            "the filter {filter:?} asks for {name:?}; there are {}",
            NAMES.join(", ")
        );
    }
    let sample = context! {
        topic => "a.b", source => "system", priority => 5, correlation => (), ordering_key => (),
        hops => 0, data => context! {},
    };
    match parsed.eval(sample) {
        Err(error) if is_unknown(&error) => Err(anyhow!("{error}"))
            .with_context(|| format!("the filter {filter:?} uses what there is not")),
        _ => Ok(()),
    }
}

/// An operator that makes texts and lists grow, outside of quotes.
fn growing(filter: &str) -> Option<char> {
    let (mut quote, mut escaped) = (None, false);
    filter.chars().find(|&c| {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(end) if c == end => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None => return matches!(c, '+' | '*' | '~'),
        }
        false
    })
}

fn is_unknown(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnknownFilter
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownFunction
            | ErrorKind::UnknownMethod
    )
}

/// An event as filters see it; read only when one asks.
pub struct Facts<'a> {
    topic: &'a str,
    source: &'a str,
    priority: i64,
    correlation: Option<&'a str>,
    ordering_key: Option<&'a str>,
    hops: i64,
    data: &'a str,
    values: OnceCell<Value>,
}

impl Facts<'_> {
    /// Whether a filter of `agent` lets the event through. One that cannot be
    /// evaluated does not.
    pub fn pass(&self, agent: &str, filter: &str) -> bool {
        if filter.is_empty() {
            return true;
        }
        self.evaluate(filter).unwrap_or_else(|error| {
            report(agent, filter, &error);
            false
        })
    }

    fn evaluate(&self, filter: &str) -> Result<bool, Error> {
        let values = self.values.get_or_init(|| self.read()).clone();
        let answer = compiled(filter)?.eval(values)?;
        Ok(answer.is_true())
    }

    fn read(&self) -> Value {
        let data: serde_json::Value = serde_json::from_str(self.data).unwrap_or_default();
        context! {
            topic => self.topic, source => self.source, priority => self.priority,
            correlation => self.correlation, ordering_key => self.ordering_key,
            hops => self.hops, data => Value::from(Serde(&data)),
        }
    }
}

impl<'a> From<&'a NewEvent> for Facts<'a> {
    fn from(event: &'a NewEvent) -> Self {
        Self {
            topic: &event.topic,
            source: &event.source,
            priority: event.priority.into(),
            correlation: event.correlation.as_deref(),
            ordering_key: event.ordering_key.as_deref(),
            hops: event.hops.into(),
            data: &event.data,
            values: OnceCell::new(),
        }
    }
}

impl<'a> From<&'a StoredEvent> for Facts<'a> {
    fn from(event: &'a StoredEvent) -> Self {
        Self {
            topic: &event.topic,
            source: &event.source,
            priority: event.priority,
            correlation: event.correlation.as_deref(),
            ordering_key: event.ordering_key.as_deref(),
            hops: event.hops,
            data: &event.data,
            values: OnceCell::new(),
        }
    }
}

/// A filter ready for use: events are many, filters few, and all events are
/// stored by one thread.
fn compiled(filter: &str) -> Result<Arc<Compiled>, Error> {
    let cache = || COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = cache().get(filter) {
        return Ok(Arc::clone(known));
    }
    let compiled = Arc::new(LANGUAGE.compile_expression_owned(filter.to_owned())?);
    cache().put(filter.to_owned(), Arc::clone(&compiled));
    Ok(compiled)
}

/// Says once that a filter cannot be evaluated.
fn report(agent: &str, filter: &str, error: &Error) {
    let mut reported = REPORTED.lock().unwrap_or_else(PoisonError::into_inner);
    if reported.len() >= MAX_REPORTED {
        reported.clear();
    }
    if reported.insert(format!("{agent} {filter}")) {
        warn!(agent, filter, %error, "the filter of a subscription failed, so the event does not match; this is said once");
    }
}

fn language() -> Environment<'static> {
    let mut language = Environment::empty();
    language.set_undefined_behavior(UndefinedBehavior::Strict);
    language.set_fuel(Some(FUEL));
    language.set_recursion_limit(32);
    language.add_filter("default", filters::default);
    language.add_filter("length", filters::length);
    language.add_filter("lower", filters::lower);
    language.add_filter("upper", filters::upper);
    language.add_test("defined", tests::is_defined);
    language.add_test("undefined", tests::is_undefined);
    language.add_test("none", tests::is_none);
    language.add_test("string", tests::is_string);
    language.add_test("number", tests::is_number);
    language.add_test("boolean", tests::is_boolean);
    language.add_test("sequence", tests::is_sequence);
    language.add_test("mapping", tests::is_mapping);
    language.add_test("startingwith", tests::is_startingwith);
    language.add_test("endingwith", tests::is_endingwith);
    language
}

#[cfg(test)]
mod unit {
    use super::*;
    use crate::testing::capture;

    fn event(data: &str) -> NewEvent {
        NewEvent {
            data: data.to_owned(),
            correlation: Some("c-1".to_owned()),
            ..super::super::of_host("default", "order.paid", &().into())
        }
    }

    fn passes(filter: &str, data: &str) -> bool {
        Facts::from(&event(data)).pass("a", filter)
    }

    #[test]
    fn filters_compare_what_an_event_says() {
        let data = r#"{"total": 12.5, "tags": ["new"], "who": {"name": "Ada"}, "none": null}"#;
        for (filter, expected) in [
            ("data.total > 10", true),
            ("data.total > 10 and data.who.name == 'Ada'", true),
            ("data.total > 100 or 'new' in data.tags", true),
            ("data.who.name | lower == 'ada'", true),
            ("topic is startingwith('order.') and priority == 5", true),
            ("source == 'system' and correlation == 'c-1'", true),
            ("ordering_key is none and hops == 0", true),
            ("data.tags | length > 1", false),
            ("not data.tags", false),
            ("data.none is none and data.missing is not defined", true),
            ("data.missing | default(7) == 7", true),
            ("data.total in [12.5, '1+1']", true),
        ] {
            check_filter(filter).unwrap();
            assert_eq!(passes(filter, data), expected, "{filter}");
        }
    }

    #[test]
    fn what_cannot_be_evaluated_does_not_match_and_is_said_once() {
        let log = capture(tracing::Level::WARN);
        for _ in 0..3 {
            assert!(!passes("data.once.gone == 1", "{}"));
            assert!(!passes("data.n > 1", "[]"));
        }
        let log = log.text();
        assert_eq!(log.matches("data.once.gone").count(), 1, "{log}");
    }

    #[test]
    fn filters_are_compiled_once_and_not_all_are_kept() {
        let first = compiled("hops == 0").unwrap();
        assert!(Arc::ptr_eq(&first, &compiled("hops == 0").unwrap()));
        for number in 0..=MOST_COMPILED.get() {
            compiled(&format!("hops == {number}")).unwrap();
        }
        assert_eq!(COMPILED.lock().unwrap().len(), MOST_COMPILED.get());
        assert!(!Arc::ptr_eq(&first, &compiled("hops == 0").unwrap()));
    }

    #[test]
    fn what_is_no_filter_is_refused_with_a_sentence() {
        let long = format!("topic == '{}'", "x".repeat(MAX_FILTER_BYTES));
        for (filter, part) in [
            ("", "is not an expression"),
            ("data.total >", "is not an expression"),
            ("{{ topic }}", "is not an expression"),
            ("subject == 'x'", "asks for \"subject\""),
            ("range(10)", "asks for \"range\""),
            ("data | tojson", "uses what there is not"),
            ("topic is odd", "uses what there is not"),
            ("data.a ~ data.a", "has ~"),
            ("data.a * 2 > 1", "has *"),
            (long.as_str(), "at most 500 bytes"),
        ] {
            let error = format!("{:#}", check_filter(filter).unwrap_err());
            assert!(error.contains(part), "{filter}: {error}");
        }
    }
}
