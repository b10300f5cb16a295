//! Runs statements.

use super::ast::{Statement, Target};
use super::heap::Js;
use super::interpret::{Flow, Interpreter, Stop};
use super::operate::truthy;

impl Interpreter<'_> {
    /// Runs statements in order; functions are known before the first.
    pub fn run_all(&mut self, statements: &[Statement], scope: usize) -> Result<Flow, Stop> {
        for statement in statements {
            if let Statement::Function(function) = statement
                && let Some(name) = &function.name
            {
                let value = self.heap.function(function.clone(), scope);
                self.declare(&Target::Name(name.clone()), value, scope)?;
            }
        }
        for statement in statements {
            match self.run(statement, scope)? {
                Flow::Next => {}
                flow => return Ok(flow),
            }
        }
        Ok(Flow::Next)
    }

    fn run(&mut self, statement: &Statement, scope: usize) -> Result<Flow, Stop> {
        self.budget.steps(1)?;
        self.deeper(|interpreter| interpreter.run_inner(statement, scope))
    }

    fn run_inner(&mut self, statement: &Statement, scope: usize) -> Result<Flow, Stop> {
        match statement {
            Statement::Empty | Statement::Function(_) => {}
            Statement::Expr(expr) => {
                self.eval(expr, scope)?;
            }
            Statement::Declare(list) => {
                for (target, value) in list {
                    match value {
                        Some(value) => {
                            let value = self.eval(value, scope)?;
                            self.declare(target, value, scope)?;
                        }
                        // `var x;` does not change an `x` that is there.
                        None => {
                            if let Target::Name(name) = target
                                && let Some(scope) = self.heap.scopes.get_mut(scope)
                            {
                                scope.names.entry(name.clone()).or_insert(Js::Undefined);
                            }
                        }
                    }
                }
            }
            Statement::Return(value) => {
                let value = match value {
                    Some(value) => self.eval(value, scope)?,
                    None => Js::Undefined,
                };
                return Ok(Flow::Return(value));
            }
            Statement::If(test, yes, no) => {
                let test = self.eval(test, scope)?;
                if truthy(&test) {
                    return self.run(yes, scope);
                }
                if let Some(no) = no {
                    return self.run(no, scope);
                }
            }
            Statement::While(test, body) => {
                while truthy(&self.eval(test, scope)?) {
                    match self.run(body, scope)? {
                        Flow::Break => break,
                        Flow::Return(value) => return Ok(Flow::Return(value)),
                        Flow::Next | Flow::Continue => {}
                    }
                }
            }
            Statement::DoWhile(body, test) => loop {
                match self.run(body, scope)? {
                    Flow::Break => break,
                    Flow::Return(value) => return Ok(Flow::Return(value)),
                    Flow::Next | Flow::Continue => {}
                }
                if !truthy(&self.eval(test, scope)?) {
                    break;
                }
            },
            Statement::For { start, test, step, body } => {
                if let Some(start) = start {
                    self.run(start, scope)?;
                }
                loop {
                    if let Some(test) = test
                        && !truthy(&self.eval(test, scope)?)
                    {
                        break;
                    }
                    match self.run(body, scope)? {
                        Flow::Break => break,
                        Flow::Return(value) => return Ok(Flow::Return(value)),
                        Flow::Next | Flow::Continue => {}
                    }
                    match step {
                        Some(step) => {
                            self.eval(step, scope)?;
                        }
                        None => self.budget.steps(1)?,
                    }
                }
            }
            Statement::Each { target, keys, over, body } => {
                let over = self.eval(over, scope)?;
                for value in self.each_of(&over, *keys)? {
                    self.declare(target, value, scope)?;
                    match self.run(body, scope)? {
                        Flow::Break => break,
                        Flow::Return(value) => return Ok(Flow::Return(value)),
                        Flow::Next | Flow::Continue => {}
                    }
                }
            }
            Statement::Block(list) => return self.run_all(list, scope),
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
            Statement::Throw(value) => {
                let value = self.eval(value, scope)?;
                return Err(Stop::Throw(value));
            }
            Statement::Try { body, name, catch, finally } => {
                let mut result = self.run_all(body, scope);
                if let Err(Stop::Throw(thrown)) = result {
                    if let Some(name) = name {
                        self.declare(&Target::Name(name.clone()), thrown, scope)?;
                    }
                    result = self.run_all(catch, scope);
                }
                // What `finally` returns wins.
                return match self.run_all(finally, scope)? {
                    Flow::Next => result,
                    flow => Ok(flow),
                };
            }
            Statement::Switch(value, cases) => return self.switch(value, cases, scope),
        }
        Ok(Flow::Next)
    }

    fn switch(&mut self, value: &super::ast::Expr, cases: &[(Option<super::ast::Expr>, Vec<Statement>)], scope: usize) -> Result<Flow, Stop> {
        let value = self.eval(value, scope)?;
        let mut from = None;
        for (number, (test, _)) in cases.iter().enumerate() {
            if let Some(test) = test {
                let test = self.eval(test, scope)?;
                if self.heap.same(&value, &test) {
                    from = Some(number);
                    break;
                }
            }
        }
        let from = from.or_else(|| cases.iter().position(|(test, _)| test.is_none()));
        for (_, body) in cases.get(from.unwrap_or(cases.len())..).unwrap_or_default() {
            match self.run_all(body, scope)? {
                Flow::Next => {}
                Flow::Break => break,
                flow => return Ok(flow),
            }
        }
        Ok(Flow::Next)
    }

    /// What `for … of` and `for … in` go over.
    fn each_of(&mut self, over: &Js, keys: bool) -> Result<Vec<Js>, Stop> {
        let values = match over {
            Js::List(list) if keys => (0..self.heap.items(*list).len()).map(|index| Js::text(index.to_string())).collect(),
            Js::List(list) => self.heap.items(*list).to_vec(),
            Js::Object(object) if keys => self.heap.members(*object).map(|members| members.keys().iter().cloned().map(Js::Text).collect()).unwrap_or_default(),
            Js::Text(text) if keys => (0..text.chars().count()).map(|index| Js::text(index.to_string())).collect(),
            Js::Text(text) => text.chars().map(|c| Js::text(c.to_string())).collect(),
            _ if keys => Vec::new(),
            _ => return self.throw("what `for … of` goes over is not a list"),
        };
        self.budget.steps(values.len())?;
        Ok(values)
    }
}
