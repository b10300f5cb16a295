//! Which expressions depend on the time: those with operators that read `now`, or dates that may
//! leave parts of today out. What does not is computed once, whatever the time is.

use super::prepared::{Chain, Left, Operator, Prepared, PreparedTests, Source, Step, Tester};
use super::transform::Transformer;

/// Transformers that read dates, or conditions in which dates are read.
const TRANSFORMERS: [&str; 8] =
    ["toUnix", "dateToString", "DateStringToISOFormat", "BetweenDates", "ModifyDateTime", "TimeComponents", "If-Then-Else", "If-Elif"];
/// Filters that read dates.
const FILTERS: [&str; 5] = ["isBefore", "isAfter", "isSame", "AfterRelativeDate", "BeforeRelativeDate"];

/// True for a transformer whose result depends on the time.
pub fn transformer(known: &Transformer) -> bool {
    TRANSFORMERS.contains(&known.name)
}

/// True for tests whose result depends on the time.
pub fn tests(tests: &PreparedTests) -> bool {
    tests.iter().flatten().any(|test| {
        let left = match &test.left {
            Left::Global(value) => value.reads_clock(),
            Left::Item | Left::OfItem(_) | Left::ItemOrGlobal(_) => false,
        };
        left || test.right.reads_clock() || matches!(test.filter, Tester::Known(filter) if FILTERS.contains(&filter.name))
    })
}

impl Prepared {
    /// True when the value depends on the time.
    pub fn reads_clock(&self) -> bool {
        match self {
            Prepared::Complex(chain) => chain.reads_clock(),
            Prepared::Unset | Prepared::Constant(_) | Prepared::Path(_) | Prepared::Template(_) | Prepared::Broken(_) => false,
        }
    }
}

impl Chain {
    fn reads_clock(&self) -> bool {
        let source = match &self.source {
            Source::Filtered { tests: found, .. } => tests(found),
            Source::Path(_) | Source::Broken(_) => false,
        };
        source || self.steps.iter().any(Step::reads_clock)
    }
}

impl Step {
    fn reads_clock(&self) -> bool {
        matches!(self.operator, Operator::Known(known) if transformer(known)) || self.args.iter().any(|(_, value)| value.reads_clock())
    }
}

#[cfg(test)]
mod tests_of_names {
    use super::super::{filter, transform};

    #[test]
    fn names_are_those_of_operators() {
        assert!(super::TRANSFORMERS.iter().all(|name| transform::find(name).is_some_and(|known| known.name == *name)));
        assert!(super::FILTERS.iter().all(|name| filter::find(name).is_some_and(|known| known.name == *name)));
    }
}
