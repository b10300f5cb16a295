//! Functions of a DT text → syntax tree: their parameters, and what values are bound to.

use std::sync::Arc;

use super::ast::{Expr, Function, Statement, Target};
use super::lex::{Kind, token};
use super::parse::{Parser, SyntaxError};

impl Parser<'_> {
    /// `x => …`, `(a, b) => …`, if that is what stands here.
    pub(super) fn arrow(&mut self) -> Result<Option<Expr>, SyntaxError> {
        let params = match &self.current.kind {
            Kind::Name(name) if name != "function" => {
                let next = token(self.text, self.current.end, false)?;
                if next.kind != Kind::Symbol("=>") {
                    return Ok(None);
                }
                let name = self.name()?;
                vec![(Target::Name(name), None, false)]
            }
            Kind::Symbol("(") if self.arrow_follows() => self.params()?,
            _ => return Ok(None),
        };
        self.required("=>")?;
        let body = if self.is("{") { self.block()? } else { vec![Statement::Return(Some(self.assignment()?))] };
        Ok(Some(Expr::Function(Arc::new(Function { name: None, params, body }))))
    }

    /// True when `=>` follows the parenthesis that opens here.
    fn arrow_follows(&self) -> bool {
        let mut at = self.current.start;
        let mut depth = 0;
        let mut regex_allowed = true;
        while let Ok(found) = token(self.text, at, regex_allowed) {
            match found.kind {
                Kind::Symbol("(") => depth += 1,
                Kind::Symbol(")") => {
                    depth -= 1;
                    if depth == 0 {
                        return token(self.text, found.end, false).is_ok_and(|next| next.kind == Kind::Symbol("=>"));
                    }
                }
                // Parameters are names, defaults and commas: what has statements is something else.
                Kind::End | Kind::Symbol(";" | "=>") => return false,
                _ => {}
            }
            regex_allowed = matches!(found.kind, Kind::Symbol(symbol) if !matches!(symbol, ")" | "]" | "}"));
            at = found.end;
        }
        false
    }

    fn params(&mut self) -> Result<Vec<(Target, Option<Expr>, bool)>, SyntaxError> {
        self.required("(")?;
        let mut params = Vec::new();
        while !self.accept(")")? {
            let rest = self.accept("...")?;
            let target = self.target()?;
            let default = if self.accept("=")? { Some(self.assignment()?) } else { None };
            params.push((target, default, rest));
            if !self.is(")") {
                self.required(",")?;
            }
        }
        Ok(params)
    }

    /// What is bound: a name, or names in a list or an object.
    pub(super) fn target(&mut self) -> Result<Target, SyntaxError> {
        self.deeper(|p| {
            if p.accept("[")? {
                let mut list = Vec::new();
                while !p.accept("]")? {
                    if p.accept(",")? {
                        list.push(None);
                        continue;
                    }
                    list.push(Some(p.target()?));
                    if !p.is("]") {
                        p.required(",")?;
                    }
                }
                return Ok(Target::List(list));
            }
            if p.accept("{")? {
                let mut members = Vec::new();
                while !p.accept("}")? {
                    let key = p.name()?;
                    let target = if p.accept(":")? { p.target()? } else { Target::Name(key.clone()) };
                    members.push((key, target));
                    if !p.is("}") {
                        p.required(",")?;
                    }
                }
                return Ok(Target::Object(members));
            }
            Ok(Target::Name(p.name()?))
        })
    }

    /// `function name(a, b) { … }`; the word `function` is current.
    pub(super) fn function(&mut self) -> Result<Arc<Function>, SyntaxError> {
        self.advance()?;
        let name = if self.is("(") { None } else { Some(self.name()?) };
        let params = self.params()?;
        let body = self.block()?;
        Ok(Arc::new(Function { name, params, body }))
    }
}
