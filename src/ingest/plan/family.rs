//! Families: expressions of different types that do the same with other paths or constants.
//!
//! A family is evaluated once, over the rows of all its types; what differs becomes an
//! input whose value depends on the type ([`Source::ByType`]). So a hundred types whose
//! sections look alike cost about as much as one, however few rows of each a batch has.

use std::collections::HashMap;

use datafusion::arrow::array::ArrayRef;
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;

use super::From;
use crate::expr::function::{self, Arg};
use crate::expr::library::scalar;
use crate::expr::path::Path;
use crate::expr::typed::{Constant, FunctionRef, Op, Source, Typed};
use crate::expr::value::{Type, Value};

/// A value that differs by type, for the types of one section, in their order.
#[derive(Debug, Clone)]
pub enum ByType {
    /// The number of a path per type.
    Paths(Vec<usize>),
    /// A constant per type.
    Constants(ArrayRef),
}

/// All expressions of a source's types, those alike together.
#[derive(Debug, Default)]
pub struct Families {
    /// Types that have the same families, and these: what one phase evaluates.
    pub sections: Vec<(Vec<u16>, Vec<Typed>)>,
    /// What [`Source::ByType`] numbers.
    pub by_type: Vec<ByType>,
    /// Per expression: the types that have it, and where its values will stand.
    places: HashMap<Typed, Vec<(u16, From)>>,
}

/// What may differ between the expressions of a family.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Leaf {
    Path(Path),
    Constant(Constant),
}

/// Leaves that differ, of which types, and as what they are read.
type Varied = (Vec<u16>, Vec<Leaf>, Type);

/// Expressions that differ in their leaves only: per type the expression and its leaves.
struct Alike {
    shape: Typed,
    types: Vec<u16>,
    members: Vec<(Typed, Vec<Leaf>)>,
}

impl Families {
    /// Finds the families among the expressions of each type (types ascending, no expression
    /// twice in one type). `number` gives path numbers.
    // A regular expression keeps caches inside; it is equal, and hashed, by its text alone.
    #[allow(clippy::mutable_key_type)]
    pub fn new<'a>(types: impl Iterator<Item = (u16, &'a [Typed])>, number: &mut impl FnMut(&Path) -> usize) -> Result<Families, DataFusionError> {
        let mut found: Vec<Alike> = Vec::new();
        // A type may have several expressions of one shape: the first ones of all types are a family, and so on.
        let mut known: HashMap<(Typed, usize), usize> = HashMap::new();
        for (code, expressions) in types {
            let mut seen: HashMap<Typed, usize> = HashMap::new();
            for typed in expressions {
                let mut leaves = Vec::new();
                let shape = shape(typed, &mut leaves);
                let before = seen.entry(shape.clone()).or_insert(0);
                let at = *known.entry((shape.clone(), *before)).or_insert_with(|| {
                    found.push(Alike { shape, types: Vec::new(), members: Vec::new() });
                    found.len() - 1
                });
                *before += 1;
                found[at].types.push(code);
                found[at].members.push((typed.clone(), leaves));
            }
        }
        let mut families = Families::default();
        let mut numbers: HashMap<Varied, u32> = HashMap::new();
        for alike in found {
            let typed = families.together(&alike, &mut numbers, number)?;
            let section = families.sections.iter().position(|(types, _)| *types == alike.types).unwrap_or_else(|| {
                families.sections.push((alike.types.clone(), Vec::new()));
                families.sections.len() - 1
            });
            let outputs = &mut families.sections[section].1;
            outputs.push(typed);
            let from = From::Section(section, outputs.len() - 1);
            for (code, (typed, _)) in alike.types.iter().zip(alike.members) {
                families.places.entry(typed).or_default().push((*code, from));
            }
        }
        Ok(families)
    }

    /// Where the values of an expression of a type stand.
    pub fn place(&self, typed: &Typed, code: u16) -> Option<From> {
        self.places.get(typed)?.iter().find(|(known, _)| *known == code).map(|(_, from)| *from)
    }

    /// The one expression for all members.
    fn together(&mut self, alike: &Alike, numbers: &mut HashMap<Varied, u32>, number: &mut impl FnMut(&Path) -> usize) -> Result<Typed, DataFusionError> {
        let Some(((first, leaves), others)) = alike.members.split_first() else { return Ok(alike.shape.clone()) };
        if others.iter().all(|(_, own)| own == leaves) {
            return Ok(first.clone());
        }
        let mut failed = None;
        let mut choose = |at: usize, ty: Type| {
            let own: Vec<Leaf> = alike.members.iter().filter_map(|(_, leaves)| leaves.get(at).cloned()).collect();
            if let Some(leaf) = own.first().filter(|leaf| own.iter().all(|other| other == *leaf)) {
                return match leaf {
                    Leaf::Path(path) => Typed::input(Source::Event(path.clone()), ty),
                    Leaf::Constant(constant) => Typed { op: Op::Constant(constant.clone()), ty },
                };
            }
            let number = *numbers.entry((alike.types.clone(), own, ty)).or_insert_with_key(|(_, own, _)| {
                self.by_type.push(by_type(own, ty, number).unwrap_or_else(|error| {
                    failed = Some(error);
                    ByType::Paths(Vec::new())
                }));
                self.by_type.len() as u32 - 1
            });
            Typed::input(Source::ByType(number), ty)
        };
        let typed = fill(&alike.shape, &mut choose);
        failed.map_or(Ok(typed), Err)
    }
}

fn by_type(leaves: &[Leaf], ty: Type, number: &mut impl FnMut(&Path) -> usize) -> Result<ByType, DataFusionError> {
    let mut paths = Vec::new();
    let mut constants = Vec::new();
    for leaf in leaves {
        match leaf {
            Leaf::Path(path) => paths.push(number(path)),
            Leaf::Constant(constant) => constants.push(scalar(&constant.0, ty)),
        }
    }
    // The leaves at one place are all paths or all constants: their shapes differ otherwise.
    Ok(if constants.is_empty() { ByType::Paths(paths) } else { ByType::Constants(ScalarValue::iter_to_array(constants)?) })
}

/// An expression with its leaves taken out: what two expressions have in common if they are alike.
/// Number `2n` stands for a path, `2n + 1` for a constant, as the `n`th leaf.
fn shape(typed: &Typed, leaves: &mut Vec<Leaf>) -> Typed {
    if let Op::Input(Source::Event(path)) = &typed.op {
        leaves.push(Leaf::Path(path.clone()));
        return Typed::input(Source::ByType(2 * (leaves.len() as u32 - 1)), typed.ty);
    }
    let unfolded = unfold(typed);
    let typed = unfolded.as_ref().unwrap_or(typed);
    let constants = takes_columns(&typed.op);
    typed.rebuild(&mut |part| match &part.op {
        Op::Constant(constant) if constants && !constant.0.is_null() => {
            leaves.push(Leaf::Constant(constant.clone()));
            Typed::input(Source::ByType(2 * (leaves.len() as u32 - 1) + 1), part.ty)
        }
        _ => shape(part, leaves),
    })
}

/// A shape with every leaf replaced by what `choose` says of its number.
fn fill(shape: &Typed, choose: &mut impl FnMut(usize, Type) -> Typed) -> Typed {
    match &shape.op {
        Op::Input(Source::ByType(number)) => choose(*number as usize / 2, shape.ty),
        _ => {
            let filled = shape.rebuild(&mut |part| fill(part, choose));
            refold(&filled).unwrap_or(filled)
        }
    }
}

/// True when constants among the direct parts may as well be columns.
fn takes_columns(op: &Op) -> bool {
    match op {
        Op::Compare(..) | Op::Arithmetic(..) | Op::Coalesce(_) | Op::Case { .. } => true,
        Op::Call(function, _) => joins(&function.name) || &*function.name == "||",
        Op::Library(library, _) => library.takes_columns(),
        _ => false,
    }
}

/// Our functions that take texts from constants and columns alike.
fn joins(function: &str) -> bool {
    matches!(function, "concat" | "concat_ws")
}

/// A call of `concat` or `concat_ws` with the constants that were folded into it as arguments.
fn unfold(typed: &Typed) -> Option<Typed> {
    let Op::Call(function, args) = &typed.op else { return None };
    if !joins(&function.name) || function.constants.is_empty() || args.is_empty() {
        return None;
    }
    let mut args = args.iter();
    let mut all = Vec::new();
    for at in 0..function.constants.len() + args.len() {
        all.push(match function.constants.iter().find(|(place, _)| *place == at) {
            Some((_, constant)) => Typed::constant(Value::Text(constant.0.to_text()?.into_owned().into())),
            None => args.next()?.clone(),
        });
    }
    bound(&function.name, &vec![Arg::Row; all.len()], &all)
}

/// The opposite of [`unfold`].
fn refold(typed: &Typed) -> Option<Typed> {
    match &typed.op {
        Op::Call(function, args) if joins(&function.name) && function.constants.is_empty() && args.iter().any(|arg| arg.as_constant().is_some()) => {
            let constants = args.iter().map(|arg| arg.as_constant().map_or(Arg::Row, |value| Arg::Constant(value.clone())));
            bound(&function.name, &constants.collect::<Vec<_>>(), args)
        }
        _ => None,
    }
}

/// A call of one of our functions; arguments that are not constant are passed per row.
fn bound(name: &str, kinds: &[Arg], args: &[Typed]) -> Option<Typed> {
    let bound = function::bind(name, kinds)?.ok()?;
    let constants = kinds.iter().enumerate().filter_map(|(at, kind)| match kind {
        Arg::Constant(value) => Some((at, Constant(value.clone()))),
        Arg::Row => None,
    });
    let passed = bound.args.iter().map(|(at, _)| args.get(*at).cloned()).collect::<Option<Vec<_>>>()?;
    let function = FunctionRef::new(name, bound.function, bound.fallible, constants.collect());
    Some(Typed { op: Op::Call(function, passed), ty: bound.returns })
}
