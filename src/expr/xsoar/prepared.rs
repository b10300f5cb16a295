//! What a value or a test of a pack is once it is prepared: all that evaluators read. `prepare` makes it.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use super::filter::Filter;
use super::path::Dt;
use super::transform::Transformer;

/// A value, ready to evaluate.
#[derive(Debug, Clone)]
pub enum Prepared {
    /// Not set.
    Unset,
    /// The same for every event.
    Constant(Value),
    /// A path or a DT expression over the context.
    Path(Arc<Dt>),
    /// Texts and paths by turns.
    Template(Arc<[Piece]>),
    /// Root, filters, accessor, transformers.
    Complex(Arc<Chain>),
    /// Not understood; the reason.
    Broken(Arc<str>),
}

/// A piece of a template.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Text as it is.
    Text(Arc<str>),
    /// The text of a value.
    Value(Arc<Dt>),
}

/// A complex value.
#[derive(Debug)]
pub struct Chain {
    /// Where the value comes from.
    pub source: Source,
    /// What happens to it, in order.
    pub steps: Vec<Step>,
}

/// Where the value of a chain comes from.
#[derive(Debug)]
pub enum Source {
    /// A path or a DT expression.
    Path(Arc<Dt>),
    /// The items of a list that pass.
    Filtered {
        /// The list.
        root: Arc<Dt>,
        /// What an item must pass.
        tests: PreparedTests,
        /// The way from an item to the value.
        accessor: Arc<Dt>,
    },
    /// Not understood.
    Broken(Arc<str>),
}

/// A step of a chain.
#[derive(Debug)]
pub struct Step {
    /// The operator.
    pub operator: Operator,
    /// Its arguments.
    pub args: Vec<(Cow<'static, str>, Prepared)>,
}

/// An operator that changes a value.
#[derive(Debug)]
pub enum Operator {
    /// One of ours.
    Known(&'static Transformer),
    /// A user's script; the flag: it takes lists as a whole.
    External(String, bool),
    /// There is no such operator.
    Unknown(String),
}

/// Tests: the outer list is AND, an inner one is OR.
pub type PreparedTests = Vec<Vec<PreparedTest>>;

/// One test.
#[derive(Debug)]
pub struct PreparedTest {
    /// The filter, or the name of a user's script, or what is wrong.
    pub filter: Tester,
    /// Texts are compared without regard to case.
    pub ignore_case: bool,
    /// The left side.
    pub left: Left,
    /// The right side.
    pub right: Prepared,
}

/// What tests.
#[derive(Debug)]
pub enum Tester {
    /// One of ours.
    Known(&'static Filter),
    /// A user's script.
    External(String),
    /// There is no such operator.
    Unknown(String),
}

/// The left side of a test.
#[derive(Debug)]
pub enum Left {
    /// A value of the whole context.
    Global(Prepared),
    /// The item itself.
    Item,
    /// A path from the item.
    OfItem(Arc<Dt>),
    /// A path from the item, or if the item has no such member, from the top.
    ItemOrGlobal(Arc<Dt>),
}
