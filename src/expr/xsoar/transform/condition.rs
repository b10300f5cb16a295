//! The boolean language of `If-Elif` (Python's operators over JSON literals and `#{paths}`),
//! and the comparisons of `If-Then-Else`.

use serde_json::Value;

use crate::expr::xsoar::env::Env;
use crate::expr::xsoar::fault::Fault;
use crate::expr::xsoar::path::Dt;
use crate::expr::xsoar::pattern::{Dialect, Flags, compile};
use crate::expr::xsoar::value::{as_number, equal, into_list, is_falsy, number_value, text_of};

const OPERATOR: &str = "If-Elif";
/// Levels of parentheses, lists and `not`.
const NESTING_MAX: u32 = 40;

fn fault(what: &'static str) -> Fault {
    Fault::Argument { operator: OPERATOR, what }
}

/// True when a condition holds for a value.
pub fn holds(text: &str, value: &Value, flags: &[String], env: &Env<'_>) -> Result<bool, Fault> {
    let flag = |name: &str| flags.iter().any(|flag| flag == name);
    let mut reader = Reader {
        rest: text,
        value,
        env,
        fold: flag("case_insensitive"),
        lists: flag("list_compare"),
        regex: flag("regex_match") || flag("regex_full_match"),
        full: flag("regex_full_match"),
        pattern: Flags { ignore_case: flag("case_insensitive"), multi_line: flag("regex_multiline"), dot_all: flag("regex_dot_all") },
        depth: 0,
    };
    let result = reader.or()?;
    if reader.peek().is_some() {
        return Err(fault("the condition does not end where it should"));
    }
    Ok(!is_falsy(&result))
}

struct Reader<'a> {
    rest: &'a str,
    value: &'a Value,
    env: &'a Env<'a>,
    fold: bool,
    lists: bool,
    regex: bool,
    full: bool,
    pattern: Flags,
    depth: u32,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        self.peek();
        match self.rest.strip_prefix(symbol) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }

    fn word(&mut self, word: &str) -> bool {
        self.peek();
        match self.rest.strip_prefix(word) {
            Some(after) if !after.starts_with(|c: char| c.is_alphanumeric() || c == '_') => {
                self.rest = after;
                true
            }
            _ => false,
        }
    }

    fn or(&mut self) -> Result<Value, Fault> {
        self.env.budget.steps(1)?;
        if self.depth >= NESTING_MAX {
            return Err(fault("the condition nests too deep"));
        }
        self.depth += 1;
        let mut left = self.and()?;
        while self.word("or") || self.symbol("||") {
            let right = self.and()?;
            left = if is_falsy(&left) { right } else { left };
        }
        self.depth -= 1;
        Ok(left)
    }

    fn and(&mut self) -> Result<Value, Fault> {
        let mut left = self.not()?;
        while self.word("and") || self.symbol("&&") {
            let right = self.not()?;
            left = if is_falsy(&left) { left } else { right };
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Value, Fault> {
        let mut negations = 0u32;
        self.peek();
        while self.word("not") || !self.rest.trim_start().starts_with("!=") && self.symbol("!") {
            self.env.budget.steps(1)?;
            negations += 1;
        }
        let value = self.comparison()?;
        if negations == 0 {
            return Ok(value);
        }
        Ok(Value::Bool(is_falsy(&value) == (negations % 2 == 1)))
    }

    fn comparison(&mut self) -> Result<Value, Fault> {
        let mut left = self.sum()?;
        let mut result = None;
        loop {
            self.peek();
            let op = if self.word("not") {
                if !self.word("in") {
                    return Err(fault("`not` without `in`"));
                }
                "not in"
            } else if self.word("in") {
                "in"
            } else {
                match ["==", "!=", "<=", ">=", "<", ">"].into_iter().find(|op| self.symbol(op)) {
                    Some(op) => op,
                    None => return Ok(result.map_or(left, Value::Bool)),
                }
            };
            let right = self.sum()?;
            // `1 < x < 3` holds when both hold.
            let holds = self.test(op, &left, &right)?;
            result = Some(result.unwrap_or(true) && holds);
            left = right;
        }
    }

    fn test(&self, op: &str, left: &Value, right: &Value) -> Result<bool, Fault> {
        if self.regex && matches!(op, "==" | "!=") && right.is_string() {
            let text = text_of(right);
            let text = if self.full { format!("^(?:{text})$") } else { text };
            let pattern = compile(&text, Dialect::Python, self.pattern, OPERATOR)?;
            let hit = pattern.is_match(&text_of(left))?;
            return Ok(hit == (op == "=="));
        }
        if self.lists && (left.is_array() || right.is_array()) && matches!(op, "==" | "!=") {
            return Ok(equal(left, right) == (op == "=="));
        }
        compare(op, left, right, self.fold, self.env)
    }

    fn sum(&mut self) -> Result<Value, Fault> {
        let mut left = self.product()?;
        loop {
            self.peek();
            let plus = self.symbol("+");
            if !plus && !self.symbol("-") {
                return Ok(left);
            }
            let right = self.product()?;
            left = match (&left, &right) {
                (Value::String(a), Value::String(b)) if plus => super::made(format!("{a}{b}"), self.env)?,
                (Value::Array(a), Value::Array(b)) if plus => Value::Array(a.iter().chain(b).cloned().collect()),
                _ => number(&left, &right, if plus { |a, b| a + b } else { |a, b| a - b })?,
            };
        }
    }

    fn product(&mut self) -> Result<Value, Fault> {
        let mut left = self.primary()?;
        loop {
            self.peek();
            let op: fn(f64, f64) -> f64 = if self.symbol("*") {
                |a, b| a * b
            } else if self.symbol("/") {
                |a, b| a / b
            } else if self.symbol("%") {
                |a, b| a - b * (a / b).floor()
            } else {
                return Ok(left);
            };
            let right = self.primary()?;
            left = number(&left, &right, op)?;
        }
    }

    fn primary(&mut self) -> Result<Value, Fault> {
        self.env.budget.steps(1)?;
        match self.peek().ok_or(fault("the condition ends too early"))? {
            '(' => {
                self.symbol("(");
                let inner = self.or()?;
                if self.symbol(")") { Ok(inner) } else { Err(fault("`(` is not closed")) }
            }
            '[' => {
                self.symbol("[");
                let mut items = Vec::new();
                while !self.symbol("]") {
                    items.push(self.or()?);
                    if !self.symbol(",") && self.peek() != Some(']') {
                        return Err(fault("`[` is not closed"));
                    }
                }
                Ok(Value::Array(items))
            }
            '#' => {
                if self.word("#VALUE") {
                    return Ok(self.value.clone());
                }
                let path = self.rest.strip_prefix("#{").and_then(|rest| rest.split_once('}'));
                let Some((path, after)) = path else { return Err(fault("`#` begins `#{path}` or `#VALUE`")) };
                self.rest = after;
                Dt::plain(path).evaluate(self.value, &self.env.budget)
            }
            quote @ ('"' | '\'') => {
                let mut content = String::new();
                let mut escaped = false;
                for (at, c) in self.rest.char_indices().skip(1) {
                    match c {
                        _ if escaped => {
                            content.push(c);
                            escaped = false;
                        }
                        '\\' => escaped = true,
                        _ if c == quote => {
                            self.rest = self.rest.get(at + 1..).unwrap_or_default();
                            return Ok(Value::String(content));
                        }
                        _ => content.push(c),
                    }
                }
                Err(fault("a text is not closed"))
            }
            '-' => {
                self.symbol("-");
                let inner = self.rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(self.rest.len());
                let (digits, after) = self.rest.split_at(inner);
                self.rest = after;
                digits.parse::<f64>().map(|n| number_value(-n)).map_err(|_| fault("a number cannot be read"))
            }
            c if c.is_ascii_digit() => {
                let length = self.rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(self.rest.len());
                let (digits, after) = self.rest.split_at(length);
                self.rest = after;
                digits.parse::<f64>().map(number_value).map_err(|_| fault("a number cannot be read"))
            }
            _ => {
                for (words, value) in [(["null", "None"], Value::Null), (["true", "True"], Value::Bool(true)), (["false", "False"], Value::Bool(false))] {
                    if words.iter().any(|word| self.word(word)) {
                        return Ok(value);
                    }
                }
                Err(fault("a word that means nothing"))
            }
        }
    }
}

fn number(a: &Value, b: &Value, op: fn(f64, f64) -> f64) -> Result<Value, Fault> {
    match (as_number(a), as_number(b)) {
        (Some(a), Some(b)) => Ok(number_value(op(a, b))),
        _ => Err(fault("arithmetic on something else than numbers")),
    }
}

/// A comparison by its sign: `==`, `<`, `in`, `contains`, `matches` and so on.
pub fn compare(op: &str, left: &Value, right: &Value, fold: bool, env: &Env<'_>) -> Result<bool, Fault> {
    use std::cmp::Ordering::{Greater, Less};
    let text = |value: &Value| if fold { text_of(value).to_lowercase() } else { text_of(value) };
    let same = |a: &Value, b: &Value| equal(a, b) || fold && a.is_string() && b.is_string() && text(a) == text(b);
    let order = match (as_number(left), as_number(right)) {
        (Some(a), Some(b)) => a.partial_cmp(&b),
        _ => Some(text(left).cmp(&text(right))),
    };
    env.budget.steps(1)?;
    Ok(match op.trim() {
        "==" | "=" | "equals" => {
            same(left, right) || !left.is_object() && !right.is_object() && !left.is_null() && !right.is_null() && text(left) == text(right)
        }
        "!=" | "not equals" => !compare("==", left, right, fold, env)?,
        "<" => order == Some(Less),
        "<=" => order.is_some_and(|order| order != Greater),
        ">" => order == Some(Greater),
        ">=" => order.is_some_and(|order| order != Less),
        "in" => match right {
            Value::String(within) if left.is_string() => {
                let within = if fold { within.to_lowercase() } else { within.clone() };
                within.contains(&text(left))
            }
            other => into_list(other.clone()).iter().any(|item| same(left, item)),
        },
        "not in" => !compare("in", left, right, fold, env)?,
        "contains" | "includes" => compare("in", right, left, fold, env)?,
        "not contains" => !compare("in", right, left, fold, env)?,
        "starts with" => text(left).starts_with(&text(right)),
        "ends with" => text(left).ends_with(&text(right)),
        "matches" | "regex" | "=~" => {
            let flags = Flags { ignore_case: fold, ..Flags::default() };
            compile(&text_of(right), Dialect::Python, flags, "If-Then-Else")?.is_match(&text_of(left))?
        }
        _ => return Err(Fault::Argument { operator: "If-Then-Else", what: "an unknown condition" }),
    })
}
