//! The calculator: expressions of numbers, bounded in size and in work.

use std::sync::LazyLock;

use minijinja::{Environment, Error, ErrorKind, Value, context};

/// The longest expression, in bytes.
const MAX_BYTES: usize = 1_000;

/// Instructions of one evaluation.
const FUEL: u64 = 10_000;

type Function = fn(f64) -> f64;

static LANGUAGE: LazyLock<Environment<'static>> = LazyLock::new(language);

/// The value of an expression.
///
/// # Errors
///
/// Why it has none, in a sentence.
pub(super) fn calculate(expression: &str) -> Result<String, String> {
    if expression.len() > MAX_BYTES {
        return Err(format!("an expression is at most {MAX_BYTES} bytes"));
    }
    // No texts and no lists: they could grow.
    let plain = |c: char| c.is_ascii_alphanumeric() || " \t\n+-*/%().,_".contains(c);
    if let Some(other) = expression.chars().find(|c| !plain(*c)) {
        return Err(format!(
            "{other:?} has no place in an expression: there are numbers, + - * / // % **, ( ), pi, e, sqrt, abs, round, floor, ceil, min, max, exp, ln, log10, sin, cos and tan"
        ));
    }
    let parsed = LANGUAGE.compile_expression(expression).map_err(sentence)?;
    let names = context! { pi => std::f64::consts::PI, e => std::f64::consts::E };
    let value = parsed.eval(names).map_err(sentence)?;
    if value.is_undefined() || value.is_none() {
        return Err("it uses a name that there is not".to_owned());
    }
    match f64::try_from(value.clone()) {
        Ok(number) if !number.is_finite() => Err(format!("it comes to {number}")),
        _ => Ok(value.to_string()),
    }
}

fn sentence(error: Error) -> String {
    error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned)
}

fn language() -> Environment<'static> {
    let mut language = Environment::empty();
    language.set_fuel(Some(FUEL));
    language.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    let functions: [(&'static str, Function); 9] = [
        ("sqrt", f64::sqrt),
        ("floor", f64::floor),
        ("ceil", f64::ceil),
        ("exp", f64::exp),
        ("ln", f64::ln),
        ("log10", f64::log10),
        ("sin", f64::sin),
        ("cos", f64::cos),
        ("tan", f64::tan),
    ];
    for (name, function) in functions {
        language.add_function(name, move |number: f64| function(number));
    }
    language.add_function("abs", absolute);
    language.add_function("round", |number: f64, places: Option<i32>| {
        let scale = 10_f64.powi(places.unwrap_or(0).clamp(-15, 15));
        (number * scale).round() / scale
    });
    language.add_function("min", |numbers: minijinja::value::Rest<Value>| {
        chosen(&numbers, std::cmp::Ordering::Less)
    });
    language.add_function("max", |numbers: minijinja::value::Rest<Value>| {
        chosen(&numbers, std::cmp::Ordering::Greater)
    });
    language
}

fn absolute(number: Value) -> Result<Value, Error> {
    if let Ok(whole) = i64::try_from(number.clone()) {
        return Ok(Value::from(i128::from(whole).abs()));
    }
    Ok(Value::from(f64::try_from(number)?.abs()))
}

/// The one that compares so to all others.
fn chosen(numbers: &[Value], wanted: std::cmp::Ordering) -> Result<Value, Error> {
    let mut numbers = numbers.iter();
    let missing = || Error::new(ErrorKind::MissingArgument, "it takes numbers");
    let mut best = numbers.next().ok_or_else(missing)?;
    for number in numbers {
        if number.cmp(best) == wanted {
            best = number;
        }
    }
    Ok(best.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_calculates() {
        for (expression, value) in [
            ("1 + 2 * 3", "7"),
            ("(1 + 2) * 3", "9"),
            ("2 ** 10", "1024"),
            ("7 // 2", "3"),
            ("7 % 4", "3"),
            ("1 / 4", "0.25"),
            ("sqrt(16) / 2", "2.0"),
            ("round(pi, 2)", "3.14"),
            ("abs(-3)", "3"),
            ("max(1, 5, 3) - min(4, 2)", "3"),
            ("123456789 * 987654321", "121932631112635269"),
        ] {
            assert_eq!(calculate(expression).as_deref(), Ok(value), "{expression}");
        }
    }

    #[test]
    fn what_has_no_value_or_would_take_long_is_refused() {
        let nested = format!("{}1{}", "(".repeat(400), ")".repeat(400));
        for expression in [
            "",
            "1 +",
            "x + 1",
            "'a' * 1000000000",
            "[1] * 1000000000",
            "1 ~ 2",
            "1 < 2",
            "9 ** 9 ** 9 ** 9",
            "1 / 0",
            "1 // 0",
            "1 % 0",
            "sqrt(0 - 1)",
            "min()",
            "range(100000)",
            nested.as_str(),
        ] {
            let refused = calculate(expression);
            assert!(refused.is_err(), "{expression}: {refused:?}");
        }
        assert!(calculate(&"1+".repeat(600)).is_err());
    }
}
