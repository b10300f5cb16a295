//! Tokens → syntax tree: precedence climbing, with a bound on nesting. What stands between operators is in
//! `primary`, functions are in `function`, statements in `statement`.

use std::sync::Arc;

use super::ast::{Binary, Expr, Item, Unary};
use super::lex::{Kind, LexError, Token, token};

/// Levels of the syntax tree. Every level costs stack when it is evaluated.
pub const NESTING_MAX: u32 = 100;
/// Bytes of one DT text. Real ones have below 1 KiB.
pub const SOURCE_BYTES_MAX: usize = 64 << 10;

/// What is wrong with a text, and where (byte offset).
pub type SyntaxError = LexError;

/// A parser over a text.
pub struct Parser<'t> {
    pub(super) text: &'t str,
    pub(super) current: Token,
    pub(super) depth: u32,
}

impl<'t> Parser<'t> {
    /// A parser that stands before the token at byte `at`.
    pub fn new(text: &'t str, at: usize) -> Result<Parser<'t>, SyntaxError> {
        if text.len() > SOURCE_BYTES_MAX {
            return Err(LexError { at: SOURCE_BYTES_MAX, what: format!("a DT text has at most {SOURCE_BYTES_MAX} bytes") });
        }
        Ok(Parser { text, current: token(text, at, true)?, depth: 0 })
    }

    /// Where the current token begins.
    pub fn at(&self) -> usize {
        self.current.start
    }

    /// True when the current token is this symbol.
    pub fn is_symbol(&self, symbol: &str) -> bool {
        self.is(symbol)
    }

    /// The byte after a symbol that must be here; what follows is not read.
    pub fn closing(&self, symbol: &str) -> Result<usize, SyntaxError> {
        if self.is(symbol) { Ok(self.current.end) } else { self.error(format!("expected `{symbol}`")) }
    }

    /// True at the end of the text.
    pub fn at_end(&self) -> bool {
        self.current.kind == Kind::End
    }

    pub(super) fn error<T>(&self, what: impl Into<String>) -> Result<T, SyntaxError> {
        Err(LexError { at: self.current.start, what: what.into() })
    }

    pub(super) fn advance(&mut self) -> Result<(), SyntaxError> {
        // After a value a slash divides, else it begins a pattern.
        let divides = match &self.current.kind {
            Kind::Number(_) | Kind::Text(_) | Kind::Template(_) | Kind::Regex(..) | Kind::Binding(_) => true,
            Kind::Name(name) => !matches!(name.as_str(), "return" | "typeof" | "in" | "of" | "case" | "delete" | "void" | "instanceof" | "else"),
            Kind::Symbol(symbol) => matches!(*symbol, ")" | "]" | "}"),
            Kind::End => false,
        };
        self.current = token(self.text, self.current.end, !divides)?;
        Ok(())
    }

    /// Goes back to the token at byte `at`.
    pub(super) fn restart(&mut self, at: usize) -> Result<(), SyntaxError> {
        self.current = token(self.text, at, true)?;
        Ok(())
    }

    pub(super) fn is(&self, symbol: &str) -> bool {
        matches!(self.current.kind, Kind::Symbol(found) if found == symbol)
    }

    pub(super) fn is_name(&self, word: &str) -> bool {
        matches!(&self.current.kind, Kind::Name(name) if name == word)
    }

    /// Steps over a symbol if it is there.
    pub fn accept(&mut self, symbol: &str) -> Result<bool, SyntaxError> {
        let found = self.is(symbol);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    pub(super) fn accept_name(&mut self, word: &str) -> Result<bool, SyntaxError> {
        let found = self.is_name(word);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    /// Steps over a symbol that must be there.
    pub fn required(&mut self, symbol: &str) -> Result<(), SyntaxError> {
        if self.accept(symbol)? { Ok(()) } else { self.error(format!("expected `{symbol}`")) }
    }

    pub(super) fn name(&mut self) -> Result<Arc<str>, SyntaxError> {
        match &self.current.kind {
            Kind::Name(name) => {
                let name = name.as_str().into();
                self.advance()?;
                Ok(name)
            }
            _ => self.error("expected a name"),
        }
    }

    pub(super) fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, SyntaxError>) -> Result<T, SyntaxError> {
        if self.depth >= NESTING_MAX {
            return self.error(format!("expressions nest deeper than {NESTING_MAX}"));
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    /// An expression, commas included.
    pub fn expression(&mut self) -> Result<Expr, SyntaxError> {
        let first = self.assignment()?;
        if !self.is(",") {
            return Ok(first);
        }
        let mut list = vec![first];
        while self.accept(",")? {
            list.push(self.assignment()?);
        }
        Ok(Expr::Sequence(list))
    }

    /// An expression without a comma at its top.
    pub fn assignment(&mut self) -> Result<Expr, SyntaxError> {
        self.deeper(Parser::assignment_inner)
    }

    fn assignment_inner(&mut self) -> Result<Expr, SyntaxError> {
        if let Some(function) = self.arrow()? {
            return Ok(function);
        }
        let left = self.ternary()?;
        let op = match &self.current.kind {
            Kind::Symbol("=") => None,
            Kind::Symbol("+=") => Some(Binary::Add),
            Kind::Symbol("-=") => Some(Binary::Sub),
            Kind::Symbol("*=") => Some(Binary::Mul),
            Kind::Symbol("/=") => Some(Binary::Div),
            Kind::Symbol("%=") => Some(Binary::Rem),
            _ => return Ok(left),
        };
        if !matches!(left, Expr::Name(_) | Expr::Member { .. }) {
            return self.error("nothing can be assigned to what stands left of `=`");
        }
        self.advance()?;
        let value = self.assignment()?;
        Ok(Expr::Assign { target: Box::new(left), op, value: Box::new(value) })
    }

    fn ternary(&mut self) -> Result<Expr, SyntaxError> {
        let test = self.binary(0)?;
        if !self.accept("?")? {
            return Ok(test);
        }
        let yes = self.assignment()?;
        self.required(":")?;
        let no = self.assignment()?;
        Ok(Expr::Ternary(Box::new((test, yes, no))))
    }

    fn operator(&self) -> Option<(&str, u8)> {
        let (name, power) = match &self.current.kind {
            Kind::Symbol(symbol) => {
                let power = match *symbol {
                    "??" => 1,
                    "||" => 2,
                    "&&" => 3,
                    "|" => 4,
                    "^" => 5,
                    "&" => 6,
                    "==" | "!=" | "===" | "!==" => 7,
                    "<" | ">" | "<=" | ">=" => 8,
                    "<<" | ">>" | ">>>" => 9,
                    "+" | "-" => 10,
                    "*" | "/" | "%" => 11,
                    "**" => 12,
                    _ => return None,
                };
                (*symbol, power)
            }
            Kind::Name(name) if name == "in" || name == "instanceof" => (name.as_str(), 8),
            _ => return None,
        };
        Some((name, power))
    }

    fn binary(&mut self, least: u8) -> Result<Expr, SyntaxError> {
        let mut left = self.unary()?;
        let mut chained = 0;
        while let Some((op, power)) = self.operator() {
            if power < least.max(1) {
                break;
            }
            chained += 1;
            if chained > NESTING_MAX {
                return self.error(format!("more than {NESTING_MAX} operators in a row"));
            }
            let op = op.to_owned();
            self.advance()?;
            // `**` groups to the right, all others to the left.
            let right = self.deeper(|p| p.binary(if op == "**" { power } else { power + 1 }))?;
            let (l, r) = (Box::new(left), Box::new(right));
            left = match op.as_str() {
                "&&" => Expr::And(l, r),
                "||" => Expr::Or(l, r),
                "??" => Expr::Coalesce(l, r),
                other => Expr::Binary(binary_of(other), l, r),
            };
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, SyntaxError> {
        let op = match &self.current.kind {
            Kind::Symbol("!") => Unary::Not,
            Kind::Symbol("-") => Unary::Minus,
            Kind::Symbol("+") => Unary::Plus,
            Kind::Symbol("~") => Unary::BitNot,
            Kind::Name(name) if name == "typeof" => Unary::TypeOf,
            Kind::Name(name) if name == "void" => Unary::Void,
            Kind::Name(name) if name == "delete" => Unary::Delete,
            Kind::Symbol("++") | Kind::Symbol("--") => {
                let by = if self.is("++") { 1.0 } else { -1.0 };
                self.advance()?;
                let target = self.deeper(Parser::unary)?;
                return Ok(Expr::Step { target: Box::new(target), by, old: false });
            }
            _ => {
                let value = self.postfix()?;
                if (self.is("++") || self.is("--")) && !self.current.after_newline {
                    let by = if self.is("++") { 1.0 } else { -1.0 };
                    self.advance()?;
                    return Ok(Expr::Step { target: Box::new(value), by, old: true });
                }
                return Ok(value);
            }
        };
        self.advance()?;
        let value = self.deeper(Parser::unary)?;
        Ok(Expr::Unary(op, Box::new(value)))
    }

    fn postfix(&mut self) -> Result<Expr, SyntaxError> {
        let mut value = self.primary()?;
        let mut chained = 0;
        loop {
            chained += 1;
            if chained > NESTING_MAX {
                return self.error(format!("more than {NESTING_MAX} members or calls in a row"));
            }
            if self.accept(".")? {
                let key = self.name()?;
                value = Expr::Member { object: Box::new(value), key: Box::new(Expr::Text(key)), optional: false };
            } else if self.accept("?.")? {
                value = if self.is("(") {
                    Expr::Call { callee: Box::new(value), args: self.args()?, optional: true }
                } else {
                    let key = if self.accept("[")? { self.index()? } else { Expr::Text(self.name()?) };
                    Expr::Member { object: Box::new(value), key: Box::new(key), optional: true }
                };
            } else if self.accept("[")? {
                let key = self.index()?;
                value = Expr::Member { object: Box::new(value), key: Box::new(key), optional: false };
            } else if self.is("(") {
                value = Expr::Call { callee: Box::new(value), args: self.args()?, optional: false };
            } else {
                return Ok(value);
            }
        }
    }

    pub(super) fn index(&mut self) -> Result<Expr, SyntaxError> {
        let key = self.expression()?;
        self.required("]")?;
        Ok(key)
    }

    pub(super) fn args(&mut self) -> Result<Vec<Item>, SyntaxError> {
        self.required("(")?;
        self.items(")")
    }

    pub(super) fn items(&mut self, close: &str) -> Result<Vec<Item>, SyntaxError> {
        let mut items = Vec::new();
        while !self.accept(close)? {
            let spread = self.accept("...")?;
            items.push(Item { value: self.assignment()?, spread });
            if !self.is(close) {
                self.required(",")?;
            }
        }
        Ok(items)
    }
}

fn binary_of(symbol: &str) -> Binary {
    match symbol {
        "+" => Binary::Add,
        "-" => Binary::Sub,
        "*" => Binary::Mul,
        "/" => Binary::Div,
        "%" => Binary::Rem,
        "**" => Binary::Pow,
        "==" => Binary::Eq,
        "!=" => Binary::NotEq,
        "===" => Binary::Same,
        "!==" => Binary::NotSame,
        "<" => Binary::Lt,
        "<=" => Binary::LtEq,
        ">" => Binary::Gt,
        ">=" => Binary::GtEq,
        "in" => Binary::In,
        "instanceof" => Binary::InstanceOf,
        "&" => Binary::BitAnd,
        "|" => Binary::BitOr,
        "^" => Binary::BitXor,
        "<<" => Binary::ShiftLeft,
        ">>" => Binary::ShiftRight,
        _ => Binary::ShiftRightZero,
    }
}
