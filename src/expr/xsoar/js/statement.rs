//! Statements: of function bodies, and of what follows a DT text's semicolon.

use super::ast::{Expr, Statement};
use super::lex::Kind;
use super::parse::{Parser, SyntaxError};

impl Parser<'_> {
    /// `{ … }`
    pub(super) fn block(&mut self) -> Result<Vec<Statement>, SyntaxError> {
        self.required("{")?;
        let mut list = Vec::new();
        while !self.accept("}")? {
            list.push(self.statement()?);
        }
        Ok(list)
    }

    /// All statements up to the end of the text.
    pub fn statements(&mut self) -> Result<Vec<Statement>, SyntaxError> {
        let mut list = Vec::new();
        while !self.at_end() {
            list.push(self.statement()?);
        }
        Ok(list)
    }

    fn statement(&mut self) -> Result<Statement, SyntaxError> {
        self.deeper(Parser::statement_inner)
    }

    fn statement_inner(&mut self) -> Result<Statement, SyntaxError> {
        if self.accept(";")? {
            return Ok(Statement::Empty);
        }
        if self.is("{") {
            return Ok(Statement::Block(self.block()?));
        }
        let word = match &self.current.kind {
            Kind::Name(name) => name.clone(),
            _ => String::new(),
        };
        match word.as_str() {
            "var" | "let" | "const" => {
                let declared = self.declare()?;
                self.end_of_statement()?;
                Ok(declared)
            }
            "function" => Ok(Statement::Function(self.function()?)),
            "return" => {
                self.advance()?;
                let bare = self.is(";") || self.is("}") || self.at_end() || self.current.after_newline;
                let value = if bare { None } else { Some(self.expression()?) };
                self.end_of_statement()?;
                Ok(Statement::Return(value))
            }
            "if" => {
                self.advance()?;
                let test = self.in_parentheses()?;
                let yes = Box::new(self.statement()?);
                let no = if self.accept_name("else")? { Some(Box::new(self.statement()?)) } else { None };
                Ok(Statement::If(test, yes, no))
            }
            "while" => {
                self.advance()?;
                let test = self.in_parentheses()?;
                Ok(Statement::While(test, Box::new(self.statement()?)))
            }
            "do" => {
                self.advance()?;
                let body = Box::new(self.statement()?);
                if !self.accept_name("while")? {
                    return self.error("expected `while`");
                }
                let test = self.in_parentheses()?;
                self.accept(";")?;
                Ok(Statement::DoWhile(body, test))
            }
            "for" => self.for_loop(),
            "break" | "continue" => {
                self.advance()?;
                self.end_of_statement()?;
                Ok(if word == "break" { Statement::Break } else { Statement::Continue })
            }
            "throw" => {
                self.advance()?;
                let value = self.expression()?;
                self.end_of_statement()?;
                Ok(Statement::Throw(value))
            }
            "try" => {
                self.advance()?;
                let body = self.block()?;
                let (mut name, mut catch, mut finally) = (None, Vec::new(), Vec::new());
                if self.accept_name("catch")? {
                    if self.accept("(")? {
                        name = Some(self.name()?);
                        self.required(")")?;
                    }
                    catch = self.block()?;
                }
                if self.accept_name("finally")? {
                    finally = self.block()?;
                }
                Ok(Statement::Try { body, name, catch, finally })
            }
            "switch" => self.switch(),
            _ => {
                let value = self.expression()?;
                self.end_of_statement()?;
                Ok(Statement::Expr(value))
            }
        }
    }

    fn end_of_statement(&mut self) -> Result<(), SyntaxError> {
        if self.accept(";")? || self.is("}") || self.at_end() || self.current.after_newline {
            return Ok(());
        }
        self.error("expected `;`")
    }

    fn in_parentheses(&mut self) -> Result<Expr, SyntaxError> {
        self.required("(")?;
        let value = self.expression()?;
        self.required(")")?;
        Ok(value)
    }

    /// `var a = 1, b`; the word is current, the end is left to the caller.
    fn declare(&mut self) -> Result<Statement, SyntaxError> {
        self.advance()?;
        let mut list = Vec::new();
        loop {
            let target = self.target()?;
            let value = if self.accept("=")? { Some(self.assignment()?) } else { None };
            list.push((target, value));
            if !self.accept(",")? {
                return Ok(Statement::Declare(list));
            }
        }
    }

    fn for_loop(&mut self) -> Result<Statement, SyntaxError> {
        self.advance()?;
        self.required("(")?;
        let mut start = None;
        if !self.is(";") {
            let declared = self.is_name("var") || self.is_name("let") || self.is_name("const");
            let begin = self.at();
            if declared {
                self.advance()?;
            }
            // `x of list`, `x in object`: a target and a word.
            if let Ok(target) = self.target()
                && (self.is_name("of") || self.is_name("in"))
            {
                let keys = self.is_name("in");
                self.advance()?;
                let over = self.expression()?;
                self.required(")")?;
                let body = Box::new(self.statement()?);
                return Ok(Statement::Each { target, keys, over, body });
            }
            self.restart(begin)?;
            start = Some(Box::new(if declared { self.declare()? } else { Statement::Expr(self.expression()?) }));
        }
        self.required(";")?;
        let test = if self.is(";") { None } else { Some(self.expression()?) };
        self.required(";")?;
        let step = if self.is(")") { None } else { Some(self.expression()?) };
        self.required(")")?;
        let body = Box::new(self.statement()?);
        Ok(Statement::For { start, test, step, body })
    }

    fn switch(&mut self) -> Result<Statement, SyntaxError> {
        self.advance()?;
        let value = self.in_parentheses()?;
        self.required("{")?;
        let mut cases = Vec::new();
        while !self.accept("}")? {
            let test = if self.accept_name("default")? {
                None
            } else if self.accept_name("case")? {
                Some(self.expression()?)
            } else {
                return self.error("expected `case` or `default`");
            };
            self.required(":")?;
            let mut body = Vec::new();
            while !(self.is("}") || self.is_name("case") || self.is_name("default")) {
                body.push(self.statement()?);
            }
            cases.push((test, body));
        }
        Ok(Statement::Switch(value, cases))
    }
}
