//! Values between operators → syntax tree: literals, names, lists, objects, templates.

use std::sync::Arc;

use super::ast::{Expr, Property};
use super::lex::{Kind, LexError};
use super::parse::{Parser, SyntaxError};
use crate::expr::xsoar::path::Dt;
use crate::expr::xsoar::pattern::{Dialect, Flags, Pattern};

impl Parser<'_> {
    /// A value on its own: a literal, a name, a bracket.
    pub(super) fn primary(&mut self) -> Result<Expr, SyntaxError> {
        let value = match self.current.kind.clone() {
            Kind::Number(number) => Expr::Number(number),
            Kind::Text(text) => Expr::Text(text.into()),
            Kind::Template(parts) => self.template(parts)?,
            Kind::Regex(pattern, flags) => {
                let known = Flags { ignore_case: flags.contains('i'), multi_line: flags.contains('m'), dot_all: flags.contains('s') };
                match Pattern::new(&pattern, Dialect::JavaScript, known) {
                    Some(compiled) => Expr::Regex { pattern: Arc::new(compiled), global: flags.contains('g') },
                    None => return self.error("not a regular expression, or one that is too large"),
                }
            }
            Kind::Binding(path) => match Dt::parse(&path) {
                Ok(dt) => Expr::Bound(Arc::new(dt)),
                Err(error) => return self.error(error.what),
            },
            Kind::Symbol("(") => {
                self.advance()?;
                let inner = self.expression()?;
                self.required(")")?;
                return Ok(inner);
            }
            Kind::Symbol("[") => {
                self.advance()?;
                return Ok(Expr::Array(self.items("]")?));
            }
            Kind::Symbol("{") => return self.object(),
            // `.Name` is a member of the current item.
            Kind::Symbol(".") => {
                self.advance()?;
                let key = self.name()?;
                return Ok(Expr::Member { object: Box::new(Expr::Name("val".into())), key: Box::new(Expr::Text(key)), optional: false });
            }
            Kind::Name(name) => match name.as_str() {
                "function" => return Ok(Expr::Function(self.function()?)),
                "new" => {
                    self.advance()?;
                    let class = self.name()?;
                    let args = if self.is("(") { self.args()? } else { Vec::new() };
                    return Ok(Expr::New { class, args });
                }
                "true" => Expr::Flag(true),
                "false" => Expr::Flag(false),
                "null" => Expr::Null,
                "undefined" => Expr::Undefined,
                "var" | "let" | "const" | "if" | "for" | "while" | "return" | "class" | "import" | "async" | "await" | "yield" => {
                    return self.error(format!("`{name}` cannot stand in an expression"));
                }
                _ => Expr::Name(name.into()),
            },
            Kind::Symbol(symbol) => return self.error(format!("`{symbol}` cannot begin a value")),
            Kind::End => return self.error("the expression ends too early"),
        };
        self.advance()?;
        Ok(value)
    }

    fn template(&mut self, parts: Vec<(String, Option<(String, usize)>)>) -> Result<Expr, SyntaxError> {
        let mut list = Vec::new();
        for (text, source) in parts {
            let inner = match source {
                Some((source, offset)) => {
                    let shift = |error: LexError| LexError { at: error.at + offset, ..error };
                    let depth = self.depth;
                    let mut parser = Parser::new(&source, 0).map_err(shift)?;
                    parser.depth = depth;
                    Some(parser.deeper(Parser::expression).map_err(shift)?)
                }
                None => None,
            };
            list.push((text.into(), inner));
        }
        Ok(Expr::Template(list))
    }

    fn object(&mut self) -> Result<Expr, SyntaxError> {
        self.required("{")?;
        let mut members = Vec::new();
        while !self.accept("}")? {
            if self.accept("...")? {
                members.push(Property::Spread(self.assignment()?));
            } else if self.accept("[")? {
                let key = self.index()?;
                self.required(":")?;
                members.push(Property::Pair(key, self.assignment()?));
            } else {
                let (key, name) = match self.current.kind.clone() {
                    Kind::Name(name) => (Expr::Text(name.as_str().into()), Some(name)),
                    Kind::Text(text) => (Expr::Text(text.into()), None),
                    Kind::Number(number) => (Expr::Number(number), None),
                    _ => return self.error("expected the key of a member"),
                };
                self.advance()?;
                match name {
                    Some(name) if !self.is(":") => members.push(Property::Pair(key, Expr::Name(name.into()))),
                    _ => {
                        self.required(":")?;
                        members.push(Property::Pair(key, self.assignment()?));
                    }
                }
            }
            if !self.is("}") {
                self.required(",")?;
            }
        }
        Ok(Expr::Object(members))
    }
}
