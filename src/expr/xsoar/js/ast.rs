//! Syntax tree of the JavaScript subset.

use std::sync::Arc;

use crate::expr::xsoar::path::Dt;
use crate::expr::xsoar::pattern::Pattern;

/// An expression.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub enum Expr {
    Undefined,
    Null,
    Flag(bool),
    Number(f64),
    Text(Arc<str>),
    /// `` `a${x}b` ``: texts and expressions by turns.
    Template(Vec<(Arc<str>, Option<Expr>)>),
    Regex {
        pattern: Arc<Pattern>,
        global: bool,
    },
    Name(Arc<str>),
    /// `val1---path`: a value from the top of the context.
    Bound(Arc<Dt>),
    Array(Vec<Item>),
    Object(Vec<Property>),
    Member {
        object: Box<Expr>,
        key: Box<Expr>,
        optional: bool,
    },
    Call {
        callee: Box<Expr>,
        args: Vec<Item>,
        optional: bool,
    },
    New {
        class: Arc<str>,
        args: Vec<Item>,
    },
    Unary(Unary, Box<Expr>),
    Binary(Binary, Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Coalesce(Box<Expr>, Box<Expr>),
    Ternary(Box<(Expr, Expr, Expr)>),
    Assign {
        target: Box<Expr>,
        op: Option<Binary>,
        value: Box<Expr>,
    },
    /// `x++`, `--x`: by 1 or −1; the flag: the old value is the result.
    Step {
        target: Box<Expr>,
        by: f64,
        old: bool,
    },
    Function(Arc<Function>),
    Sequence(Vec<Expr>),
}

/// An element of a list or an argument; the flag: spread.
#[derive(Debug, Clone)]
pub struct Item {
    /// The value.
    pub value: Expr,
    /// `...value`
    pub spread: bool,
}

/// A member of an object literal.
#[derive(Debug, Clone)]
pub enum Property {
    /// `key: value`, `[key]: value`, `key`.
    Pair(Expr, Expr),
    /// `...value`
    Spread(Expr),
}

/// Operators with one operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Unary {
    Not,
    Minus,
    Plus,
    BitNot,
    TypeOf,
    Void,
    Delete,
}

/// Operators with two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    Pow,
    Eq,
    NotEq,
    Same,
    NotSame,
    Lt,
    LtEq,
    Gt,
    GtEq,
    In,
    InstanceOf,
    BitAnd,
    BitOr,
    BitXor,
    ShiftLeft,
    ShiftRight,
    ShiftRightZero,
}

/// A function.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its name, where it has one.
    pub name: Option<Arc<str>>,
    /// Parameters with their defaults; the flag: `...rest`.
    pub params: Vec<(Target, Option<Expr>, bool)>,
    /// The body; for `x => expr` one `return`.
    pub body: Vec<Statement>,
}

/// What a declaration binds.
#[derive(Debug, Clone)]
pub enum Target {
    /// A name.
    Name(Arc<str>),
    /// `[a, b]`
    List(Vec<Option<Target>>),
    /// `{a, b: c}`
    Object(Vec<(Arc<str>, Target)>),
}

/// A statement.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub enum Statement {
    Expr(Expr),
    Declare(Vec<(Target, Option<Expr>)>),
    Function(Arc<Function>),
    Return(Option<Expr>),
    If(Expr, Box<Statement>, Option<Box<Statement>>),
    While(Expr, Box<Statement>),
    DoWhile(Box<Statement>, Expr),
    For {
        start: Option<Box<Statement>>,
        test: Option<Expr>,
        step: Option<Expr>,
        body: Box<Statement>,
    },
    /// `for (x of list)`, `for (x in object)`
    Each {
        target: Target,
        keys: bool,
        over: Expr,
        body: Box<Statement>,
    },
    Block(Vec<Statement>),
    Break,
    Continue,
    Throw(Expr),
    Try {
        body: Vec<Statement>,
        name: Option<Arc<str>>,
        catch: Vec<Statement>,
        finally: Vec<Statement>,
    },
    Switch(Expr, Vec<(Option<Expr>, Vec<Statement>)>),
    Empty,
}
