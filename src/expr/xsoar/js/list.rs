//! Methods of lists.

use super::heap::Js;
use super::interpret::{Interpreter, Stop};
use super::operate::truthy;
use super::text::position;

impl Interpreter<'_> {
    /// A method of a list; `None` if there is no such method.
    pub fn list_method(&mut self, list: usize, name: &str, args: &[Js]) -> Result<Option<Js>, Stop> {
        let items = self.heap.items(list).to_vec();
        self.budget.steps(items.len() / 8 + 1)?;
        self.budget.bytes(items.len())?;
        let first = args.first().cloned().unwrap_or(Js::Undefined);
        let length = items.len();
        let found = |at: Option<usize>| Js::Number(at.map_or(-1.0, |at| at as f64));
        Ok(Some(match name {
            "indexOf" => {
                let from = position(self.index_arg(args, 1), length, 0);
                found(items.iter().skip(from).position(|item| self.heap.same(item, &first)).map(|at| at + from))
            }
            "lastIndexOf" => found(items.iter().rposition(|item| self.heap.same(item, &first))),
            "includes" => Js::Flag(items.iter().any(|item| self.heap.same(item, &first))),
            "join" => {
                let separator = if first.is_nullish() { ",".to_owned() } else { self.heap.text(&first) };
                let mut out = String::new();
                for (number, item) in items.iter().enumerate() {
                    if number > 0 {
                        out.push_str(&separator);
                    }
                    if !item.is_nullish() {
                        out.push_str(&self.heap.text(item));
                    }
                    self.budget.bytes(separator.len())?;
                }
                self.budget.bytes(out.len())?;
                Js::text(out)
            }
            "map" | "filter" | "forEach" | "some" | "every" | "find" | "findIndex" | "flatMap" => self.each(list, &items, name, &first)?,
            "reduce" | "reduceRight" => self.reduce(list, items, name == "reduceRight", args)?,
            "concat" => {
                let mut all = items;
                for arg in args {
                    match arg {
                        Js::List(other) => all.extend_from_slice(self.heap.items(*other)),
                        other => all.push(other.clone()),
                    }
                }
                self.heap.list(all, self.budget)?
            }
            "slice" => {
                let (from, to) = (position(self.index_arg(args, 0), length, 0), position(self.index_arg(args, 1), length, length));
                let part = items.get(from..to.max(from)).unwrap_or_default().to_vec();
                self.heap.list(part, self.budget)?
            }
            "splice" => {
                let from = position(self.index_arg(args, 0), length, 0);
                let count = self.index_arg(args, 1).map_or(length - from, |count| (count.max(0) as usize).min(length - from));
                self.budget.bytes(args.len() * 32)?;
                let removed = match self.heap.items_mut(list) {
                    Some(items) => items.splice(from..from + count, args.iter().skip(2).cloned()).collect(),
                    None => Vec::new(),
                };
                self.heap.list(removed, self.budget)?
            }
            "push" | "unshift" => {
                self.budget.bytes(args.len() * 32)?;
                let items = self.heap.items_mut(list);
                Js::Number(items.map_or(0, |items| {
                    let at = if name == "push" { items.len() } else { 0 };
                    items.splice(at..at, args.iter().cloned());
                    items.len()
                }) as f64)
            }
            "pop" => self.heap.items_mut(list).and_then(Vec::pop).unwrap_or(Js::Undefined),
            "shift" => self.heap.items_mut(list).filter(|items| !items.is_empty()).map_or(Js::Undefined, |items| items.remove(0)),
            "reverse" => {
                if let Some(items) = self.heap.items_mut(list) {
                    items.reverse();
                }
                Js::List(list)
            }
            "sort" => {
                let sorted = self.sort(items, &first)?;
                if let Some(items) = self.heap.items_mut(list) {
                    *items = sorted;
                }
                Js::List(list)
            }
            "flat" => {
                let levels = self.index_arg(args, 0).unwrap_or(1);
                let mut out = Vec::new();
                self.flatten(&items, levels, &mut out)?;
                self.heap.list(out, self.budget)?
            }
            "keys" => {
                let keys = (0..length).map(|index| Js::Number(index as f64)).collect();
                self.heap.list(keys, self.budget)?
            }
            "toString" => Js::text(self.heap.text(&Js::List(list))),
            _ => return Ok(None),
        }))
    }

    fn flatten(&mut self, items: &[Js], levels: i64, out: &mut Vec<Js>) -> Result<(), Stop> {
        for item in items {
            self.budget.bytes(32)?;
            match item {
                Js::List(inner) if levels > 0 => {
                    let inner = self.heap.items(*inner).to_vec();
                    self.deeper(|interpreter| interpreter.flatten(&inner, levels - 1, out))?;
                }
                other => out.push(other.clone()),
            }
        }
        Ok(())
    }

    fn each(&mut self, list: usize, items: &[Js], name: &str, function: &Js) -> Result<Js, Stop> {
        let mut out = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let answer = self.call(function, &[item.clone(), Js::Number(number as f64), Js::List(list)])?;
            let held = truthy(&answer);
            match name {
                "map" => out.push(answer),
                "flatMap" => match answer {
                    Js::List(inner) => out.extend_from_slice(self.heap.items(inner)),
                    other => out.push(other),
                },
                "filter" if held => out.push(item.clone()),
                "some" if held => return Ok(Js::Flag(true)),
                "every" if !held => return Ok(Js::Flag(false)),
                "find" if held => return Ok(item.clone()),
                "findIndex" if held => return Ok(Js::Number(number as f64)),
                _ => {}
            }
        }
        Ok(match name {
            "map" | "flatMap" | "filter" => self.heap.list(out, self.budget)?,
            "some" => Js::Flag(false),
            "every" => Js::Flag(true),
            "findIndex" => Js::Number(-1.0),
            _ => Js::Undefined,
        })
    }

    fn reduce(&mut self, list: usize, items: Vec<Js>, from_right: bool, args: &[Js]) -> Result<Js, Stop> {
        let function = args.first().cloned().unwrap_or(Js::Undefined);
        let mut items: Vec<(usize, Js)> = items.into_iter().enumerate().collect();
        if from_right {
            items.reverse();
        }
        let mut items = items.into_iter();
        let mut sum = match args.get(1) {
            Some(start) => start.clone(),
            None => match items.next() {
                Some((_, first)) => first,
                None => return self.throw("reduce of an empty list without a start"),
            },
        };
        for (number, item) in items {
            sum = self.call(&function, &[sum, item, Js::Number(number as f64), Js::List(list)])?;
        }
        Ok(sum)
    }

    /// Merge sort: a comparison may throw, and may be anything but consistent.
    fn sort(&mut self, mut items: Vec<Js>, compare: &Js) -> Result<Vec<Js>, Stop> {
        if items.len() < 2 {
            return Ok(items);
        }
        self.budget.steps(items.len())?;
        let right = items.split_off(items.len() / 2);
        let (left, right) = (self.sort(items, compare)?, self.sort(right, compare)?);
        let mut out = Vec::with_capacity(left.len() + right.len());
        let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let later = if compare.is_nullish() {
                self.heap.text(a) > self.heap.text(b)
            } else {
                let (a, b) = (a.clone(), b.clone());
                let answer = self.call(compare, &[a, b])?;
                self.heap.number(&answer) > 0.0
            };
            out.extend(if later { right.next() } else { left.next() });
        }
        out.extend(left);
        out.extend(right);
        Ok(out)
    }
}
