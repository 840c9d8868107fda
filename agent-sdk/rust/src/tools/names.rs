//! Names of tools as models take them: 1 to 64 letters, digits, `_` and `-`.

use std::collections::BTreeSet;

/// The longest name that every model takes.
const LONGEST: usize = 64;

/// A name for a model that is not taken yet; it is taken then.
pub(super) fn for_model(name: &str, taken: &mut BTreeSet<String>) -> String {
    let plain = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => c,
        _ => '_',
    };
    let whole: String = name.chars().map(plain).collect();
    let mut candidate: String = whole.chars().take(LONGEST).collect();
    for number in 2.. {
        if !candidate.is_empty() && taken.insert(candidate.clone()) {
            break;
        }
        let end = format!("_{number}");
        candidate = whole.chars().take(LONGEST - end.len()).collect();
        candidate.push_str(&end);
    }
    candidate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_that_models_take_and_no_other_has() {
        let mut taken = BTreeSet::new();
        let long = "x".repeat(80);
        for (name, expected) in [
            ("clock", "clock"),
            ("a/b", "a_b"),
            ("a.b", "a_b_2"),
            ("a_b", "a_b_3"),
            ("grün/ö", "gr_n__"),
            ("", "_2"),
            (&long, &"x".repeat(64)),
            (&long, &("x".repeat(62) + "_2")),
        ] {
            assert_eq!(for_model(name, &mut taken), expected, "{name}");
        }
        assert!(taken.iter().all(|name| name.len() <= LONGEST));
    }
}
