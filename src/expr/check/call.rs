//! Calls: what is written as a function but is part of the language, functions of ours, of
//! lookup tables, and of DataFusion.

use std::borrow::Cow;

use super::{Checker, is_dynamic};
use crate::expr::ast::{Expr, Node};
use crate::expr::coerce::null_of;
use crate::expr::convert::convert;
use crate::expr::function::{self, Arg, Bound, Misuse};
use crate::expr::library;
use crate::expr::parse::parse_path;
use crate::expr::reference;
use crate::expr::typed::{Compare, Constant, FunctionRef, Op, Record, Source, Typed};
use crate::expr::value::{Type, Value, parse_number};

impl Checker<'_> {
    pub(super) fn call(&mut self, expr: &Expr, name: &str, args: &[Expr], want: Option<Type>) -> Option<Typed> {
        let exprs: Vec<&Expr> = args.iter().collect();
        match name {
            "event" => {
                let text = self.one_text(expr, args, "event('a.b') takes one path as text")?;
                return match parse_path(&text) {
                    Ok(path) => Some(Typed::input(Source::Event(path), Type::Text)),
                    Err(error) => {
                        self.problem(expr, error.message, error.hint);
                        None
                    }
                };
            }
            "coalesce" | "nvl" | "ifnull" => {
                if exprs.is_empty() {
                    self.problem(expr, "coalesce needs at least one argument", None);
                    return None;
                }
                let list = self.common(&exprs, want)?;
                let ty = list.iter().map(|x| x.ty).find(|ty| *ty != Type::Null).unwrap_or(Type::Null);
                let list: Vec<Typed> = list.into_iter().filter(|x| x.ty != Type::Null).collect();
                return Some(match list.len() {
                    0 => Typed::constant(Value::Null),
                    1 => list.into_iter().next()?,
                    _ => Typed { op: Op::Coalesce(list), ty },
                });
            }
            "nullif" if args.len() == 2 => {
                let same = self.compare(expr, Compare::Eq, &args[0], &args[1])?;
                let value = self.wanted(&args[0], want)?;
                let ty = value.ty;
                return Some(Typed { op: Op::Case { branches: vec![(same, null_of(ty))], otherwise: Box::new(value) }, ty });
            }
            "exists" if args.len() == 1 => {
                let value = self.wanted(&args[0], None)?;
                return Some(Typed { op: Op::IsNull(Box::new(value), true), ty: Type::Boolean });
            }
            "number" | "text" | "boolean" if args.len() == 1 => {
                let to = match name {
                    "number" => Type::Number,
                    "text" => Type::Text,
                    _ => Type::Boolean,
                };
                let value = self.wanted(&args[0], None)?;
                return Some(if value.ty == to {
                    value
                } else if is_dynamic(&value) && !self.scope.lists_failures() {
                    self.coerce(expr, value, to)?
                } else {
                    convert(value, to, false)
                });
            }
            "lookup" => return self.lookup(expr, args),
            _ => {}
        }
        let constants: Vec<Arg> = args
            .iter()
            .map(|arg| match &arg.node {
                Node::Text(text) => Arg::Constant(Value::Text(Cow::Owned(text.clone()))),
                Node::Number(digits) => parse_number(digits).map_or(Arg::Row, |n| Arg::Constant(Value::Number(n))),
                Node::Boolean(truth) => Arg::Constant(Value::Boolean(*truth)),
                Node::Null => Arg::Constant(Value::Null),
                _ => Arg::Row,
            })
            .collect();
        match function::bind(name, &constants) {
            Some(Ok(bound)) => self.bound(name, bound, args, &constants),
            Some(Err(misuse)) => {
                self.misuse(expr, args, misuse);
                None
            }
            None => self.library(expr, name, &exprs),
        }
    }

    fn bound(&mut self, name: &str, bound: Bound, args: &[Expr], constants: &[Arg]) -> Option<Typed> {
        let mut passed = Vec::new();
        for (index, ty) in &bound.args {
            let arg = args.get(*index)?;
            passed.push(self.wanted(arg, Some(*ty)));
        }
        let mut passed = passed.into_iter().collect::<Option<Vec<_>>>()?;
        let folded: Vec<(usize, Constant)> = constants
            .iter()
            .enumerate()
            .filter(|(index, _)| !bound.args.iter().any(|(i, _)| i == index))
            .filter_map(|(index, arg)| match arg {
                Arg::Constant(value) => Some((index, Constant(value.clone()))),
                Arg::Row => None,
            })
            .collect();
        let all_constant = !passed.is_empty() && passed.iter().all(|x| x.as_constant().is_some());
        if bound.wants_record_time {
            passed.push(Typed::input(Source::Record(Record::Timestamp), Type::Time));
        }
        let function = FunctionRef::new(name, bound.function, bound.fallible, folded);
        let typed = Typed { op: Op::Call(function, passed), ty: bound.returns };
        if all_constant && !bound.wants_record_time {
            return Some(reference::fold_constant(&typed).unwrap_or(typed));
        }
        Some(typed)
    }

    fn lookup(&mut self, expr: &Expr, args: &[Expr]) -> Option<Typed> {
        let [table, key, column] = args else {
            self.problem(expr, "lookup takes a table, a key and a column", Some("lookup('assets', src_host, 'owner')".into()));
            return None;
        };
        let key = self.wanted(key, Some(Type::Text));
        let table_name = self.constant_text(table, "the table of lookup");
        let column_name = self.constant_text(column, "the column of lookup");
        let (key, table_name, column_name) = (key?, table_name?, column_name?);
        match self.scope.lookup(&table_name, &column_name) {
            Ok(function) => {
                let constants = vec![(0, Constant(Value::Text(table_name.clone().into()))), (2, Constant(Value::Text(column_name.clone().into())))];
                let function =
                    FunctionRef { name: "lookup".into(), key: format!("lookup[{table_name}][{column_name}]").into(), function, fallible: false, constants };
                Some(Typed { op: Op::Call(function, vec![key]), ty: Type::Text })
            }
            Err((argument, message, hint)) => {
                self.problem(args.get(argument).unwrap_or(expr), message, hint);
                None
            }
        }
    }

    fn library(&mut self, expr: &Expr, name: &str, args: &[&Expr]) -> Option<Typed> {
        let udf = match library::find(name) {
            Ok(udf) => udf,
            Err((message, hint)) => {
                self.problem(expr, message, hint);
                return None;
            }
        };
        let typed = self.all(args, None)?;
        match library::bind(&udf, typed) {
            Ok(typed) => Some(typed),
            Err(message) => {
                self.problem(expr, message, None);
                None
            }
        }
    }

    fn one_text(&mut self, at: &Expr, args: &[Expr], usage: &str) -> Option<String> {
        match args {
            [Expr { node: Node::Text(text), .. }] => Some(text.clone()),
            _ => {
                self.problem(at, usage, None);
                None
            }
        }
    }

    fn misuse(&mut self, call: &Expr, args: &[Expr], misuse: Misuse) {
        let at = misuse.argument.and_then(|index| args.get(index)).unwrap_or(call);
        self.problem(at, misuse.message, misuse.hint);
    }
}
