//! Looking at what is said to models and by them, for components that export `Guardrail`.

pub use crate::bindings::guardrail::exports::anchorhold::agent::guardrail::{
    Passage, Piece, Stage, Verdict,
};
pub use crate::llm::Role;

impl Passage {
    /// Looks at the texts one after the other: where `look` answers another text, that stands in
    /// its place.
    pub fn replace(&self, mut look: impl FnMut(&Piece) -> Option<String>) -> Verdict {
        let mut is_changed = false;
        let texts = self.pieces.iter().map(|piece| match look(piece) {
            Some(text) => {
                is_changed = true;
                text
            }
            None => piece.text.clone(),
        });
        let texts = texts.collect();
        if is_changed {
            Verdict::Redact(texts)
        } else {
            Verdict::Allow
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use crate::{Guardrail, Result};

    struct NoOwls;

    impl Guardrail for NoOwls {
        fn check(passage: Passage) -> Result<Verdict> {
            if passage.stage == Stage::Output {
                return Ok(Verdict::Refuse("it answers".into()));
            }
            Ok(passage.replace(|piece| match piece.role {
                Role::Tool => None,
                _ => piece.text.contains("owl").then(|| "[bird]".into()),
            }))
        }
    }

    crate::export!(NoOwls: Guardrail);

    #[test]
    fn what_is_not_replaced_stays_in_its_place() {
        let mut passage = testing::passage(Stage::Input, &["a cat", "an owl", "an owl"]);
        passage.pieces[2].role = Role::Tool;
        let texts = ["a cat", "[bird]", "an owl"].map(String::from);
        assert_eq!(
            NoOwls::check(passage).unwrap(),
            Verdict::Redact(texts.into())
        );
    }

    #[test]
    fn what_has_nothing_to_replace_is_allowed() {
        let check = |stage| NoOwls::check(testing::passage(stage, &["a cat"])).unwrap();
        assert_eq!(check(Stage::Input), Verdict::Allow);
        assert_eq!(check(Stage::Output), Verdict::Refuse("it answers".into()));
    }
}
