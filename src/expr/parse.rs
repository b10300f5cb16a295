//! Expression text → [`Expr`]: a precedence-climbing parser over [`lex`](super::lex).
//!
//! Loosest to tightest: `OR`, `AND`, `NOT`, comparisons (`=`, `<`, `LIKE`, `IN`,
//! `BETWEEN`, `IS`, `~`), `||`, `+ -`, `* / %`, unary minus, `::`.

use super::ast::{BinaryOp, CastTo, Expr, Node};
pub use super::lex::ParseError;
use super::lex::{Placed, Token, tokens};
use super::path::{Path, Step, is_bare_key};

/// Deepest nesting of an expression: what a person writes stays below 20, and the
/// parser, the checker and the evaluators recurse.
pub const EXPR_DEPTH_MAX: usize = 100;
/// Longest expression text in bytes.
pub const EXPR_BYTES_MAX: usize = 64 * 1024;
/// Most tokens of an expression: `a OR b OR …` nests to the left without end, and
/// everything after the parser recurses. 500 alternatives belong into `IN` or a lookup.
pub const EXPR_TOKENS_MAX: usize = 4096;
/// Longest chain of operators on one level, for the same reason.
pub const EXPR_CHAIN_MAX: usize = 256;

/// Parses a whole expression.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(text)?;
    if parser.peek() == &Token::End {
        return Err(ParseError::new(0, text.len(), "the expression is empty"));
    }
    let expr = parser.expr(0)?;
    parser.end()?;
    Ok(expr)
}

/// Parses a text that must be a path and nothing else.
pub fn parse_path(text: &str) -> Result<Path, ParseError> {
    let mut parser = Parser::new(text)?;
    let placed = parser.next();
    let first = match placed.token {
        Token::Word(word) | Token::Quoted(word) => word,
        _ => return Err(ParseError::new(0, text.len(), "expected a path such as `user.name` or `Records[0].id`")),
    };
    let path = parser.path_from(first, placed.start)?;
    parser.end()?;
    Ok(path)
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn new(text: &str) -> Result<Parser, ParseError> {
        if text.len() > EXPR_BYTES_MAX {
            return Err(ParseError::new(0, text.len(), format!("the expression is longer than {EXPR_BYTES_MAX} bytes")));
        }
        let tokens = tokens(text)?;
        if tokens.len() > EXPR_TOKENS_MAX {
            return Err(ParseError::new(0, text.len(), format!("the expression has more than {EXPR_TOKENS_MAX} tokens")).hint("use IN (…) or a lookup"));
        }
        Ok(Parser { tokens, at: 0, depth: 0 })
    }

    fn peek(&self) -> &Token {
        &self.placed().token
    }

    fn placed(&self) -> &Placed {
        // The last token is `End` and is never passed, so the index is in range.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn next(&mut self) -> Placed {
        let placed = self.placed().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        placed
    }

    /// End of the token read last.
    fn last_end(&self) -> usize {
        self.at.checked_sub(1).map_or(0, |at| self.tokens[at].end)
    }

    fn eat(&mut self, sign: &str) -> bool {
        let hit = matches!(self.peek(), Token::Sign(s) if *s == sign);
        if hit {
            self.next();
        }
        hit
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(w) if w.eq_ignore_ascii_case(word))
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let hit = self.is_word(word);
        if hit {
            self.next();
        }
        hit
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), ParseError> {
        if self.eat(sign) { Ok(()) } else { Err(self.unexpected(&format!("`{sign}`"))) }
    }

    fn expect_word(&mut self, word: &str) -> Result<(), ParseError> {
        if self.eat_word(word) { Ok(()) } else { Err(self.unexpected(word)) }
    }

    fn end(&mut self) -> Result<(), ParseError> {
        match self.peek() {
            Token::End => Ok(()),
            _ => Err(self.unexpected("an operator or the end")),
        }
    }

    fn unexpected(&self, wanted: &str) -> ParseError {
        let placed = self.placed();
        let found = match &placed.token {
            Token::End => "the end of the expression".to_owned(),
            Token::Word(word) => format!("`{word}`"),
            Token::Quoted(key) => format!("\"{key}\""),
            Token::Text(_) => "a text".to_owned(),
            Token::Number(number) => format!("the number {number}"),
            Token::Sign(sign) => format!("`{sign}`"),
        };
        let error = ParseError::new(placed.start, placed.end, format!("expected {wanted}, found {found}"));
        match &placed.token {
            Token::Sign("-") | Token::Sign("/") | Token::Sign(":") => error.hint("a key with unusual characters goes in double quotes: \"user-agent\""),
            _ => error,
        }
    }

    fn expr(&mut self, min: u8) -> Result<Expr, ParseError> {
        self.depth += 1;
        if self.depth > EXPR_DEPTH_MAX {
            let placed = self.placed();
            return Err(ParseError::new(placed.start, placed.end, format!("the expression is nested deeper than {EXPR_DEPTH_MAX}")));
        }
        let mut left = self.prefix()?;
        for _ in 0..EXPR_CHAIN_MAX {
            match self.infix(left, min)? {
                Ok(next) => left = next,
                Err(whole) => {
                    self.depth -= 1;
                    return Ok(whole);
                }
            }
        }
        Err(ParseError::new(left.start as usize, left.end as usize, format!("more than {EXPR_CHAIN_MAX} operators in one row")).hint("use IN (…) or a lookup"))
    }

    fn prefix(&mut self) -> Result<Expr, ParseError> {
        let start = self.placed().start;
        if self.is_word("NOT") && !self.word_is_path() {
            self.next();
            let inner = self.expr(NOT)?;
            return Ok(self.finish(start, Node::Not(Box::new(inner))));
        }
        if self.eat("-") {
            let inner = self.expr(UNARY)?;
            let node = match inner.node {
                Node::Number(digits) if !digits.starts_with('-') => Node::Number(format!("-{digits}")),
                node => Node::Negate(Box::new(Expr { node, ..inner })),
            };
            return Ok(self.finish(start, node));
        }
        if self.eat("+") {
            return self.expr(UNARY);
        }
        self.primary()
    }

    /// A keyword followed by `.` or `[` is a key: `case.id`, `not.x`.
    fn word_is_path(&self) -> bool {
        matches!(self.tokens.get(self.at + 1).map(|p| &p.token), Some(Token::Sign("." | "[")))
    }

    fn primary(&mut self) -> Result<Expr, ParseError> {
        let as_path = self.word_is_path();
        let placed = self.next();
        let start = placed.start;
        let node = match placed.token {
            Token::Number(digits) => Node::Number(digits),
            Token::Text(text) => Node::Text(text),
            Token::Sign("(") => {
                let inner = self.expr(0)?;
                self.expect(")")?;
                return Ok(self.finish(start, inner.node));
            }
            Token::Quoted(key) => {
                let quoted = is_bare_key(&key) && !as_path;
                Node::Path { path: self.path_from(key, start)?, quoted }
            }
            Token::Word(word) if !as_path => match word.to_ascii_uppercase().as_str() {
                "NULL" => Node::Null,
                "TRUE" => Node::Boolean(true),
                "FALSE" => Node::Boolean(false),
                "CASE" => self.case()?,
                "CAST" | "TRY_CAST" if matches!(self.peek(), Token::Sign("(")) => self.cast()?,
                "AND" | "OR" | "IN" | "LIKE" | "ILIKE" | "BETWEEN" | "IS" | "WHEN" | "THEN" | "ELSE" | "END" => {
                    return Err(ParseError::new(start, placed.end, format!("`{word}` cannot stand here")).hint("a path with this name goes in double quotes"));
                }
                _ if matches!(self.peek(), Token::Sign("(")) => Node::Call(word.to_ascii_lowercase(), self.arguments()?),
                _ => Node::Path { path: self.path_from(word, start)?, quoted: false },
            },
            Token::Word(word) => Node::Path { path: self.path_from(word, start)?, quoted: false },
            _ => {
                self.at = self.at.saturating_sub(usize::from(placed.token != Token::End));
                return Err(self.unexpected("a value"));
            }
        };
        Ok(self.finish(start, node))
    }

    fn path_from(&mut self, first: String, start: usize) -> Result<Path, ParseError> {
        let mut steps = vec![Step::Key(first.into())];
        loop {
            if self.eat(".") {
                let placed = self.next();
                match placed.token {
                    Token::Word(key) | Token::Quoted(key) => steps.push(Step::Key(key.into())),
                    Token::Number(key) if key.bytes().all(|b| b.is_ascii_digit()) => steps.push(Step::Key(key.into())),
                    _ => {
                        return Err(ParseError::new(placed.start, placed.end.max(placed.start), "expected a key after the dot")
                            .hint("odd keys go in double quotes: a.\"b-c\""));
                    }
                }
            } else if self.eat("[") {
                let placed = self.next();
                match placed.token {
                    Token::Number(index) => match index.parse::<u32>() {
                        Ok(index) => steps.push(Step::Index(index)),
                        Err(_) => return Err(ParseError::new(placed.start, placed.end, "an index is a whole number from 0")),
                    },
                    Token::Text(key) | Token::Quoted(key) => steps.push(Step::Key(key.into())),
                    _ => {
                        return Err(ParseError::new(placed.start, placed.end, "expected an index (0-based) or a key in quotes")
                            .hint("to search a whole array use array_any(path, 'value')"));
                    }
                }
                self.expect("]")?;
            } else {
                break;
            }
        }
        Path::new(steps).ok_or_else(|| ParseError::new(start, start, "a path needs at least one key"))
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, ParseError> {
        self.expect("(")?;
        let mut args = Vec::new();
        if self.eat(")") {
            return Ok(args);
        }
        loop {
            args.push(self.expr(0)?);
            if self.eat(")") {
                return Ok(args);
            }
            if !self.eat(",") {
                return Err(self.unexpected("`,` or `)`"));
            }
        }
    }

    fn case(&mut self) -> Result<Node, ParseError> {
        let operand = if self.is_word("WHEN") { None } else { Some(Box::new(self.expr(0)?)) };
        let mut branches = Vec::new();
        while self.eat_word("WHEN") {
            let when = self.expr(0)?;
            self.expect_word("THEN")?;
            branches.push((when, self.expr(0)?));
        }
        if branches.is_empty() {
            return Err(self.unexpected("WHEN"));
        }
        let otherwise = if self.eat_word("ELSE") { Some(Box::new(self.expr(0)?)) } else { None };
        self.expect_word("END")?;
        Ok(Node::Case { operand, branches, otherwise })
    }

    fn cast(&mut self) -> Result<Node, ParseError> {
        self.expect("(")?;
        let inner = self.expr(0)?;
        self.expect_word("AS")?;
        let to = self.type_name()?;
        self.expect(")")?;
        Ok(Node::Cast(Box::new(inner), to))
    }

    fn type_name(&mut self) -> Result<CastTo, ParseError> {
        let placed = self.next();
        let Token::Word(word) = &placed.token else {
            return Err(ParseError::new(placed.start, placed.end, "expected a type").hint(TYPES));
        };
        match word.to_ascii_lowercase().as_str() {
            "text" | "string" | "varchar" | "char" | "utf8" => Ok(CastTo::Text),
            "number" | "double" | "float" | "real" | "decimal" | "numeric" | "float64" => Ok(CastTo::Number),
            "int" | "integer" | "bigint" | "smallint" | "tinyint" | "int64" => Ok(CastTo::Integer),
            "bool" | "boolean" => Ok(CastTo::Boolean),
            "time" | "timestamp" | "datetime" => Ok(CastTo::Time),
            _ => Err(ParseError::new(placed.start, placed.end, format!("unknown type `{word}`")).hint(TYPES)),
        }
    }

    /// One more operator after `left`, or `left` itself (inner `Err`) where none binds tighter than `min`.
    fn infix(&mut self, left: Expr, min: u8) -> Result<Result<Expr, Expr>, ParseError> {
        let start = left.start as usize;
        let binary = match self.peek() {
            Token::Sign(sign) => binary_sign(sign),
            Token::Word(word) if word.eq_ignore_ascii_case("AND") => Some((BinaryOp::And, AND)),
            Token::Word(word) if word.eq_ignore_ascii_case("OR") => Some((BinaryOp::Or, OR)),
            _ => None,
        };
        if let Some((op, power)) = binary {
            if power <= min {
                return Ok(Err(left));
            }
            self.next();
            let right = self.expr(power)?;
            return Ok(Ok(self.finish(start, Node::Binary(op, Box::new(left), Box::new(right)))));
        }
        if matches!(self.peek(), Token::Sign("::")) {
            if CAST <= min {
                return Ok(Err(left));
            }
            self.next();
            let to = self.type_name()?;
            return Ok(Ok(self.finish(start, Node::Cast(Box::new(left), to))));
        }
        if COMPARE <= min {
            return Ok(Err(left));
        }
        let left = Box::new(left);
        let node = if self.eat("~") {
            Node::Matches { value: left, pattern: Box::new(self.expr(COMPARE)?), negated: false }
        } else if self.eat("!~") {
            Node::Matches { value: left, pattern: Box::new(self.expr(COMPARE)?), negated: true }
        } else if self.eat_word("IS") {
            let negated = self.eat_word("NOT");
            if self.eat_word("NULL") {
                Node::IsNull(left, negated)
            } else {
                // `x IS [NOT] TRUE/FALSE`: never NULL, unlike `x = TRUE`.
                let truth = if self.eat_word("TRUE") {
                    true
                } else {
                    self.expect_word("FALSE").map_err(|e| e.hint("write IS NULL, IS NOT NULL, IS TRUE or IS FALSE"))?;
                    false
                };
                let at = (left.start, left.end);
                let place = |node| Box::new(Expr { node, start: at.0, end: at.1 });
                let same = place(Node::Binary(BinaryOp::Eq, left, place(Node::Boolean(truth))));
                let branch = (*same, *place(Node::Boolean(!negated)));
                Node::Case { operand: None, branches: vec![branch], otherwise: Some(place(Node::Boolean(negated))) }
            }
        } else {
            let negated = self.is_word("NOT");
            let next = if negated { self.tokens.get(self.at + 1).map(|p| &p.token) } else { Some(self.peek()) };
            let Some(Token::Word(word)) = next else { return Ok(Err(*left)) };
            let word = word.to_ascii_uppercase();
            if !matches!(word.as_str(), "LIKE" | "ILIKE" | "IN" | "BETWEEN") {
                return Ok(Err(*left));
            }
            self.at += usize::from(negated) + 1;
            match word.as_str() {
                "IN" => Node::In { value: left, list: self.arguments()?, negated },
                "BETWEEN" => {
                    let low = Box::new(self.expr(COMPARE)?);
                    self.expect_word("AND")?;
                    Node::Between { value: left, low, high: Box::new(self.expr(COMPARE)?), negated }
                }
                _ => Node::Like { value: left, pattern: Box::new(self.expr(COMPARE)?), negated, fold_case: word == "ILIKE" },
            }
        };
        Ok(Ok(self.finish(start, node)))
    }

    fn finish(&self, start: usize, node: Node) -> Expr {
        Expr { node, start: start as u32, end: self.last_end() as u32 }
    }
}

const OR: u8 = 1;
const AND: u8 = 2;
const NOT: u8 = 3;
const COMPARE: u8 = 4;
const UNARY: u8 = 9;
const CAST: u8 = 10;

const TYPES: &str = "types: text, number, integer, boolean, time";

fn binary_sign(sign: &str) -> Option<(BinaryOp, u8)> {
    Some(match sign {
        "=" => (BinaryOp::Eq, COMPARE),
        "!=" | "<>" => (BinaryOp::NotEq, COMPARE),
        "<" => (BinaryOp::Lt, COMPARE),
        "<=" => (BinaryOp::LtEq, COMPARE),
        ">" => (BinaryOp::Gt, COMPARE),
        ">=" => (BinaryOp::GtEq, COMPARE),
        "||" => (BinaryOp::Concat, 5),
        "+" => (BinaryOp::Add, 6),
        "-" => (BinaryOp::Subtract, 6),
        "*" => (BinaryOp::Multiply, 7),
        "/" => (BinaryOp::Divide, 7),
        "%" => (BinaryOp::Modulo, 7),
        _ => return None,
    })
}
