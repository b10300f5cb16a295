//! Transformers over columns: the frequent ones straight on the bytes, the others through the
//! operator itself, on the one value instead of on the event.

use std::borrow::Cow;
use std::sync::Arc;

use hashbrown::{Equivalent, HashMap};
use serde_json::Value;

use super::cell;
use super::table_keys::TableKeys;
use super::text::push_text;
use super::tokens::items;
use crate::content::field::FieldType;
use crate::content::value::{NotA, SHORT_TEXT_MAX, convert, severity};
use crate::expr::xsoar::clock;
use crate::expr::xsoar::columnar::ColumnStep;
use crate::expr::xsoar::env::Env;
use crate::expr::xsoar::fault::Fault;
use crate::expr::xsoar::js::quick::{Quick, Scalar};
use crate::expr::xsoar::path::Dt;
use crate::expr::xsoar::transform::date::{Day, digits_to_date, timestamp_to_date};
use crate::expr::xsoar::transform::{self, Args, Takes};
use crate::expr::xsoar::value::{into_list, number_value, text_of};
use crate::ingest::decode::{Kind, Slot, SlotColumn};

/// Values that are remembered, of all columns together.
const MEMO_MAX: usize = 16_384;
/// Bytes of a value that is remembered.
const MEMO_TEXT_MAX: usize = 512;

/// What kernels remember.
#[derive(Debug, Default)]
pub struct Scratch {
    /// What operators made of values, from batch to batch.
    memo: HashMap<Asked, Result<Made, Fault>>,
    /// Keys as columns of tables, from batch to batch.
    tables: TableKeys,
    /// The day of the last date.
    day: Day,
    /// Where something is put together.
    out: Vec<u8>,
}

impl Scratch {
    /// Another batch begins.
    pub fn begin(&mut self) {
        self.tables.begin();
    }
}

/// The kernel and the value that it was asked about.
type Asked = (usize, Kind, Box<[u8]>);

/// A value that was made: its kind and the bytes of its slot.
type Made = (Kind, Box<[u8]>);

/// A value of a column that was seen before, without a copy of it.
#[derive(Hash)]
struct Seen<'a>(usize, Kind, &'a [u8]);

impl Equivalent<Asked> for Seen<'_> {
    fn equivalent(&self, (kernel, kind, value): &Asked) -> bool {
        (self.0, self.1, self.2) == (*kernel, *kind, &**value)
    }
}

/// A transformer over a column.
#[derive(Debug, Clone)]
pub struct Kernel {
    what: What,
    fast: Fast,
    passes: Passes,
    /// It leaves nothing as it is.
    keeps_nothing: bool,
}

/// Which slots stay what they are: per kind of JSON the bytes that are too many; 0: none does.
#[derive(Debug, Clone, Copy, Default)]
struct Passes([u32; Kind::COUNT]);

impl Passes {
    fn of(fast: &Fast, keeps_nothing: bool) -> Passes {
        let any = u32::MAX;
        let texts = [(Kind::String, any), (Kind::StringEscaped, any)];
        // Short enough in bytes is short enough in characters.
        let short = [(Kind::String, SHORT_TEXT_MAX as u32 + 1), (Kind::StringEscaped, SHORT_TEXT_MAX as u32 + 1)];
        let scalars = [(Kind::True, any), (Kind::False, any), (Kind::Number, any), (Kind::String, any), (Kind::StringEscaped, any), (Kind::Object, any)];
        let mut passes = Passes::default();
        if keeps_nothing {
            (passes.0[Kind::Missing as usize], passes.0[Kind::Null as usize]) = (any, any);
        }
        let kinds: &[(Kind, u32)] = match fast {
            Fast::Shape(FieldType::ShortText | FieldType::SingleSelect | FieldType::User | FieldType::Role | FieldType::Url) => &short,
            Fast::Shape(FieldType::LongText | FieldType::Markdown | FieldType::Html) | Fast::Join(_) => &texts,
            Fast::Shape(FieldType::Number) => &[(Kind::Number, any)],
            Fast::Shape(FieldType::Boolean) => &[(Kind::True, any), (Kind::False, any)],
            Fast::Shape(FieldType::Date) => &[(Kind::Number, any), (Kind::String, any), (Kind::StringEscaped, any)],
            Fast::First => &scalars,
            Fast::Shape(FieldType::Timer) => &[(Kind::Object, any)],
            _ => &[],
        };
        for (kind, bytes) in kinds {
            passes.0[*kind as usize] = *bytes;
        }
        passes
    }
}

/// What a kernel does, where no fast way does it.
#[derive(Debug, Clone)]
enum What {
    /// The operator.
    Step(ColumnStep),
    /// The shape that a field holds.
    Shape(Shape),
    /// The first item of a list.
    First,
}

/// The shape that values take for a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// That of the field's type.
    Field(FieldType),
    /// A number from 0 to 4, also by its name.
    Severity,
}

/// Ways that need no value of the operator's own.
#[derive(Debug, Clone)]
enum Fast {
    /// `join` with this separator.
    Join(Arc<str>),
    /// `count`
    Count,
    /// `TimeStampToDate`
    Timestamp,
    /// `ConvertKeysToTableFieldFormat`
    ConvertKeys,
    /// `substringFrom`, `substringTo`: the mark.
    After(Arc<str>),
    Before(Arc<str>),
    /// `concat`: prefix and suffix.
    Around(Arc<str>, Arc<str>),
    /// `toLowerCase`, `toUpperCase`, on ASCII.
    Lower,
    Upper,
    /// `DT` of `.=…` over texts.
    Script(Arc<Quick>),
    /// The shape of a field's type.
    Shape(FieldType),
    /// The first item of a list.
    First,
    /// None: the operator itself.
    None,
}

/// What a kernel makes of a slot.
pub enum Outcome {
    /// This slot.
    Slot(Slot),
    /// The operator fails on the value.
    Fault(Fault),
}

impl Kernel {
    /// The kernel of a step.
    pub fn new(step: &ColumnStep) -> Kernel {
        let arg = |name: &str| step.args.iter().find(|(known, _)| known == name).map(|(_, value)| value).filter(|value| !value.is_null());
        let text = |name: &str| match arg(name) {
            None => Some(Arc::from("")),
            Some(value @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) => Some(Arc::from(text_of(value))),
            Some(_) => None,
        };
        let fast = match step.transformer.name {
            "join" => text("separator").map(Fast::Join),
            "count" => Some(Fast::Count),
            "TimeStampToDate" => Some(Fast::Timestamp),
            "ConvertKeysToTableFieldFormat" => Some(Fast::ConvertKeys),
            "substringFrom" if arg("from").is_some() => text("from").map(Fast::After),
            "substringTo" if arg("to").is_some() => text("to").map(Fast::Before),
            "concat" => text("prefix").zip(text("suffix")).map(|(prefix, suffix)| Fast::Around(prefix, suffix)),
            "DT" => arg("dt")
                .and_then(Value::as_str)
                .and_then(|text| Dt::parse(text).ok())
                .and_then(|dt| Quick::compile(dt.whole_mutator()?))
                .map(|quick| Fast::Script(Arc::new(quick))),
            "toLowerCase" => Some(Fast::Lower),
            "toUpperCase" => Some(Fast::Upper),
            _ => None,
        };
        Kernel::of(What::Step(step.clone()), fast.unwrap_or(Fast::None))
    }

    /// The kernel that gives values the shape of a field's type.
    pub fn shape(shape: Shape) -> Kernel {
        let fast = match shape {
            Shape::Field(field) => Fast::Shape(field),
            Shape::Severity => Fast::None,
        };
        Kernel::of(What::Shape(shape), fast)
    }

    fn of(what: What, fast: Fast) -> Kernel {
        // Most operators do.
        let keeps_nothing = match (&fast, &what) {
            (Fast::Count, _) => false,
            (Fast::Join(_), _) | (_, What::Shape(_) | What::First) => true,
            (_, What::Step(step)) => matches!(step.transformer.takes, Takes::Item | Takes::Found),
        };
        Kernel { what, passes: Passes::of(&fast, keeps_nothing), fast, keeps_nothing }
    }

    /// The kernel that takes the first item of a list.
    pub fn first() -> Kernel {
        Kernel::of(What::First, Fast::First)
    }

    /// Equal kernels have equal keys.
    pub fn key(&self) -> String {
        match &self.what {
            What::Step(step) => format!("{}{:?}", step.transformer.name, step.args),
            other => format!("{other:?}"),
        }
    }

    /// The operator's name.
    pub fn name(&self) -> &'static str {
        match &self.what {
            What::Step(step) => step.transformer.name,
            What::Shape(_) => "shape",
            What::First => "first",
        }
    }

    /// True when what it makes depends on the time.
    pub fn reads_clock(&self) -> bool {
        matches!(&self.what, What::Step(step) if clock::transformer(step.transformer))
    }

    /// True for a slot that stays what it is: most do, and cost no more than this question.
    #[inline(always)]
    pub fn passes(&self, slot: Slot) -> bool {
        slot.len() < self.passes.0[slot.kind() as usize]
    }

    /// True for a column of the event of which everything stays what it is, also what is not there; nulls count as
    /// such.
    pub fn keeps(&self, column: &SlotColumn) -> bool {
        // Without a branch a slot.
        let all = |slots: &[Slot]| slots.iter().fold(true, |all, slot| all & self.passes(*slot));
        self.passes(Slot::MISSING) && column.slots().chunks(64).all(all)
    }

    /// Applies the kernel to one slot of a column.
    pub fn apply(&self, arena: &mut Vec<u8>, scratch: &mut Scratch, slot: Slot, env: &Env<'_>) -> Outcome {
        if let Some(slot) = self.quick(arena, scratch, slot) {
            return Outcome::Slot(slot);
        }
        // Logs repeat their values: the operator sees each only once.
        if slot.len() as usize > MEMO_TEXT_MAX || self.reads_clock() {
            return self.slow(arena, slot, env);
        }
        // Kernels stay where they are as long as the plan lives, and so do those who remember.
        let kernel = std::ptr::from_ref(self) as usize;
        if let Some(known) = scratch.memo.get(&Seen(kernel, slot.kind(), slot.raw(arena))) {
            return match known {
                Ok((kind, value)) => cell::put(arena, *kind, value).map_or_else(|| Outcome::Fault(self.unreadable()), Outcome::Slot),
                Err(fault) => Outcome::Fault(fault.clone()),
            };
        }
        let key = (kernel, slot.kind(), slot.raw(arena).into());
        let made = self.slow(arena, slot, env);
        let known = match &made {
            Outcome::Slot(slot) if slot.len() as usize > MEMO_TEXT_MAX => return made,
            Outcome::Slot(slot) => Ok((slot.kind(), slot.raw(arena).into())),
            Outcome::Fault(fault) => Err(fault.clone()),
        };
        if scratch.memo.len() == MEMO_MAX {
            scratch.memo.clear();
        }
        scratch.memo.insert(key, known);
        made
    }

    fn unreadable(&self) -> Fault {
        Fault::Cast { operator: self.name(), wanted: "a value" }
    }

    /// The fast way; `None` where the operator itself has to decide.
    fn quick(&self, arena: &mut Vec<u8>, scratch: &mut Scratch, slot: Slot) -> Option<Slot> {
        let kind = slot.kind();
        if matches!(kind, Kind::Missing | Kind::Null) {
            return match &self.fast {
                _ if self.keeps_nothing => Some(Slot::MISSING),
                Fast::Count => cell::put_raw(arena, Kind::Number, b"0"),
                _ => None,
            };
        }
        let scalar = !matches!(kind, Kind::Array | Kind::Object);
        match &self.fast {
            Fast::Join(separator) if kind == Kind::Array => join(arena, slot, separator),
            Fast::Count if kind != Kind::Array => cell::put_raw(arena, Kind::Number, b"1"),
            Fast::Timestamp if scalar => {
                let date = match digits_to_date(slot.raw(arena), &mut scratch.day) {
                    Some(date) => date,
                    None => timestamp_to_date(&cell::text(arena, slot)?)?,
                };
                cell::put_plain(arena, date.as_bytes())
            }
            Fast::ConvertKeys if !scalar => scratch.tables.convert(arena, slot),
            Fast::After(mark) if scalar => rewrite(arena, slot, |text| text.find(&**mark).and_then(|at| text.get(at + mark.len()..)).map(str::to_owned)),
            Fast::Before(mark) if scalar => rewrite(arena, slot, |text| text.find(&**mark).and_then(|at| text.get(..at)).map(str::to_owned)),
            Fast::Around(prefix, suffix) if scalar => rewrite(arena, slot, |text| Some(format!("{prefix}{text}{suffix}"))),
            // Beyond ASCII the length may change; the operator knows how.
            Fast::Lower if kind == Kind::String && slot.raw(arena).is_ascii() => rewrite(arena, slot, |text| Some(text.to_ascii_lowercase())),
            Fast::Upper if kind == Kind::String && slot.raw(arena).is_ascii() => rewrite(arena, slot, |text| Some(text.to_ascii_uppercase())),
            _ if self.passes(slot) => Some(slot),
            Fast::Shape(
                FieldType::ShortText
                | FieldType::SingleSelect
                | FieldType::User
                | FieldType::Role
                | FieldType::Url
                | FieldType::LongText
                | FieldType::Markdown
                | FieldType::Html,
            ) if slot.len() as usize <= SHORT_TEXT_MAX => match kind {
                Kind::Array | Kind::Object => text_of_tokens(arena, scratch, slot),
                Kind::True | Kind::False => cell::put_quoted(arena, slot),
                Kind::Number if cell::is_plain(slot.raw(arena)) => cell::put_quoted(arena, slot),
                _ => rewrite(arena, slot, |_| None),
            },
            Fast::Shape(FieldType::Internal) if kind != Kind::Array || has_item(slot.raw(arena)) => Some(slot),
            Fast::Shape(FieldType::Attachments) if kind == Kind::Array && has_item(slot.raw(arena)) => Some(slot),
            Fast::Shape(FieldType::Grid) if kind == Kind::Array && (scratch.tables.has_made(slot) || is_rows(slot.raw(arena))) => Some(slot),
            Fast::First if kind != Kind::Array => Some(slot),
            Fast::Script(quick) if kind.is_string() => {
                let made = match quick.run(&cell::text(arena, slot)?)? {
                    Scalar::Undefined | Scalar::Null => Value::Null,
                    Scalar::Flag(flag) => Value::Bool(flag),
                    Scalar::Number(number) => number_value(number),
                    Scalar::Text(text) => Value::String(text.into_owned()),
                };
                match &made {
                    Value::String(text) => cell::put_text(arena, text),
                    made => cell::put_json(arena, made),
                }
            }
            _ => None,
        }
    }

    fn slow(&self, arena: &mut Vec<u8>, slot: Slot, env: &Env<'_>) -> Outcome {
        let unreadable = self.unreadable();
        let Some(value) = cell::value(arena, slot) else { return Outcome::Fault(unreadable) };
        let made = match &self.what {
            What::Step(step) => {
                let values: &[(Cow<'_, str>, Value)] = &step.args;
                transform::apply(step.transformer, &value, &Args { operator: self.name(), values }, env)
            }
            What::Shape(shape) => match shaped(*shape, value) {
                Ok(made) => Ok(made.unwrap_or(Value::Null)),
                Err(_) => Err(Fault::Cast { operator: "field", wanted: "a value of its type" }),
            },
            What::First => Ok(into_list(value).into_iter().next().unwrap_or(Value::Null)),
        };
        match made {
            Ok(made) => cell::put_json(arena, &made).map_or(Outcome::Fault(unreadable), Outcome::Slot),
            Err(fault) => Outcome::Fault(fault),
        }
    }
}

fn shaped(shape: Shape, value: Value) -> Result<Option<Value>, NotA> {
    match shape {
        Shape::Field(field) => convert(field, value),
        Shape::Severity => severity(value),
    }
}

/// A new text made of a scalar's; `None` of `make`: the text as it is.
fn rewrite(arena: &mut Vec<u8>, slot: Slot, make: impl Fn(&str) -> Option<String>) -> Option<Slot> {
    let made = {
        let text = cell::text(arena, slot)?;
        match make(&text) {
            Some(made) => made,
            None if slot.kind().is_string() => return Some(slot),
            None => text.into_owned(),
        }
    };
    cell::put_text(arena, &made)
}

/// The text of a list or an object.
fn text_of_tokens(arena: &mut Vec<u8>, scratch: &mut Scratch, slot: Slot) -> Option<Slot> {
    let raw = slot.raw(arena);
    // A list of nulls is nothing, which is not the text of nothing.
    if slot.kind() == Kind::Array && !has_item(raw) {
        return None;
    }
    let out = &mut scratch.out;
    out.clear();
    push_text(raw, out)?;
    // Escaped it is longer than it is.
    (out.len() <= SHORT_TEXT_MAX).then_some(())?;
    cell::put_content(arena, out)
}

/// The items of a flat list of texts and plain numbers, joined; `None` where it holds anything else.
fn join(arena: &mut Vec<u8>, slot: Slot, separator: &str) -> Option<Slot> {
    let mut out = String::new();
    let mut first = true;
    items(slot.raw(arena), |token| {
        if !std::mem::take(&mut first) {
            out.push_str(separator);
        }
        match token.first()? {
            b'"' if !token.contains(&b'\\') => out.push_str(std::str::from_utf8(token.get(1..token.len() - 1)?).ok()?),
            b'-' | b'0'..=b'9' if cell::is_plain(token) => out.push_str(std::str::from_utf8(token).ok()?),
            b't' | b'f' => out.push_str(std::str::from_utf8(token).ok()?),
            _ => return None,
        }
        Some(())
    })?;
    cell::put_text(arena, &out)
}

/// True for a list that holds something else than nulls.
fn has_item(json: &[u8]) -> bool {
    // What begins otherwise than a null or the end is one.
    if json.iter().skip(1).find(|b| !b.is_ascii_whitespace()).is_some_and(|b| !matches!(b, b'n' | b']')) {
        return true;
    }
    let mut any = false;
    // Ends at the first one.
    let _ = items(json, |item| {
        any = item != b"null";
        (!any).then_some(())
    });
    any
}

/// True for a list of objects that is not empty.
fn is_rows(json: &[u8]) -> bool {
    let mut any = false;
    let all = items(json, |item| {
        any = true;
        (item.first() == Some(&b'{')).then_some(())
    });
    any && all.is_some()
}
