//! JSON → model: tolerant of the two spellings of keys, of bare scalars in place of
//! `{simple: …}`, of `null` in place of an empty list. What it cannot take is said with
//! a JSON pointer, so that a loader can point at the line.

use serde_json::{Map, Value};

use super::model::{Argument, Complex, Operand, Test, Tests, Transformer};

/// JSON levels of a value; an argument in an operand of an argument is six. Real content has below 20.
const DEPTH_MAX: usize = 96;
/// Tests, transformers and arguments of one list. Real content has below 200.
const LIST_MAX: usize = 4096;

/// A part of a value that is not of the expected shape. The pack is at fault; a retry does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {what}")]
pub struct ShapeError {
    /// JSON pointer from the value that was read, such as `/complex/filters/0/1/left`.
    pub pointer: String,
    /// What is wrong with it.
    pub what: String,
}

/// Reads a value of a mapper, a classifier, an argument.
pub fn argument(value: &Value) -> Result<Argument, ShapeError> {
    Reader::default().argument(value)
}

/// Reads lists of lists of tests, as in `newEventFilters` or `condition`.
pub fn tests(value: &Value) -> Result<Tests, ShapeError> {
    Reader::default().tests(value)
}

/// Reads an operand: `{value: …, isContext: …}`.
pub fn operand(value: &Value) -> Result<Operand, ShapeError> {
    Reader::default().operand(value)
}

/// The member of an object under either spelling of its key: `ignoreCase` in JSON files,
/// `ignorecase` in YAML ones.
fn member<'v>(object: &'v Map<String, Value>, key: &str) -> Option<&'v Value> {
    object.get(key).or_else(|| object.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value))
}

/// A scalar in the text form that an author would have typed.
fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn flag(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::String(text)) => ["true", "yes"].iter().any(|word| text.eq_ignore_ascii_case(word)),
        _ => false,
    }
}

#[derive(Default)]
struct Reader {
    pointer: Vec<String>,
}

impl Reader {
    fn error(&self, what: impl Into<String>) -> ShapeError {
        ShapeError { pointer: self.pointer.iter().map(|part| format!("/{part}")).collect(), what: what.into() }
    }

    fn within<T>(&mut self, part: impl ToString, read: impl FnOnce(&mut Self) -> Result<T, ShapeError>) -> Result<T, ShapeError> {
        if self.pointer.len() >= DEPTH_MAX {
            return Err(self.error(format!("values nest deeper than {DEPTH_MAX}")));
        }
        self.pointer.push(part.to_string());
        let result = read(self);
        self.pointer.pop();
        result
    }

    fn argument(&mut self, value: &Value) -> Result<Argument, ShapeError> {
        if let Some(text) = scalar_text(value) {
            return Ok(Argument::Simple(text));
        }
        let object = match value {
            Value::Null => return Ok(Argument::Unset),
            Value::Object(object) => object,
            _ => return Err(self.error("a value is a text or an object with `simple` or `complex`, not a list")),
        };
        match member(object, "complex") {
            Some(Value::Object(complex)) if !complex.is_empty() => {
                return Ok(Argument::Complex(Box::new(self.within("complex", |reader| reader.complex(complex))?)));
            }
            None | Some(Value::Null | Value::Object(_)) => {}
            Some(_) => return self.within("complex", |reader| Err(reader.error("`complex` is an object with `root`"))),
        }
        match member(object, "simple") {
            None | Some(Value::Null) => Ok(Argument::Unset),
            Some(simple) => match scalar_text(simple) {
                Some(text) => Ok(Argument::Simple(text)),
                None => self.within("simple", |reader| Err(reader.error("`simple` is a text"))),
            },
        }
    }

    fn complex(&mut self, object: &Map<String, Value>) -> Result<Complex, ShapeError> {
        let mut complex = Complex::default();
        for (key, slot) in [("root", &mut complex.root), ("accessor", &mut complex.accessor)] {
            match member(object, key) {
                None | Some(Value::Null) => {}
                Some(value) => match scalar_text(value) {
                    Some(text) => *slot = text,
                    None => return self.within(key, |reader| Err(reader.error(format!("`{key}` is a text")))),
                },
            }
        }
        if let Some(filters) = member(object, "filters") {
            complex.filters = self.within("filters", |reader| reader.tests(filters))?;
        }
        if let Some(transformers) = member(object, "transformers") {
            complex.transformers = self.within("transformers", |reader| reader.list(transformers, Reader::transformer))?;
        }
        Ok(complex)
    }

    fn list<T>(&mut self, value: &Value, read: fn(&mut Self, &Value) -> Result<T, ShapeError>) -> Result<Vec<T>, ShapeError> {
        let items = match value {
            Value::Null => return Ok(Vec::new()),
            Value::Array(items) => items,
            _ => return Err(self.error("expected a list")),
        };
        if items.len() > LIST_MAX {
            return Err(self.error(format!("more than {LIST_MAX} entries")));
        }
        items.iter().enumerate().map(|(index, item)| self.within(index, |reader| read(reader, item))).collect()
    }

    fn tests(&mut self, value: &Value) -> Result<Tests, ShapeError> {
        self.list(value, |reader, group| reader.list(group, Reader::test))
    }

    fn test(&mut self, value: &Value) -> Result<Test, ShapeError> {
        let Value::Object(object) = value else {
            return Err(self.error("a test is an object with `operator`, `left` and `right`"));
        };
        let operator = self.operator(object)?;
        let left = match member(object, "left") {
            Some(left) => self.within("left", |reader| reader.operand(left))?,
            None => Operand::default(),
        };
        let right = match member(object, "right") {
            None | Some(Value::Null) => None,
            Some(right) => Some(self.within("right", |reader| reader.operand(right))?),
        };
        let cast = member(object, "type").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Test { operator, ignore_case: flag(member(object, "ignoreCase")), left, right, cast })
    }

    fn transformer(&mut self, value: &Value) -> Result<Transformer, ShapeError> {
        let Value::Object(object) = value else {
            return Err(self.error("a transformer is an object with `operator` and `args`"));
        };
        let operator = self.operator(object)?;
        let mut args = Vec::new();
        match member(object, "args") {
            None | Some(Value::Null) => {}
            Some(Value::Object(written)) => {
                for (name, value) in written {
                    let operand = self.within(name, |reader| reader.operand(value))?;
                    if !operand.value.is_unset() {
                        args.push((name.clone(), operand));
                    }
                }
            }
            Some(_) => return self.within("args", |reader| Err(reader.error("`args` is an object, argument name → value"))),
        }
        Ok(Transformer { operator, args })
    }

    fn operator(&self, object: &Map<String, Value>) -> Result<String, ShapeError> {
        match member(object, "operator").and_then(Value::as_str) {
            Some(name) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
            _ => Err(self.error("`operator` is missing")),
        }
    }

    fn operand(&mut self, value: &Value) -> Result<Operand, ShapeError> {
        let Value::Object(object) = value else {
            return Ok(Operand { value: self.argument(value)?, from_context: false });
        };
        let from_context = flag(member(object, "isContext"));
        // Some exports leave the `value` level out.
        let value = match member(object, "value") {
            Some(inner) => self.within("value", |reader| reader.argument(inner))?,
            None => self.argument(value)?,
        };
        Ok(Operand { value, from_context })
    }
}
