//! What the decider needs of a mapped batch: conditions, fingerprints and the values
//! that `where` compares.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, PrimitiveArray, StringViewArray, StringViewBuilder, new_null_array};
use datafusion::arrow::compute::interleave;
use datafusion::arrow::datatypes::{Float64Type, TimestampMicrosecondType};

use super::decide::{Fingerprinter, RuleInput, WhereSource};
use super::decode::{Kind, SlotColumn, unescape};
use super::emit::UNKNOWN_TENANT;
use super::map::Mapped;
use super::phase::Phase;
use super::plan::{FieldColumn, From, MatchValue, Plan, Spread};
use super::scene::{NO_TIME, Scene, truths};
use crate::config::model::Nulls;
use crate::expr::library::arrow_type;
use crate::expr::reference::{Row, array_value, evaluate};
use crate::expr::typed::Source;
use crate::expr::value::{Type, Value};

/// The incident fields that rules read, as columns by place.
pub fn field_columns(plan: &Plan, scene: &Scene<'_>, mapped: &Mapped) -> Vec<ArrayRef> {
    scene.plan.rule_fields.iter().map(|field| field_column(plan, scene, mapped, &field.column, field.ty)).collect()
}

fn field_column(plan: &Plan, scene: &Scene<'_>, mapped: &Mapped, column: &FieldColumn, ty: Type) -> ArrayRef {
    match column {
        FieldColumn::TypeName => {
            let mut names = StringViewBuilder::with_capacity(mapped.types.len());
            mapped.types.iter().for_each(|code| names.append_option(plan.types.get(*code as usize)));
            Arc::new(names.finish())
        }
        FieldColumn::Tenant => {
            let found = scene.plan.tenant.and_then(|output| mapped.star.get(output)).and_then(|column| column.as_string_view_opt());
            let name = |place: usize| match (&plan.tenant, found) {
                (Some(tenant), _) => &**tenant,
                (None, Some(found)) if found.is_valid(place) => found.value(place),
                _ => UNKNOWN_TENANT,
            };
            Arc::new((0..mapped.rows.len()).map(|place| Some(name(place))).collect::<StringViewArray>())
        }
        FieldColumn::Created => arrivals(scene, mapped),
        FieldColumn::Occurred(spread) => {
            let found = spread_column(scene, mapped, spread, ty);
            if found.null_count() == 0 {
                return found;
            }
            let arrivals = arrivals(scene, mapped);
            let (found, arrivals) = (found.as_primitive::<TimestampMicrosecondType>(), arrivals.as_primitive::<TimestampMicrosecondType>());
            let times: PrimitiveArray<TimestampMicrosecondType> = found.iter().zip(arrivals).map(|(time, arrival)| time.or(arrival)).collect();
            Arc::new(times.with_timezone("+00:00"))
        }
        FieldColumn::Severity(spread) => {
            let found = spread_column(scene, mapped, spread, ty);
            Arc::new(found.as_primitive::<Float64Type>().iter().map(|n| Some(n.unwrap_or(0.0))).collect::<Float64Array>())
        }
        FieldColumn::Path(path) => match scene.rows.columns.get(*path) {
            Some(slots) => super::columns::column(scene.arena, slots, &mapped.rows, ty),
            None => new_null_array(&arrow_type(ty), mapped.rows.len()),
        },
        FieldColumn::Spread(spread) => spread_column(scene, mapped, spread, ty),
    }
}

fn arrivals(scene: &Scene<'_>, mapped: &Mapped) -> ArrayRef {
    let times = mapped.rows.iter().map(|row| scene.arrivals.get(*row as usize).copied().filter(|t| *t != NO_TIME));
    Arc::new(times.collect::<PrimitiveArray<TimestampMicrosecondType>>().with_timezone("+00:00"))
}

/// Puts a column together from the `"*"` section and the types that override it.
fn spread_column(scene: &Scene<'_>, mapped: &Mapped, spread: &Spread, ty: Type) -> ArrayRef {
    let rows = mapped.rows.len();
    let star = spread.star.and_then(|from| mapped.column(scene.plan, from, 0)).map(|(column, _)| column.clone());
    let overridden = spread.types.iter().any(|(code, _)| mapped.types.contains(code));
    if !overridden {
        return star.unwrap_or_else(|| new_null_array(&arrow_type(ty), rows));
    }
    let mut arrays: Vec<ArrayRef> = vec![star.unwrap_or_else(|| new_null_array(&arrow_type(ty), rows))];
    let mut numbers: Vec<(From, usize)> = Vec::new();
    let mut picks: Vec<(usize, usize)> = Vec::with_capacity(rows);
    for (place, code) in mapped.types.iter().enumerate() {
        let own = spread.types.iter().find(|(known, _)| known == code).map(|(_, from)| *from);
        let Some((from, (column, at))) = own.and_then(|from| Some((from, mapped.column(scene.plan, from, place)?))) else {
            picks.push((0, place));
            continue;
        };
        let number = match numbers.iter().find(|(known, _)| *known == from) {
            Some((_, number)) => *number,
            None => {
                arrays.push(column.clone());
                numbers.push((from, arrays.len() - 1));
                arrays.len() - 1
            }
        };
        picks.push((number, at));
    }
    let arrays: Vec<&dyn Array> = arrays.iter().map(|array| array.as_ref()).collect();
    interleave(&arrays, &picks).unwrap_or_else(|_| new_null_array(&arrow_type(ty), rows))
}

/// Conditions and fingerprints of all rules, by place.
pub fn rule_inputs(
    plan: &Plan,
    scene: &mut Scene<'_>,
    mapped: &Mapped,
    fields: &[ArrayRef],
    printer: &mut Fingerprinter,
    poison: &mut Vec<u32>,
) -> Vec<RuleInput> {
    let source = scene.plan;
    let conditions = conditions(&source.rules, scene, mapped, fields, poison);
    let tenants = source.tenant.and_then(|output| mapped.star.get(output)).map(|column| Reader::Text(column.as_string_view()));
    let rules = plan.rules.iter().zip(&source.rule_outputs).zip(&source.matches).zip(&plan.decide.rules);
    rules
        .map(|(((rule, output), matches), spec)| {
            let holds = output.and_then(|output| conditions.get(output)).map(|column| truths(column).unwrap_or_default());
            let fingerprints = (!matches.is_empty()).then(|| {
                let mut readers: Vec<Reader<'_>> = matches.iter().filter_map(|value| reader(scene, fields, *value)).collect();
                // Incidents of different tenants never meet.
                readers.extend(tenants.clone());
                fingerprints(&mut readers, scene, mapped, spec.rule_key, rule.nulls, tenants.is_some(), printer)
            });
            RuleInput { holds, fingerprints }
        })
        .collect()
}

fn conditions(phase: &Phase, scene: &mut Scene<'_>, mapped: &Mapped, fields: &[ArrayRef], poison: &mut Vec<u32>) -> Vec<ArrayRef> {
    if phase.is_empty() {
        return Vec::new();
    }
    let names = &scene.plan.rule_fields;
    let inputs = phase
        .inputs
        .iter()
        .map(|(source, ty)| match source {
            Source::Field(name) => names
                .iter()
                .position(|field| *field.name == **name)
                .and_then(|number| fields.get(number).cloned())
                .unwrap_or_else(|| new_null_array(&arrow_type(*ty), mapped.rows.len())),
            _ => scene.input(&(source.clone(), *ty), &mapped.rows, None),
        })
        .collect();
    phase.evaluate(inputs, mapped.rows.len(), poison)
}

/// Reads the text of a match field, place by place.
#[derive(Clone)]
enum Reader<'a> {
    Slots(&'a SlotColumn),
    Text(&'a datafusion::arrow::array::StringViewArray),
    Other(&'a ArrayRef, Type),
}

fn reader<'a>(scene: &'a Scene<'_>, fields: &'a [ArrayRef], value: MatchValue) -> Option<Reader<'a>> {
    match value {
        MatchValue::Slot(path) => scene.rows.columns.get(path).map(Reader::Slots),
        MatchValue::Field(number) => {
            let (column, field) = (fields.get(number)?, scene.plan.rule_fields.get(number)?);
            Some(match column.as_string_view_opt() {
                Some(text) => Reader::Text(text),
                None => Reader::Other(column, field.ty),
            })
        }
    }
}

fn fingerprints(
    readers: &mut [Reader<'_>],
    scene: &Scene<'_>,
    mapped: &Mapped,
    rule: u64,
    nulls: Nulls,
    tenant_last: bool,
    printer: &mut Fingerprinter,
) -> Vec<u128> {
    let arena = scene.arena.bytes();
    let mut content = Vec::new();
    let fields = readers.len() - usize::from(tenant_last);
    let one = |place: usize| -> u128 {
        printer.begin(rule);
        for (number, reader) in readers.iter().enumerate() {
            let null = match reader {
                Reader::Slots(slots) => {
                    let slot = slots.get(mapped.rows[place] as usize);
                    match slot.kind() {
                        Kind::Missing | Kind::Null => true,
                        Kind::StringEscaped => {
                            content.clear();
                            unescape(slot.raw(arena), &mut content);
                            printer.field(Some(&content));
                            false
                        }
                        _ => {
                            printer.field(Some(slot.raw(arena)));
                            false
                        }
                    }
                }
                Reader::Text(column) if column.is_valid(place) => {
                    printer.field(Some(column.value(place).as_bytes()));
                    false
                }
                Reader::Text(_) => true,
                Reader::Other(column, ty) => match array_value(column, place, *ty).to_text() {
                    Some(text) => {
                        printer.field(Some(text.as_bytes()));
                        false
                    }
                    None => true,
                },
            };
            if null {
                if number < fields && nulls == Nulls::Skip {
                    return 0;
                }
                printer.field(None);
            }
        }
        printer.finish()
    };
    (0..mapped.rows.len()).map(one).collect()
}

/// Values for `where`: captured when an incident is created, compared later.
pub struct WhereValues<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Names and types of the fields, and their columns by place.
    pub fields: Vec<(Arc<str>, Type, ArrayRef)>,
    /// Place of each row given to the decider.
    pub places: &'a [u32],
}

impl WhereValues<'_> {
    fn value(&self, name: &str, row: usize) -> Value<'_> {
        let place = self.places.get(row).copied().unwrap_or_default() as usize;
        self.fields.iter().find(|(known, ..)| **known == *name).map_or(Value::Null, |(_, ty, column)| array_value(column, place, *ty))
    }
}

impl WhereSource for WhereValues<'_> {
    fn capture(&mut self, row: usize) -> Box<[u8]> {
        let mut bytes = Vec::new();
        for (name, ..) in &self.fields {
            match self.value(name, row) {
                Value::Null => bytes.push(0),
                Value::Text(text) => {
                    bytes.push(1);
                    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
                    bytes.extend_from_slice(text.as_bytes());
                }
                Value::Number(number) => push_word(&mut bytes, 2, number.to_bits()),
                Value::Boolean(truth) => push_word(&mut bytes, 3, u64::from(truth)),
                Value::Time(micros) => push_word(&mut bytes, 4, micros as u64),
                Value::Duration(seconds) => push_word(&mut bytes, 5, seconds.to_bits()),
            }
        }
        bytes.into()
    }

    fn holds(&mut self, rule: usize, row: usize, existing: &[u8]) -> bool {
        let Some(Some(condition)) = self.plan.rules.get(rule).map(|rule| &rule.where_) else { return true };
        let pair = Pair { values: self, row, existing };
        evaluate(condition, &pair, &mut false) == Value::Boolean(true)
    }
}

fn push_word(bytes: &mut Vec<u8>, tag: u8, word: u64) {
    bytes.push(tag);
    bytes.extend_from_slice(&word.to_le_bytes());
}

struct Pair<'a> {
    values: &'a WhereValues<'a>,
    row: usize,
    existing: &'a [u8],
}

impl Pair<'_> {
    /// Walks the captured values up to the field.
    fn captured(&self, name: &str) -> Option<Value<'_>> {
        let mut rest = self.existing;
        for (known, ..) in &self.values.fields {
            let (tag, after) = rest.split_first()?;
            let (value, after) = match tag {
                0 => (Value::Null, after),
                1 => {
                    let (len, after) = after.split_first_chunk::<4>()?;
                    let (text, after) = after.split_at_checked(u32::from_le_bytes(*len) as usize)?;
                    (Value::Text(std::str::from_utf8(text).ok()?.into()), after)
                }
                tag => {
                    let (word, after) = after.split_first_chunk::<8>()?;
                    let word = u64::from_le_bytes(*word);
                    let value = match tag {
                        2 => Value::Number(f64::from_bits(word)),
                        3 => Value::Boolean(word != 0),
                        4 => Value::Time(word as i64),
                        _ => Value::Duration(f64::from_bits(word)),
                    };
                    (value, after)
                }
            };
            if **known == *name {
                return Some(value);
            }
            rest = after;
        }
        None
    }
}

impl Row for Pair<'_> {
    fn get(&self, source: &Source, _: Type) -> Value<'_> {
        match source {
            Source::New(name) => self.values.value(name, self.row),
            Source::Existing(name) => self.captured(name).unwrap_or(Value::Null),
            _ => Value::Null,
        }
    }
}
