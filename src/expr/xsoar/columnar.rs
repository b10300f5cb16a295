//! Which expressions run over columns, and in what form: a read, then steps whose arguments are
//! constants. All others say why not, and go to the reference evaluator row by row.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::env::Env;
use super::evaluate::given;
use super::js::ast::Expr;
use super::path::{Dt, Step as PathStep};
use super::prepared::{Chain, Left, Operator, Piece, Prepared, Source, Tester};
use super::transform::Transformer;

/// Steps of a path that is read as a column; the decoder follows each.
const PATH_STEPS_MAX: usize = 16;

/// An expression over columns.
#[derive(Debug, Clone)]
pub struct Columnar {
    /// Where the values come from.
    pub read: Read,
    /// What happens to them, in order.
    pub steps: Vec<Change>,
}

/// Where the values of a column come from.
#[derive(Debug, Clone)]
pub enum Read {
    /// The same for every row.
    Constant(Value),
    /// A path of the event.
    Path(Vec<Hop>),
    /// Texts and paths by turns.
    Template(Vec<TemplatePart>),
    /// The items at a path that pass tests of themselves; by the chain's own source.
    Filtered(Vec<Hop>, Arc<Chain>),
}

/// A step of a plain path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Hop {
    /// A member.
    Name(Box<str>),
    /// An element, 0-based.
    Index(u32),
}

/// A part of a template.
#[derive(Debug, Clone)]
pub enum TemplatePart {
    /// Text as it is.
    Text(Arc<str>),
    /// The text of a value.
    Path(Vec<Hop>),
}

/// What happens to a column.
#[derive(Debug, Clone)]
pub enum Change {
    /// A transformer of ours.
    Known(ColumnStep),
    /// A user's script.
    External(Arc<ExternalStep>),
}

/// A transformer with its arguments.
#[derive(Debug, Clone)]
pub struct ColumnStep {
    /// The transformer.
    pub transformer: &'static Transformer,
    /// Its arguments, evaluated.
    pub args: Arc<[(Cow<'static, str>, Value)]>,
}

/// A user's script with its arguments; the values of a column are one batch.
#[derive(Debug, Clone, PartialEq)]
pub struct ExternalStep {
    /// Its name.
    pub name: String,
    /// It takes lists as a whole.
    pub whole: bool,
    /// Its arguments, evaluated.
    pub args: Map<String, Value>,
}

/// Why an expression does not run over columns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotColumnar {
    /// Nothing to evaluate.
    #[error("it is empty")]
    Empty,
    /// A filter whose tests read more than the item and constants.
    #[error("a filter that compares items with other values of the event")]
    Filter,
    /// A DT expression with a selector or a mutator.
    #[error("a DT expression that is not a plain path")]
    Dt,
    /// The whole event, or a path with a range or too many steps.
    #[error("a path that reads the whole event, a range, or more than {PATH_STEPS_MAX} steps")]
    Path,
    /// An argument that is not the same for every row.
    #[error("an argument of `{0}` that is read from the event")]
    Argument(String),
    /// An operator that runs code on each value.
    #[error("the operator `{0}`")]
    Operator(String),
    /// It could not be understood.
    #[error("it is not usable")]
    Broken,
}

/// The columnar form of an expression, or why it has none.
pub fn plan(prepared: &Prepared) -> Result<Columnar, NotColumnar> {
    let only = |read| Ok(Columnar { read, steps: Vec::new() });
    match prepared {
        Prepared::Unset => Err(NotColumnar::Empty),
        Prepared::Broken(_) => Err(NotColumnar::Broken),
        Prepared::Constant(value) => only(Read::Constant(value.clone())),
        Prepared::Path(dt) => only(read(dt)?),
        Prepared::Template(pieces) => {
            let parts = pieces.iter().map(|piece| match piece {
                Piece::Text(text) => Ok(TemplatePart::Text(text.clone())),
                Piece::Value(dt) => hops(dt).map(TemplatePart::Path),
            });
            only(Read::Template(parts.collect::<Result<_, _>>()?))
        }
        Prepared::Complex(chain) => {
            let read = match &chain.source {
                Source::Path(dt) => read(dt)?,
                Source::Filtered { root, tests, accessor } => {
                    let alone = tests.iter().flatten().all(|test| matches!(test.filter, Tester::Known(_)) && is_own(&test.left) && is_constant(&test.right));
                    if !alone || !accessor.is_plain() {
                        return Err(NotColumnar::Filter);
                    }
                    Read::Filtered(hops(root)?, chain.clone())
                }
                Source::Broken(_) => return Err(NotColumnar::Broken),
            };
            let mut columnar = Columnar { read, steps: Vec::new() };
            for step in &chain.steps {
                let operator = match &step.operator {
                    Operator::Unknown(name) => return Err(NotColumnar::Operator(name.clone())),
                    Operator::External(name, _) => name.as_str(),
                    Operator::Known(known) => known.name,
                };
                let args = step.args.iter().map(|(name, value)| match value {
                    Prepared::Constant(value) => Ok((name.clone(), value.clone())),
                    Prepared::Unset => Ok((name.clone(), Value::Null)),
                    _ => Err(NotColumnar::Argument(operator.to_owned())),
                });
                let args: Vec<(Cow<'static, str>, Value)> = args.collect::<Result<_, _>>()?;
                columnar.steps.push(match &step.operator {
                    Operator::External(name, whole) => Change::External(Arc::new(ExternalStep { name: name.clone(), whole: *whole, args: given(args) })),
                    // These look beyond their value.
                    Operator::Known(known) if !matches!(known.name, "GetListContent" | "FormatTemplate") => {
                        Change::Known(ColumnStep { transformer: known, args: args.into() })
                    }
                    _ => return Err(NotColumnar::Operator(operator.to_owned())),
                });
            }
            Ok(columnar)
        }
    }
}

/// True for a left side that is the item or a part of it.
fn is_own(left: &Left) -> bool {
    match left {
        // Rows in which an item lacks the member are left to the reference evaluator.
        Left::Item | Left::OfItem(_) | Left::ItemOrGlobal(_) => true,
        Left::Global(value) => is_constant(value),
    }
}

fn is_constant(value: &Prepared) -> bool {
    matches!(value, Prepared::Constant(_) | Prepared::Unset)
}

fn read(dt: &Dt) -> Result<Read, NotColumnar> {
    match literal(dt) {
        Some(value) => Ok(Read::Constant(value)),
        None => hops(dt).map(Read::Path),
    }
}

/// The value of `.='text'`: a mutator that reads nothing.
fn literal(dt: &Dt) -> Option<Value> {
    match dt.whole_mutator()? {
        Expr::Text(_) | Expr::Number(_) | Expr::Flag(_) => dt.evaluate(&Value::Null, &Env::new(&Value::Null).budget).ok(),
        _ => None,
    }
}

fn hops(dt: &Dt) -> Result<Vec<Hop>, NotColumnar> {
    if !dt.is_plain() {
        return Err(NotColumnar::Dt);
    }
    if dt.steps().is_empty() || dt.steps().len() > PATH_STEPS_MAX {
        return Err(NotColumnar::Path);
    }
    let hop = |step: &PathStep| match step {
        PathStep::Name(name) => Ok(Hop::Name(name.clone())),
        PathStep::Index(index) => u32::try_from(*index).map(Hop::Index).map_err(|_| NotColumnar::Path),
        PathStep::Range(..) | PathStep::Select(_) => Err(NotColumnar::Path),
    };
    let hops: Vec<Hop> = dt.steps().iter().map(hop).collect::<Result<_, _>>()?;
    // The decoder's paths begin with a key. What begins with `lists` may be no value of the event.
    if matches!(hops.first(), Some(Hop::Name(name)) if &**name != "lists") { Ok(hops) } else { Err(NotColumnar::Path) }
}

/// The path of some hops.
pub fn dt_of(hops: &[Hop]) -> Dt {
    let step = |hop: &Hop| match hop {
        Hop::Name(name) => PathStep::Name(name.clone()),
        Hop::Index(index) => PathStep::Index(i64::from(*index)),
    };
    Dt::of(hops.iter().map(step).collect())
}
