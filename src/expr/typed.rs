//! The typed tree that both evaluators run: names resolved, conversions explicit,
//! functions bound. Equal trees compare equal, so that shared parts are found by hashing.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::function::Function;
use super::library::Library;
use super::path::Path;
use super::value::{Type, Value};

/// Where an input column comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// The JSON value at a path of the event.
    Event(Path),
    /// What Kafka says of the record.
    Record(Record),
    /// A header of the record, by name.
    Header(String),
    /// A field of the incident (rules).
    Field(String),
    /// A field of the new incident (`where`).
    New(String),
    /// A field of the existing incident (`where`).
    Existing(String),
    /// A part that several expressions of one phase share, computed before them.
    Shared(u32),
    /// A path or a constant that differs from type to type, where an expression is evaluated for
    /// several types at once: its number among those of the source.
    ByType(u32),
}

impl Source {
    /// True when the value has no type of its own: it takes the type of its use.
    pub fn is_dynamic(&self) -> bool {
        matches!(self, Source::Event(_) | Source::Header(_))
    }
}

/// Attributes of the Kafka record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Record {
    Key,
    Timestamp,
    Topic,
    Partition,
    Offset,
    Source,
}

impl Record {
    /// All of them: name in expressions, attribute, type.
    pub const ALL: [(&'static str, Record, Type); 6] = [
        ("_key", Record::Key, Type::Text),
        ("_timestamp", Record::Timestamp, Type::Time),
        ("_topic", Record::Topic, Type::Text),
        ("_partition", Record::Partition, Type::Number),
        ("_offset", Record::Offset, Type::Number),
        ("_source", Record::Source, Type::Text),
    ];
}

/// A typed expression.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Typed {
    /// What it does.
    pub op: Op,
    /// What it yields.
    pub ty: Type,
}

/// Comparison operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Compare {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}

/// Operators on numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

/// The operations.
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Op {
    /// A column of the batch.
    Input(Source),
    /// A constant.
    Constant(Constant),
    /// Three-valued NOT.
    Not(Box<Typed>),
    /// Three-valued AND; at least two.
    And(Vec<Typed>),
    /// Three-valued OR; at least two.
    Or(Vec<Typed>),
    /// Both sides have the same type.
    Compare(Compare, Box<Typed>, Box<Typed>),
    /// `IS NULL`; negated: `IS NOT NULL`.
    IsNull(Box<Typed>, bool),
    /// SQL LIKE with a constant pattern.
    Like { value: Box<Typed>, pattern: Arc<str>, negated: bool, fold_case: bool },
    /// Regular expression search with a constant pattern, compiled when the pipeline is.
    Matches { value: Box<Typed>, pattern: Pattern, negated: bool },
    /// Membership in a constant list of the value's type.
    In { value: Box<Typed>, list: Vec<Constant>, negated: bool },
    /// First branch whose condition is TRUE.
    Case { branches: Vec<(Typed, Typed)>, otherwise: Box<Typed> },
    /// First argument that is not NULL.
    Coalesce(Vec<Typed>),
    /// On numbers; what is not finite is NULL.
    Arithmetic(Arithmetic, Box<Typed>, Box<Typed>),
    /// Time − time → duration.
    TimeMinusTime(Box<Typed>, Box<Typed>),
    /// Time ± duration → time.
    TimeShift { time: Box<Typed>, by: Box<Typed>, negative: bool },
    /// One of our functions.
    Call(FunctionRef, Vec<Typed>),
    /// A function of DataFusion.
    Library(Arc<Library>, Vec<Typed>),
}

/// A bound function; equal when name and constants are.
#[derive(Debug, Clone)]
pub struct FunctionRef {
    /// The name as written.
    pub name: Arc<str>,
    /// Name and folded constants: the identity.
    pub key: Arc<str>,
    /// The function.
    pub function: Arc<dyn Function>,
    /// May fail on input that is not NULL.
    pub fallible: bool,
    /// Constant arguments in their written places (for printing as SQL).
    pub constants: Vec<(usize, Constant)>,
}

impl FunctionRef {
    /// A bound function with the constants that are folded into it.
    pub fn new(name: &str, function: Arc<dyn Function>, fallible: bool, constants: Vec<(usize, Constant)>) -> FunctionRef {
        FunctionRef { name: name.into(), key: format!("{name}{constants:?}").into(), function, fallible, constants }
    }
}

impl PartialEq for FunctionRef {
    fn eq(&self, other: &FunctionRef) -> bool {
        self.key == other.key
    }
}
impl Eq for FunctionRef {}
impl Hash for FunctionRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// A compiled regular expression; equal when the text is.
#[derive(Debug, Clone)]
pub struct Pattern(pub Arc<regex::Regex>);

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}
impl Eq for Pattern {}
impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

/// A value known when compiling, comparable bit for bit.
#[derive(Debug, Clone)]
pub struct Constant(pub Value<'static>);

impl Constant {
    fn bits(&self) -> (u8, u64, &str) {
        match &self.0 {
            Value::Null => (0, 0, ""),
            Value::Text(text) => (1, 0, text),
            Value::Number(number) => (2, number.to_bits(), ""),
            Value::Boolean(truth) => (3, u64::from(*truth), ""),
            Value::Time(micros) => (4, *micros as u64, ""),
            Value::Duration(seconds) => (5, seconds.to_bits(), ""),
        }
    }
}
impl PartialEq for Constant {
    fn eq(&self, other: &Constant) -> bool {
        self.bits() == other.bits()
    }
}
impl Eq for Constant {}
impl Hash for Constant {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bits().hash(state);
    }
}

impl Typed {
    /// An input column.
    pub fn input(source: Source, ty: Type) -> Typed {
        Typed { op: Op::Input(source), ty }
    }

    /// A constant.
    pub fn constant(value: Value<'static>) -> Typed {
        let ty = match value {
            Value::Null => Type::Null,
            Value::Text(_) => Type::Text,
            Value::Number(_) => Type::Number,
            Value::Boolean(_) => Type::Boolean,
            Value::Time(_) => Type::Time,
            Value::Duration(_) => Type::Duration,
        };
        Typed { op: Op::Constant(Constant(value)), ty }
    }

    /// The constant's value, if it is one.
    pub fn as_constant(&self) -> Option<&Value<'static>> {
        match &self.op {
            Op::Constant(constant) => Some(&constant.0),
            _ => None,
        }
    }

    /// The event path, if the expression is just that.
    pub fn as_event_path(&self) -> Option<&Path> {
        match &self.op {
            Op::Input(Source::Event(path)) => Some(path),
            _ => None,
        }
    }

    /// The direct parts of the expression, left to right.
    pub fn parts(&self) -> Vec<&Typed> {
        match &self.op {
            Op::Input(_) | Op::Constant(_) => Vec::new(),
            Op::Not(x) | Op::IsNull(x, _) => vec![x],
            Op::Like { value, .. } | Op::Matches { value, .. } | Op::In { value, .. } => vec![value],
            Op::Compare(_, a, b) | Op::Arithmetic(_, a, b) | Op::TimeMinusTime(a, b) => vec![a, b],
            Op::TimeShift { time, by, .. } => vec![time, by],
            Op::And(list) | Op::Or(list) | Op::Coalesce(list) | Op::Call(_, list) | Op::Library(_, list) => list.iter().collect(),
            Op::Case { branches, otherwise } => branches.iter().flat_map(|(when, then)| [when, then]).chain([&**otherwise]).collect(),
        }
    }

    /// The same expression with every direct part passed through `f`, left to right.
    pub fn rebuild(&self, f: &mut impl FnMut(&Typed) -> Typed) -> Typed {
        let each = |f: &mut dyn FnMut(&Typed) -> Typed, list: &[Typed]| -> Vec<Typed> { list.iter().map(f).collect() };
        let mut one = |x: &Typed| Box::new(f(x));
        let op = match &self.op {
            Op::Input(_) | Op::Constant(_) => return self.clone(),
            Op::Not(x) => Op::Not(one(x)),
            Op::IsNull(x, negated) => Op::IsNull(one(x), *negated),
            Op::Like { value, pattern, negated, fold_case } => {
                Op::Like { value: one(value), pattern: pattern.clone(), negated: *negated, fold_case: *fold_case }
            }
            Op::Matches { value, pattern, negated } => Op::Matches { value: one(value), pattern: pattern.clone(), negated: *negated },
            Op::In { value, list, negated } => Op::In { value: one(value), list: list.clone(), negated: *negated },
            Op::Compare(op, a, b) => Op::Compare(*op, one(a), one(b)),
            Op::Arithmetic(op, a, b) => Op::Arithmetic(*op, one(a), one(b)),
            Op::TimeMinusTime(a, b) => Op::TimeMinusTime(one(a), one(b)),
            Op::TimeShift { time, by, negative } => Op::TimeShift { time: one(time), by: one(by), negative: *negative },
            Op::And(list) => Op::And(each(f, list)),
            Op::Or(list) => Op::Or(each(f, list)),
            Op::Coalesce(list) => Op::Coalesce(each(f, list)),
            Op::Call(function, list) => Op::Call(function.clone(), each(f, list)),
            Op::Library(library, list) => Op::Library(library.clone(), each(f, list)),
            Op::Case { branches, otherwise } => {
                let branches = branches.iter().map(|(when, then)| (f(when), f(then))).collect();
                Op::Case { branches, otherwise: Box::new(f(otherwise)) }
            }
        };
        Typed { op, ty: self.ty }
    }

    /// Visits the expression and all below it, parents first.
    pub fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Typed)) {
        see(self);
        for part in self.parts() {
            part.visit(see);
        }
    }

    /// All inputs, each with the type in which it is read.
    pub fn inputs(&self) -> Vec<(Source, Type)> {
        let mut found = Vec::new();
        self.visit(&mut |x| {
            if let Op::Input(source) = &x.op {
                let input = (source.clone(), x.ty);
                if !found.contains(&input) {
                    found.push(input);
                }
            }
        });
        found
    }

    /// True when some function in it may fail on a row.
    pub fn is_fallible(&self) -> bool {
        let mut fallible = false;
        self.visit(&mut |x| {
            fallible |= match &x.op {
                Op::Call(function, _) => function.fallible,
                Op::Library(library, _) => library.is_fallible(),
                Op::Arithmetic(..) | Op::TimeShift { .. } => true,
                _ => false,
            };
        });
        fallible
    }
}
