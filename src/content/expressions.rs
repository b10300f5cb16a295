//! Owns what is asked about the expressions of packs: are their operators known, can they be
//! evaluated, how many run as columns. The answers are the evaluator's
//! ([`crate::expr::xsoar`]).

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::source_map::Span;
use crate::expr::xsoar::model::{Argument, Place};
use crate::expr::xsoar::prepare::{Mode, Options, Problem, Severity, prepare, prepare_tests};
use crate::expr::xsoar::prepared::Prepared;
use crate::expr::xsoar::{columnar, filter, transform};

use super::Content;
use super::argument::{Conditions, Expression, OperatorUse, locate};
use super::item::{Body, Item, Kind};
use super::playbook::task::{Action, Until};

/// True if an operator of this name is built in: then a script of this name is not missed.
pub fn is_operator(name: &str) -> bool {
    filter::find(name).is_some() || transform::find(name).is_some()
}

/// An expression, ready to evaluate; operators of users are known.
pub fn prepared(content: &Content, argument: &Argument, place: Place) -> (Prepared, Vec<Problem>) {
    prepare(argument, place, &Options { scripts: Some(&content.scripts), in_packs: None })
}

/// Reports operators that are not known, and expressions that cannot be evaluated. They cost
/// the field or the task, not the item.
pub fn check(content: &Content, item: &Item, body: &Body, out: &mut Diagnostics) {
    let in_packs = |name: &str| content.find(&[Kind::Script], name).is_some();
    let options = Options { scripts: Some(&content.scripts), in_packs: Some(&in_packs) };
    let mut checker = Checker { options, out };
    let event = !matches!(body, Body::Playbook(_)) && item.kind != Kind::OutgoingMapper;
    for (_, expression) in super::check::expressions_of(body) {
        checker.expression(expression, if event || item.kind == Kind::OutgoingMapper { Place::Event } else { Place::Text });
    }
    match body {
        Body::Rule(rule) => {
            checker.conditions(&rule.new);
            checker.conditions(&rule.existing);
        }
        Body::Playbook(playbook) => {
            for task in &playbook.tasks {
                if let Action::Condition(branches) = &task.action {
                    branches.iter().for_each(|branch| checker.conditions(&branch.when));
                }
                if let Some(Until::Holds(conditions)) = task.repeat.as_ref().map(|repeat| &repeat.until) {
                    checker.conditions(conditions);
                }
            }
        }
        _ => {}
    }
}

struct Checker<'c> {
    options: Options<'c>,
    out: &'c mut Diagnostics,
}

impl Checker<'_> {
    fn expression(&mut self, expression: &Expression, place: Place) {
        let (_, problems) = prepare(&expression.argument, place, &self.options);
        self.report(&problems, &expression.operators, expression.span);
    }

    fn conditions(&mut self, conditions: &Conditions) {
        let (_, problems) = prepare_tests(&conditions.tests, Mode::Condition, &self.options);
        self.report(&problems, &conditions.operators, conditions.span);
    }

    fn report(&mut self, problems: &[Problem], operators: &[OperatorUse], whole: Span) {
        for problem in problems {
            let what = match problem.severity {
                Severity::Error => format!("{}: this part has no value", problem.message),
                Severity::Warning => problem.message.clone(),
            };
            self.out.push(Diagnostic::warning(problem.code, what).at(locate(operators, &problem.pointer, whole)).maybe_hint(problem.hint.clone()));
        }
    }
}

/// How the expressions of classifiers and incoming mappers are evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Expressions of classifiers and incoming mappers, blank ones apart.
    pub all: usize,
    /// Those among them that are no plain path and no constant.
    pub composed: usize,
    /// Those that cannot be evaluated, wholly or in part.
    pub broken: usize,
    /// Those that run as columns, over whole batches.
    pub columnar: usize,
    /// Why others do not, and how many.
    pub not_columnar: BTreeMap<String, usize>,
}

impl Tally {
    /// For programs.
    pub fn to_json(&self) -> Json {
        json!({
            "all": self.all,
            "composed": self.composed,
            "broken": self.broken,
            "vectorized": self.columnar,
            "not_vectorized": self.not_columnar,
        })
    }

    /// For people.
    pub fn lines(&self) -> Vec<String> {
        if self.all == 0 {
            return Vec::new();
        }
        let Tally { all, composed, broken, columnar, .. } = self;
        let percent = *columnar as f64 / *all as f64 * 100.0;
        let mut lines = vec![
            format!("{all:>6} expressions in classifiers and incoming mappers: {composed} more than a path, {broken} with a part that has no value"),
            format!("{columnar:>6} of them run vectorized ({percent:.1} %)"),
        ];
        lines.extend(self.not_columnar.iter().map(|(why, count)| format!("{count:>6} row by row: {why}")));
        lines
    }
}

/// Counts the expressions of classifiers and incoming mappers.
pub fn tally(content: &Content) -> Tally {
    let mut tally = Tally::default();
    let kinds = [Kind::Classifier, Kind::LegacyClassifier, Kind::IncomingMapper];
    for item in content.items.iter().filter(|item| kinds.contains(&item.kind)) {
        for (_, expression) in item.body.iter().flat_map(super::check::expressions_of) {
            if expression.argument.is_blank() {
                continue;
            }
            let (prepared, problems) = prepared(content, &expression.argument, Place::Event);
            tally.all += 1;
            tally.composed += usize::from(!is_plain(&prepared));
            tally.broken += usize::from(problems.iter().any(|problem| problem.severity == Severity::Error));
            match columnar::plan(&prepared) {
                Ok(_) => tally.columnar += 1,
                Err(why) => *tally.not_columnar.entry(why.to_string()).or_default() += 1,
            }
        }
    }
    tally
}

fn is_plain(prepared: &Prepared) -> bool {
    match prepared {
        Prepared::Constant(_) | Prepared::Path(_) => true,
        Prepared::Complex(chain) => chain.steps.is_empty() && matches!(chain.source, crate::expr::xsoar::prepared::Source::Path(_)),
        _ => false,
    }
}
