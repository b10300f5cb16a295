//! A decoded batch while the stateless stages run over it: which rows are alive,
//! and the columns built for them so far.

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, PrimitiveArray, StringViewBuilder, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::TimestampMicrosecondType;

use super::batch::{Header, Message, Partitions};
use super::columns::{self, Arena};
use super::decode::Rows;
use super::phase::{Input, Phase};
use super::plan::SourcePlan;
use super::plan::family::ByType;
use crate::expr::library::arrow_type;
use crate::expr::reference::{Row, array_value};
use crate::expr::typed::{Record, Source};
use crate::expr::value::{Type, Value};

pub use super::decide::NO_TIME;

/// A decoded batch and its surroundings.
pub struct Scene<'a> {
    /// The source's plan.
    pub plan: &'a SourcePlan,
    /// The bytes.
    pub arena: &'a Arena,
    /// The messages that rows came from.
    pub messages: &'a [Message],
    /// Their headers.
    pub headers: &'a [Header],
    /// Names of partitions.
    pub partitions: &'a Partitions,
    /// The decoded rows.
    pub rows: &'a Rows,
    /// Time of arrival per decoded row, in microseconds; [`NO_TIME`] where unknown.
    pub arrivals: Vec<i64>,
    /// `occurred` of the `"*"` section, over the kept rows, once it is computed.
    pub occurred: Option<ArrayRef>,
    /// Columns built for the selection that is current, by number of the input.
    cache: Vec<Option<ArrayRef>>,
}

impl<'a> Scene<'a> {
    /// A scene whose arrivals are the records' timestamps.
    pub fn new(
        plan: &'a SourcePlan,
        arena: &'a Arena,
        messages: &'a [Message],
        headers: &'a [Header],
        partitions: &'a Partitions,
        rows: &'a Rows,
    ) -> Scene<'a> {
        let arrivals = rows.messages.iter().map(|m| messages.get(*m as usize).map_or(NO_TIME, |m| m.timestamp_us)).collect();
        Scene { plan, arena, messages, headers, partitions, rows, arrivals, occurred: None, cache: vec![None; plan.inputs.list.len()] }
    }

    /// The selection of rows has changed: columns of the old one are of no use.
    pub fn selection_changed(&mut self) {
        self.cache.iter_mut().for_each(|column| *column = None);
    }

    /// Evaluates a phase over `selected`, the current selection. Rows (numbers within
    /// it) on which an expression failed are added to `poison`.
    pub fn evaluate(&mut self, phase: &Phase, selected: &[u32], poison: &mut Vec<u32>) -> Vec<ArrayRef> {
        let mut inputs = Vec::with_capacity(phase.numbers.len());
        for number in &phase.numbers {
            if let Some(Some(column)) = self.cache.get(*number) {
                inputs.push(column.clone());
                continue;
            }
            let column = self.numbered(*number, selected, None);
            // The record's time may still change while arrivals are being found out.
            let changes = matches!(self.plan.inputs.list.get(*number), Some(((Source::Record(Record::Timestamp), _), _)));
            if let (Some(place), false) = (self.cache.get_mut(*number), changes) {
                *place = Some(column.clone());
            }
            inputs.push(column);
        }
        phase.evaluate(inputs, selected.len(), poison)
    }

    fn numbered(&self, number: usize, rows: &[u32], some: Option<&OfTypes<'_>>) -> ArrayRef {
        match self.plan.inputs.list.get(number) {
            Some(((_, ty), Some(path))) => self.path_column(*path, rows, *ty),
            Some((input, None)) => self.input(input, rows, some),
            None => datafusion::arrow::array::new_null_array(&arrow_type(Type::Text), rows.len()),
        }
    }

    fn path_column(&self, path: usize, rows: &[u32], ty: Type) -> ArrayRef {
        match self.rows.columns.get(path) {
            Some(slots) => columns::column(self.arena, slots, rows, ty),
            None => datafusion::arrow::array::new_null_array(&arrow_type(ty), rows.len()),
        }
    }

    /// Evaluates a phase over the rows (numbers) of some types.
    pub fn evaluate_some(&self, phase: &Phase, rows: &[u32], some: &OfTypes<'_>, poison: &mut Vec<u32>) -> Vec<ArrayRef> {
        let inputs = phase.numbers.iter().map(|number| self.numbered(*number, rows, Some(some))).collect();
        phase.evaluate(inputs, rows.len(), poison)
    }

    /// A path or a constant that differs from type to type.
    fn by_type(&self, number: u32, rows: &[u32], some: Option<&OfTypes<'_>>, ty: Type) -> Option<ArrayRef> {
        let some = some?;
        match self.plan.by_type.get(number as usize)? {
            ByType::Paths(paths) => {
                let parts = paths.iter().enumerate().map(|(at, path)| (self.rows.columns.get(*path), rows.get(some.range(at)).unwrap_or_default()));
                Some(columns::joined(self.arena, parts, ty))
            }
            ByType::Constants(constants) => take(constants, some.ordinals(), None).ok(),
        }
    }

    /// One input column for the given rows.
    pub fn input(&self, (source, ty): &Input, rows: &[u32], some: Option<&OfTypes<'_>>) -> ArrayRef {
        match source {
            Source::Event(path) => self.path_column(self.plan.path_numbers.get(path).copied().unwrap_or(usize::MAX), rows, *ty),
            Source::Record(Record::Timestamp) => {
                let times = rows.iter().map(|row| self.arrivals.get(*row as usize).copied().filter(|t| *t != NO_TIME));
                Arc::new(times.collect::<PrimitiveArray<TimestampMicrosecondType>>().with_timezone("+00:00"))
            }
            Source::Field(name) if name == "occurred" => match (&self.occurred, some) {
                (Some(column), None) => column.clone(),
                (Some(column), Some(some)) => {
                    let places = UInt32Array::from_iter_values(some.places.iter().copied());
                    take(column, &places, None).unwrap_or_else(|_| datafusion::arrow::array::new_null_array(&arrow_type(*ty), rows.len()))
                }
                (None, _) => datafusion::arrow::array::new_null_array(&arrow_type(*ty), rows.len()),
            },
            Source::ByType(number) => {
                let null = || datafusion::arrow::array::new_null_array(&arrow_type(*ty), rows.len());
                self.by_type(*number, rows, some, *ty).unwrap_or_else(null)
            }
            // Attributes of the record and its headers: few, and read row by row.
            _ => {
                let values = rows.iter().map(|row| self.get_row(*row, source, *ty));
                match ty {
                    Type::Number => Arc::new(values.map(|value| value.as_number()).collect::<Float64Array>()),
                    Type::Boolean => Arc::new(values.map(|value| value.as_boolean()).collect::<BooleanArray>()),
                    _ => {
                        let mut column = StringViewBuilder::with_capacity(rows.len());
                        values.for_each(|value| column.append_option(value.as_text()));
                        Arc::new(column.finish())
                    }
                }
            }
        }
    }

    /// The message that a row came from.
    pub fn message(&self, row: u32) -> Option<&Message> {
        self.messages.get(*self.rows.messages.get(row as usize)? as usize)
    }

    fn text(&self, (start, len): (u32, u32)) -> Option<&str> {
        std::str::from_utf8(self.arena.bytes().get(start as usize..(start + len) as usize)?).ok()
    }

    /// The value of an input for one row.
    pub fn get_row(&self, row: u32, source: &Source, ty: Type) -> Value<'_> {
        let text = |text: Option<&'a str>| text.map_or(Value::Null, |text| Value::Text(text.into()));
        match source {
            Source::Event(path) => {
                let slots = self.plan.path_numbers.get(path).and_then(|number| self.rows.columns.get(*number));
                slots.map_or(Value::Null, |slots| columns::value(self.arena.bytes(), slots.get(row as usize), ty))
            }
            Source::Record(record) => {
                let Some(message) = self.message(row) else { return Value::Null };
                match record {
                    Record::Key if message.key.1 == 0 => Value::Null,
                    Record::Key => self.text(message.key).map_or(Value::Null, |text| Value::Text(text.into())),
                    Record::Timestamp => match self.arrivals.get(row as usize) {
                        Some(time) if *time != NO_TIME => Value::Time(*time),
                        _ => Value::Null,
                    },
                    Record::Topic => text(Some(self.partitions.name(message.partition).0)),
                    Record::Partition => Value::Number(f64::from(self.partitions.name(message.partition).1)),
                    Record::Offset => Value::Number(message.offset as f64),
                    Record::Source => text(Some(&self.plan.name)),
                }
            }
            Source::Header(name) => {
                let Some(message) = self.message(row) else { return Value::Null };
                let headers = self.headers.get(message.headers.0 as usize..message.headers.1 as usize).unwrap_or_default();
                // The last header of a name is the newest one.
                let header = headers.iter().rev().find(|header| self.text(header.name) == Some(name));
                let value = header.and_then(|header| self.text(header.value)).map_or(Value::Null, |text| Value::Text(text.into()));
                match (ty, value.as_text()) {
                    (Type::Number, Some(text)) => crate::expr::value::parse_number(text).map_or(Value::Null, Value::Number),
                    (Type::Boolean, Some(text)) => crate::expr::value::parse_boolean(text).map_or(Value::Null, Value::Boolean),
                    _ => value,
                }
            }
            _ => Value::Null,
        }
    }
}

/// Rows of some types among the kept ones, ordered by type.
pub struct OfTypes<'a> {
    /// The place of each among the kept rows.
    pub places: &'a [u32],
    /// Where the rows of each type begin.
    pub bases: &'a [u32],
    /// Per row which of these types it has; made at first use.
    ordinals: OnceCell<UInt32Array>,
}

impl<'a> OfTypes<'a> {
    /// Rows at `places`, those of the nth type from `bases[n]` on.
    pub fn new(places: &'a [u32], bases: &'a [u32]) -> OfTypes<'a> {
        OfTypes { places, bases, ordinals: OnceCell::new() }
    }

    fn range(&self, at: usize) -> Range<usize> {
        let end = self.bases.get(at + 1).map_or(self.places.len(), |end| *end as usize);
        self.bases.get(at).map_or(end, |start| *start as usize)..end
    }

    fn ordinals(&self) -> &UInt32Array {
        self.ordinals.get_or_init(|| {
            let mut ordinals = Vec::with_capacity(self.places.len());
            for at in 0..self.bases.len() {
                ordinals.resize(self.range(at).end, at as u32);
            }
            ordinals.into()
        })
    }
}

/// One row of a scene, for the reference evaluator.
pub struct SceneRow<'a> {
    /// The scene.
    pub scene: &'a Scene<'a>,
    /// Number of the decoded row.
    pub row: u32,
    /// Its place among the kept rows.
    pub place: u32,
}

impl Row for SceneRow<'_> {
    fn get(&self, source: &Source, ty: Type) -> Value<'_> {
        match (source, &self.scene.occurred) {
            (Source::Field(name), Some(column)) if name == "occurred" => array_value(column, self.place as usize, Type::Time),
            _ => self.scene.get_row(self.row, source, ty),
        }
    }
}

/// The rows of a Boolean column that are TRUE (NULL is not), as one flag a row.
pub fn truths(column: &ArrayRef) -> Option<Vec<bool>> {
    let column = column.as_boolean_opt()?;
    let values = column.values();
    Some(match column.nulls() {
        None => values.iter().collect(),
        Some(nulls) => (values & nulls.inner()).iter().collect(),
    })
}
