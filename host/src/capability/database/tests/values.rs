//! Values there and back.

use proptest::prelude::*;

use super::super::{functions, real_text};
use super::*;

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::Integer),
        any::<i64>().prop_map(|number| Value::BigInteger(number.to_string())),
        any::<f64>()
            .prop_filter("a number", |number| !number.is_nan())
            .prop_map(Value::Real),
        any::<String>().prop_map(Value::Text),
        any::<Vec<u8>>().prop_map(Value::Blob),
    ]
}

/// How the host answers a value: big integers only where they are needed.
fn canonical(value: &Value) -> Value {
    let number = match value {
        Value::Integer(number) => *number,
        Value::BigInteger(digits) => digits.parse().unwrap(),
        other => return other.clone(),
    };
    if number.unsigned_abs() < 1 << 53 {
        Value::Integer(number)
    } else {
        Value::BigInteger(number.to_string())
    }
}

fn as_sqlite_writes(number: f64) -> String {
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    let text = connection.query_row("SELECT CAST(?1 AS TEXT)", [number], |row| row.get(0));
    text.unwrap()
}

#[test]
fn a_real_that_was_found_by_chance() {
    let number = -3_110_242_825_672_579_840_i64 as f64 * 10f64.powi(-2);
    assert_eq!(
        real_text::of(number),
        as_sqlite_writes(number),
        "{number:e}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_bound_comes_back(values in proptest::collection::vec(any_value(), 1..8)) {
        let agent = Agent::new();
        let marks = vec!["?"; values.len()].join(", ");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (read, stored) = runtime.block_on(async {
            let read = agent.query(&format!("SELECT {marks}"), &values).await.unwrap();
            let columns: Vec<String> = (0..values.len()).map(|n| format!("c{n}")).collect();
            let create = format!("CREATE TABLE t ({})", columns.join(", "));
            agent.execute(&create, &[]).await.unwrap();
            agent.execute(&format!("INSERT INTO t VALUES ({marks})"), &values).await.unwrap();
            (read, agent.query("SELECT * FROM t", &[]).await.unwrap())
        });
        let expected: Vec<Value> = values.iter().map(canonical).collect();
        prop_assert_eq!(&read.rows[0], &expected);
        prop_assert_eq!(&stored.rows[0], &expected);
    }

    #[test]
    fn reals_are_written_as_sqlite_writes_them(digits in any::<i64>(), shift in -40..20i32) {
        let number = digits as f64 * 10f64.powi(shift);
        let (ours, theirs) = (real_text::of(number), as_sqlite_writes(number));
        // SQLite's last digit is not always the nearest.
        let apart = (ours.parse::<f64>().unwrap() - theirs.parse::<f64>().unwrap()).abs();
        prop_assert!(apart <= number.abs() * 1e-15, "{} {}", ours, theirs);
        // Beside a power of ten the last digit decides on the form, too.
        if apart == 0.0 {
            let point = |text: &str| (text.contains('e'), text.find('.'));
            prop_assert_eq!(point(&ours), point(&theirs), "{} {}", ours, theirs);
        }
    }

    /// The replaced functions answer what SQLite's own do.
    #[test]
    fn functions_agree_with_sqlites(
        whole in "[abä]{0,12}",
        part in "[abä]{0,3}",
        other in "[xy]{0,2}",
        number in prop_oneof![Just(0.5), Just(-1e20), Just(1e-7), Just(12345.678)],
    ) {
        let theirs = rusqlite::Connection::open_in_memory().unwrap();
        let ours = rusqlite::Connection::open_in_memory().unwrap();
        functions::install(&ours).unwrap();
        for sql in [
            "SELECT instr(?1, ?2) || ''",
            "SELECT instr(CAST(?1 AS BLOB), CAST(?2 AS BLOB)) || ''",
            "SELECT replace(?1, ?2, ?3)",
            "SELECT trim(?1, ?2)",
            "SELECT ltrim(?1, ?2)",
            "SELECT rtrim(?1, ?2)",
            "SELECT replace(?4, '.', ?3) || ?1 || ?2",
            "SELECT instr(?4, 'e') || ?1 || ?2 || ?3",
            "SELECT instr(?1, NULL)",
            "SELECT instr(123, 2) || trim(1221, 1) || typeof(replace(1, 2, 3))",
        ] {
            let mut answers = Vec::new();
            for connection in [&theirs, &ours] {
                let mut statement = connection.prepare(sql).unwrap();
                let wanted = statement.parameter_count();
                let all: [&dyn rusqlite::ToSql; 4] = [&whole, &part, &other, &number];
                let answer: Option<String> = statement
                    .query_row(&all[..wanted], |row| row.get(0))
                    .unwrap();
                answers.push(answer);
            }
            prop_assert_eq!(&answers[0], &answers[1], "{}", sql);
        }
    }
}

#[tokio::test]
async fn malformed_numbers_are_refused() {
    let agent = Agent::new();
    for value in [
        Value::BigInteger("".into()),
        Value::BigInteger("1.0".into()),
        Value::BigInteger("+1".into()),
        Value::BigInteger(" 1".into()),
        Value::BigInteger("9223372036854775808".into()),
        Value::Real(f64::NAN),
    ] {
        let error = agent
            .query("SELECT ?", std::slice::from_ref(&value))
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{value:?}");
    }
    for (digits, answer) in [
        ("9007199254740991", Value::Integer(9_007_199_254_740_991)),
        (
            "-9007199254740992",
            Value::BigInteger("-9007199254740992".into()),
        ),
        (
            "-9223372036854775808",
            Value::BigInteger(i64::MIN.to_string()),
        ),
    ] {
        let rows = agent
            .query("SELECT ?", &[Value::BigInteger(digits.into())])
            .await
            .unwrap();
        assert_eq!(rows.rows[0][0], answer);
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_is_repaired() {
    let agent = Agent::new();
    let value = agent.value("SELECT CAST(x'61ff' AS TEXT)").await;
    assert_eq!(value, text("a\u{fffd}"));
}
