//! The interpreter: walks the syntax tree, counts every step.

use std::sync::Arc;

use serde_json::Value;

use super::ast::{Expr, Function, Item, Property, Statement, Target, Unary};
use super::heap::{Heap, Js, Members, Scope};
use super::operate::{to_int32, truthy, type_name};
use crate::expr::xsoar::fault::{Budget, Fault};

/// Nested expressions and calls. Each level costs stack.
const LEVELS_MAX: u32 = 180;

/// Why an evaluation stops early.
#[derive(Debug)]
pub enum Stop {
    /// An exception of the language.
    Throw(Js),
    /// A bound is exceeded.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Fault(fault)
    }
}

/// How a statement ends.
#[derive(Debug)]
pub enum Flow {
    /// It goes on.
    Next,
    /// The function returns.
    Return(Js),
    /// The loop ends.
    Break,
    /// The loop goes on with the next turn.
    Continue,
}

/// One evaluation.
pub struct Interpreter<'a> {
    /// What was made.
    pub heap: Heap,
    /// The bounds.
    pub budget: &'a Budget,
    /// The value at the top, for `val1---path`.
    top: &'a Value,
    levels: u32,
}

impl<'a> Interpreter<'a> {
    /// An interpreter whose root scope knows the functions declared in `statements`.
    pub fn new(budget: &'a Budget, top: &'a Value, statements: &[Statement]) -> Result<Interpreter<'a>, Stop> {
        let mut heap = Heap::default();
        heap.scopes.push(Scope::default());
        let mut interpreter = Interpreter { heap, budget, top, levels: 0 };
        interpreter.run_all(statements, 0)?;
        Ok(interpreter)
    }

    /// Binds a name at the root.
    pub fn bind(&mut self, name: &str, value: Js) {
        if let Some(root) = self.heap.scopes.first_mut() {
            root.names.insert(name.into(), value);
        }
    }

    /// An exception with a message.
    pub fn throw<T>(&self, what: &str) -> Result<T, Stop> {
        Err(Stop::Throw(Js::text(what)))
    }

    /// Evaluates an expression in the root scope.
    pub fn evaluate(&mut self, expr: &Expr) -> Result<Js, Stop> {
        self.eval(expr, 0)
    }

    /// Evaluates an expression in a scope.
    pub fn eval(&mut self, expr: &Expr, scope: usize) -> Result<Js, Stop> {
        self.budget.steps(1)?;
        if self.levels >= LEVELS_MAX {
            return Err(Fault::Budget { limit: u64::from(LEVELS_MAX), unit: "levels of calls" }.into());
        }
        self.levels += 1;
        let result = self.eval_inner(expr, scope);
        self.levels -= 1;
        result
    }

    fn eval_inner(&mut self, expr: &Expr, scope: usize) -> Result<Js, Stop> {
        match expr {
            Expr::Undefined => Ok(Js::Undefined),
            Expr::Null => Ok(Js::Null),
            Expr::Flag(flag) => Ok(Js::Flag(*flag)),
            Expr::Number(number) => Ok(Js::Number(*number)),
            Expr::Text(text) => Ok(Js::Text(text.clone())),
            Expr::Template(parts) => self.template(parts, scope),
            Expr::Regex { pattern, global } => Ok(Js::Regex(pattern.clone(), *global)),
            Expr::Name(name) => self.lookup(name, scope),
            Expr::Bound(dt) => {
                let value = dt.evaluate(self.top, self.budget)?;
                Ok(self.heap.enter(&value, self.budget)?)
            }
            Expr::Array(items) => {
                let items = self.items(items, scope)?;
                Ok(self.heap.list(items, self.budget)?)
            }
            Expr::Object(members) => self.object(members, scope),
            Expr::Member { object, key, optional } => {
                let object = self.eval(object, scope)?;
                if *optional && object.is_nullish() {
                    return Ok(Js::Undefined);
                }
                let key = self.eval(key, scope)?;
                self.member(&object, &key)
            }
            Expr::Call { callee, args, optional } => self.call_expr(callee, args, *optional, scope),
            Expr::New { class, args } => {
                let args = self.items(args, scope)?;
                self.construct(class, &args)
            }
            Expr::Unary(op, operand) => self.unary(*op, operand, scope),
            Expr::Binary(op, a, b) => {
                let a = self.eval(a, scope)?;
                let b = self.eval(b, scope)?;
                self.binary(*op, &a, &b)
            }
            Expr::And(a, b) => {
                let a = self.eval(a, scope)?;
                if truthy(&a) { self.eval(b, scope) } else { Ok(a) }
            }
            Expr::Or(a, b) => {
                let a = self.eval(a, scope)?;
                if truthy(&a) { Ok(a) } else { self.eval(b, scope) }
            }
            Expr::Coalesce(a, b) => {
                let a = self.eval(a, scope)?;
                if a.is_nullish() { self.eval(b, scope) } else { Ok(a) }
            }
            Expr::Ternary(parts) => {
                let (test, yes, no) = &**parts;
                let test = self.eval(test, scope)?;
                self.eval(if truthy(&test) { yes } else { no }, scope)
            }
            Expr::Assign { target, op, value } => {
                let mut value = self.eval(value, scope)?;
                if let Some(op) = op {
                    let old = self.eval(target, scope)?;
                    value = self.binary(*op, &old, &value)?;
                }
                self.assign(target, value.clone(), scope)?;
                Ok(value)
            }
            Expr::Step { target, by, old } => {
                let before = self.eval(target, scope)?;
                let before = self.heap.number(&before);
                self.assign(target, Js::Number(before + by), scope)?;
                Ok(Js::Number(if *old { before } else { before + by }))
            }
            Expr::Function(function) => Ok(self.heap.function(function.clone(), scope)),
            Expr::Sequence(list) => {
                let mut last = Js::Undefined;
                for expr in list {
                    last = self.eval(expr, scope)?;
                }
                Ok(last)
            }
        }
    }

    fn template(&mut self, parts: &[(Arc<str>, Option<Expr>)], scope: usize) -> Result<Js, Stop> {
        let mut out = String::new();
        for (text, expr) in parts {
            out.push_str(text);
            if let Some(expr) = expr {
                let value = self.eval(expr, scope)?;
                out.push_str(&self.heap.text(&value));
            }
        }
        self.budget.bytes(out.len())?;
        Ok(Js::text(out))
    }

    fn object(&mut self, list: &[Property], scope: usize) -> Result<Js, Stop> {
        let mut members = Members::default();
        for property in list {
            match property {
                Property::Pair(key, value) => {
                    let key = self.eval(key, scope)?;
                    let key = self.heap.text(&key);
                    let value = self.eval(value, scope)?;
                    members.set(key.into(), value);
                }
                Property::Spread(value) => {
                    if let Js::Object(object) = self.eval(value, scope)?
                        && let Some(from) = self.heap.members(object)
                    {
                        for key in from.keys() {
                            members.set(key.clone(), from.get(key).cloned().unwrap_or(Js::Undefined));
                        }
                    }
                }
            }
        }
        Ok(self.heap.object(members, self.budget)?)
    }

    fn items(&mut self, items: &[Item], scope: usize) -> Result<Vec<Js>, Stop> {
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            let value = self.eval(&item.value, scope)?;
            match value {
                Js::List(spread) if item.spread => {
                    self.budget.steps(self.heap.items(spread).len())?;
                    list.extend_from_slice(self.heap.items(spread));
                }
                _ if item.spread => return self.throw("only a list can be spread"),
                value => list.push(value),
            }
        }
        Ok(list)
    }

    fn lookup(&self, name: &Arc<str>, scope: usize) -> Result<Js, Stop> {
        let mut at = Some(scope);
        while let Some(scope) = at.and_then(|at| self.heap.scopes.get(at)) {
            if let Some(value) = scope.names.get(name) {
                return Ok(value.clone());
            }
            at = scope.parent;
        }
        match &**name {
            "NaN" => Ok(Js::Number(f64::NAN)),
            "Infinity" => Ok(Js::Number(f64::INFINITY)),
            known if super::builtin::is_global(known) => Ok(Js::Native(name.clone())),
            _ => self.throw("a name is not defined"),
        }
    }

    fn unary(&mut self, op: Unary, operand: &Expr, scope: usize) -> Result<Js, Stop> {
        match (op, operand) {
            // `typeof` of a name that is not defined is no error.
            (Unary::TypeOf, Expr::Name(name)) => Ok(Js::text(self.lookup(name, scope).map_or("undefined", |value| type_name(&value)))),
            (Unary::Delete, Expr::Member { object, key, .. }) => {
                let object = self.eval(object, scope)?;
                let key = self.eval(key, scope)?;
                let key = self.heap.text(&key);
                if let Js::Object(object) = object
                    && let Some(members) = self.heap.members_mut(object)
                {
                    members.remove(&key);
                }
                Ok(Js::Flag(true))
            }
            _ => {
                let value = self.eval(operand, scope)?;
                Ok(match op {
                    Unary::Not => Js::Flag(!truthy(&value)),
                    Unary::Minus => Js::Number(-self.heap.number(&value)),
                    Unary::Plus => Js::Number(self.heap.number(&value)),
                    Unary::BitNot => Js::Number(f64::from(!to_int32(self.heap.number(&value)))),
                    Unary::TypeOf => Js::text(type_name(&value)),
                    Unary::Void => Js::Undefined,
                    Unary::Delete => Js::Flag(true),
                })
            }
        }
    }

    fn assign(&mut self, target: &Expr, value: Js, scope: usize) -> Result<(), Stop> {
        match target {
            Expr::Name(name) => {
                let mut at = Some(scope);
                while let Some(number) = at {
                    let Some(found) = self.heap.scopes.get_mut(number) else { break };
                    // A name that nobody declared is a global one.
                    if number == 0 || found.names.contains_key(name) {
                        found.names.insert(name.clone(), value);
                        break;
                    }
                    at = found.parent;
                }
                Ok(())
            }
            Expr::Member { object, key, .. } => {
                let object = self.eval(object, scope)?;
                let key = self.eval(key, scope)?;
                self.set_member(&object, &key, value)
            }
            _ => self.throw("nothing can be assigned to this"),
        }
    }

    fn set_member(&mut self, object: &Js, key: &Js, value: Js) -> Result<(), Stop> {
        let text = self.heap.text(key);
        match object {
            Js::Object(object) => {
                self.budget.bytes(text.len() + 64)?;
                if let Some(members) = self.heap.members_mut(*object) {
                    members.set(text.into(), value);
                }
                Ok(())
            }
            Js::List(list) => {
                let Ok(index) = text.parse::<usize>() else { return self.throw("a list has no such member") };
                let length = self.heap.items(*list).len();
                // A far index fills the list up to it.
                self.budget.bytes(index.saturating_sub(length).saturating_mul(32))?;
                if let Some(items) = self.heap.items_mut(*list) {
                    if index >= items.len() {
                        items.resize(index + 1, Js::Undefined);
                    }
                    if let Some(slot) = items.get_mut(index) {
                        *slot = value;
                    }
                }
                Ok(())
            }
            Js::Undefined | Js::Null => self.throw("cannot set a member of undefined or null"),
            _ => Ok(()),
        }
    }

    fn call_expr(&mut self, callee: &Expr, args: &[Item], optional: bool, scope: usize) -> Result<Js, Stop> {
        if let Expr::Member { object, key, optional: member_optional } = callee {
            let object = self.eval(object, scope)?;
            if *member_optional && object.is_nullish() {
                return Ok(Js::Undefined);
            }
            let key = self.eval(key, scope)?;
            let args = self.items(args, scope)?;
            return self.call_method(&object, &key, &args, optional);
        }
        let function = self.eval(callee, scope)?;
        if optional && function.is_nullish() {
            return Ok(Js::Undefined);
        }
        let args = self.items(args, scope)?;
        self.call(&function, &args)
    }

    /// Calls a function.
    pub fn call(&mut self, function: &Js, args: &[Js]) -> Result<Js, Stop> {
        match function {
            Js::Function(number) => {
                let Some((function, scope)) = self.heap.function_at(*number) else { return Ok(Js::Undefined) };
                self.call_function(&function, scope, args)
            }
            Js::Native(name) => self.native(name, args),
            _ => self.throw("what is called is not a function"),
        }
    }

    fn call_function(&mut self, function: &Function, outer: usize, args: &[Js]) -> Result<Js, Stop> {
        self.budget.steps(1)?;
        self.budget.bytes(128)?;
        self.heap.scopes.push(Scope { parent: Some(outer), ..Scope::default() });
        let scope = self.heap.scopes.len() - 1;
        for (number, (target, default, rest)) in function.params.iter().enumerate() {
            let value = if *rest {
                self.heap.list(args.get(number..).unwrap_or_default().to_vec(), self.budget)?
            } else {
                match (args.get(number), default) {
                    (None | Some(Js::Undefined), Some(default)) => self.eval(default, scope)?,
                    (value, _) => value.cloned().unwrap_or(Js::Undefined),
                }
            };
            self.declare(target, value, scope)?;
        }
        match self.run_all(&function.body, scope)? {
            Flow::Return(value) => Ok(value),
            _ => Ok(Js::Undefined),
        }
    }

    /// Binds the names of a declaration.
    pub fn declare(&mut self, target: &Target, value: Js, scope: usize) -> Result<(), Stop> {
        match target {
            Target::Name(name) => {
                if let Some(scope) = self.heap.scopes.get_mut(scope) {
                    scope.names.insert(name.clone(), value);
                }
            }
            Target::List(targets) => {
                let items = match &value {
                    Js::List(list) => self.heap.items(*list).to_vec(),
                    _ => return self.throw("what is taken apart is not a list"),
                };
                for (number, target) in targets.iter().enumerate() {
                    if let Some(target) = target {
                        self.declare(target, items.get(number).cloned().unwrap_or(Js::Undefined), scope)?;
                    }
                }
            }
            Target::Object(targets) => {
                for (key, target) in targets {
                    let member = self.member(&value, &Js::Text(key.clone()))?;
                    self.declare(target, member, scope)?;
                }
            }
        }
        Ok(())
    }

    /// One level deeper, for statements.
    pub fn deeper<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        if self.levels >= LEVELS_MAX {
            return Err(Fault::Budget { limit: u64::from(LEVELS_MAX), unit: "levels of calls" }.into());
        }
        self.levels += 1;
        let result = run(self);
        self.levels -= 1;
        result
    }
}
