//! The syntax tree of an expression, as written: names are not resolved, nothing
//! has a type yet. Places are byte offsets in the expression's own text.

use std::hash::{Hash, Hasher};

use super::path::Path;

/// An expression and the place where it stands.
#[derive(Debug, Clone)]
pub struct Expr {
    /// What it is.
    pub node: Node,
    /// First byte in the expression text.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// Two expressions are equal when they mean the same, wherever they stand.
impl PartialEq for Expr {
    fn eq(&self, other: &Expr) -> bool {
        self.node == other.node
    }
}
impl Eq for Expr {}
impl Hash for Expr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.node.hash(state);
    }
}

/// The kinds of expression.
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Node {
    /// `NULL`
    Null,
    /// `TRUE`, `FALSE`
    Boolean(bool),
    /// A number, with its digits as written.
    Number(String),
    /// `'text'`
    Text(String),
    /// `user.name`, `"odd key"[0]`, `_headers['x']`; `quoted`: a lone bare word in double quotes,
    /// which is probably meant as text.
    Path {
        /// The path.
        path: Path,
        /// True for `"word"`: legal, but usually a mistake for `'word'`.
        quoted: bool,
    },
    /// `NOT x`
    Not(Box<Expr>),
    /// `-x`
    Negate(Box<Expr>),
    /// `x AND y`, `x + y`, `x || y`, `x < y` …
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `x IS [NOT] NULL`
    IsNull(Box<Expr>, bool),
    /// `x [NOT] LIKE 'p%'`; the last flag: ILIKE.
    Like { value: Box<Expr>, pattern: Box<Expr>, negated: bool, fold_case: bool },
    /// `x ~ 'regex'`, `x !~ 'regex'`
    Matches { value: Box<Expr>, pattern: Box<Expr>, negated: bool },
    /// `x [NOT] IN (a, b)`
    In { value: Box<Expr>, list: Vec<Expr>, negated: bool },
    /// `x [NOT] BETWEEN a AND b`
    Between { value: Box<Expr>, low: Box<Expr>, high: Box<Expr>, negated: bool },
    /// `CASE [x] WHEN a THEN b … [ELSE c] END`
    Case { operand: Option<Box<Expr>>, branches: Vec<(Expr, Expr)>, otherwise: Option<Box<Expr>> },
    /// `CAST(x AS t)`, `TRY_CAST(x AS t)`, `x::t`
    Cast(Box<Expr>, CastTo),
    /// `f(a, b)`; the name in lower case.
    Call(String, Vec<Expr>),
}

/// Operators between two expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum BinaryOp {
    And,
    Or,
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Concat,
}

impl BinaryOp {
    /// The operator as written.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::And => "AND",
            BinaryOp::Or => "OR",
            BinaryOp::Eq => "=",
            BinaryOp::NotEq => "<>",
            BinaryOp::Lt => "<",
            BinaryOp::LtEq => "<=",
            BinaryOp::Gt => ">",
            BinaryOp::GtEq => ">=",
            BinaryOp::Add => "+",
            BinaryOp::Subtract => "-",
            BinaryOp::Multiply => "*",
            BinaryOp::Divide => "/",
            BinaryOp::Modulo => "%",
            BinaryOp::Concat => "||",
        }
    }
}

/// Types that `CAST` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum CastTo {
    Text,
    Number,
    Integer,
    Boolean,
    Time,
}

impl Expr {
    /// Visits this expression and all below it, parents first.
    pub fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Expr)) {
        see(self);
        match &self.node {
            Node::Null | Node::Boolean(_) | Node::Number(_) | Node::Text(_) | Node::Path { .. } => {}
            Node::Not(x) | Node::Negate(x) | Node::IsNull(x, _) | Node::Cast(x, _) => x.visit(see),
            Node::Binary(_, a, b) => {
                a.visit(see);
                b.visit(see);
            }
            Node::Like { value, pattern, .. } | Node::Matches { value, pattern, .. } => {
                value.visit(see);
                pattern.visit(see);
            }
            Node::In { value, list, .. } => {
                value.visit(see);
                list.iter().for_each(|x| x.visit(see));
            }
            Node::Between { value, low, high, .. } => {
                value.visit(see);
                low.visit(see);
                high.visit(see);
            }
            Node::Case { operand, branches, otherwise } => {
                if let Some(x) = operand {
                    x.visit(see);
                }
                for (when, then) in branches {
                    when.visit(see);
                    then.visit(see);
                }
                if let Some(x) = otherwise {
                    x.visit(see);
                }
            }
            Node::Call(_, args) => args.iter().for_each(|x| x.visit(see)),
        }
    }
}
