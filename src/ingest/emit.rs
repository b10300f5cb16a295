//! Mapped rows → incidents as JSON, straight into one buffer.
//!
//! Where a field is a plain path, the event's own token is copied; what was computed
//! is written by type. How each field of each type is written is settled once per
//! batch, not per row.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, PrimitiveArray, StringViewArray};
use datafusion::arrow::datatypes::{Float64Type, TimestampMicrosecondType};

use super::columns;
use super::decode::{Kind, NO_TOP_KEY, Slot, SlotColumn};
use super::map::Mapped;
use super::plan::{From, OutField, Plan};
use super::scene::Scene;
use crate::config::model::Labels;
use crate::expr::value::Type;
use crate::incident::encode::{STRIDE, push_escaped, push_integer, push_number, push_padded, push_raw, push_string};
use crate::incident::id::ID_BYTES;
use crate::incident::time_text::TimeText;

/// The tenant of events for which `tenant` is NULL.
pub const UNKNOWN_TENANT: &str = "unknown";

/// Writes the incidents of one batch.
pub struct Emitter<'a> {
    plan: &'a Plan,
    scene: &'a Scene<'a>,
    mapped: &'a Mapped,
    /// Per type code: `None` until a row of the type comes.
    layouts: Vec<Option<LayoutWriter<'a>>>,
    /// Per partition: `,"source":{…,"offset":` as far as it is the same for all.
    sources: Vec<Vec<u8>>,
    tenants: Option<&'a StringViewArray>,
    tail: Vec<u8>,
    times: TimeText,
}

struct LayoutWriter<'a> {
    /// `","type":…,"severity":`
    head: Vec<u8>,
    severity: Option<FieldWriter<'a>>,
    fields: Vec<(Key<'a>, FieldWriter<'a>)>,
}

/// `,"name":` as it is written, padded if it is short.
struct Key<'a> {
    text: &'a [u8],
    padded: [u8; STRIDE],
}

impl<'a> Key<'a> {
    fn new(text: &'a [u8]) -> Key<'a> {
        let mut padded = [0; STRIDE];
        padded.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        Key { text, padded }
    }

    #[inline(always)]
    fn push(&self, out: &mut Vec<u8>) {
        if self.text.len() <= STRIDE { push_padded(out, &self.padded, 0, self.text.len()) } else { out.extend_from_slice(self.text) }
    }
}

/// How one field of one type is written.
enum FieldWriter<'a> {
    Token(&'a SlotColumn),
    Text(&'a SlotColumn),
    Number(&'a SlotColumn),
    Integer(&'a SlotColumn),
    Boolean(&'a SlotColumn),
    TextColumn(&'a StringViewArray, Index),
    NumberColumn(&'a Float64Array, Index),
    BooleanColumn(&'a BooleanArray, Index),
    TimeColumn(&'a PrimitiveArray<TimestampMicrosecondType>, Index),
    Nothing,
}

/// Where a row's value stands in a column.
#[derive(Clone, Copy)]
enum Index {
    Place,
    Ranked(u32),
}

impl<'a> Emitter<'a> {
    /// An emitter for one mapped batch.
    pub fn new(plan: &'a Plan, scene: &'a Scene<'a>, mapped: &'a Mapped) -> Emitter<'a> {
        let mut tail = Vec::new();
        if let Some(tenant) = &plan.tenant {
            tail.extend_from_slice(b",\"tenant\":");
            push_string(&mut tail, tenant);
        }
        tail.extend_from_slice(b",\"pipeline\":");
        push_string(&mut tail, &plan.name);
        tail.extend_from_slice(b",\"pipeline_version\":");
        push_string(&mut tail, &plan.version);
        let tenants = scene.plan.tenant.and_then(|output| mapped.star.get(output)).and_then(|column| column.as_string_view_opt());
        let layouts = (0..plan.types.len()).map(|_| None).collect();
        Emitter { plan, scene, mapped, layouts, sources: Vec::new(), tenants, tail, times: TimeText::default() }
    }

    /// The tenant of a place.
    pub fn tenant(&self, place: usize) -> &'a str {
        match (&self.plan.tenant, self.tenants) {
            (Some(tenant), _) => tenant,
            (None, Some(column)) if column.is_valid(place) => column.value(place),
            _ => UNKNOWN_TENANT,
        }
    }

    /// Appends the incident of a place, all but the closing part with its state
    /// ([`crate::incident::state::push_state`]). Times in microseconds.
    pub fn push_body(&mut self, out: &mut Vec<u8>, place: usize, id: &[u8; ID_BYTES], occurred: i64, created: i64, raw: bool) {
        let code = self.mapped.types[place] as usize;
        if self.layouts[code].is_none() {
            self.layouts[code] = Some(self.layout(code));
        }
        let row = self.mapped.rows[place] as usize;
        out.extend_from_slice(b"{\"id\":\"");
        out.extend_from_slice(id);
        let arena = self.scene.arena.bytes();
        if let Some(layout) = &self.layouts[code] {
            out.extend_from_slice(&layout.head);
            match layout.severity.as_ref() {
                Some(severity) if severity.push(out, &Key::new(b""), arena, row, place, self.mapped, &mut self.times) => {}
                _ => out.push(b'0'),
            }
            out.extend_from_slice(b",\"occurred\":");
            self.times.push(out, occurred);
            out.extend_from_slice(b",\"created\":");
            self.times.push(out, created);
            for (key, field) in &layout.fields {
                field.push(out, key, arena, row, place, self.mapped, &mut self.times);
            }
        }
        let labels = self.scene.plan.layouts[code].labels;
        if self.plan.labels != Labels::None && labels != Labels::None {
            self.push_labels(out, row, labels);
        }
        if raw && self.plan.raw {
            out.extend_from_slice(b",\"raw\":");
            push_raw(out, self.scene.rows.events.get(row).copied().unwrap_or_default().raw(arena));
        }
        self.push_source(out, row);
        out.extend_from_slice(&self.tail);
        if self.plan.tenant.is_none() {
            out.extend_from_slice(b",\"tenant\":");
            push_string(out, self.tenant(place));
        }
        self.push_errors(out, place, code);
    }

    fn layout(&self, code: usize) -> LayoutWriter<'a> {
        let mut head = b"\",\"type\":".to_vec();
        push_string(&mut head, self.plan.types.get(code).map_or("", |name| name));
        head.extend_from_slice(b",\"severity\":");
        let layout = &self.scene.plan.layouts[code];
        LayoutWriter {
            head,
            severity: layout.severity.as_ref().map(|field| self.writer(field, code)),
            fields: layout.fields.iter().map(|field| (Key::new(&field.key), self.writer(field, code))).collect(),
        }
    }

    fn writer(&self, field: &'a OutField, code: usize) -> FieldWriter<'a> {
        let spliced = |path: usize, writer: fn(&'a SlotColumn) -> FieldWriter<'a>| self.scene.rows.columns.get(path).map_or(FieldWriter::Nothing, writer);
        let (column, index): (Option<&'a ArrayRef>, Index) = match field.from {
            From::Splice(path) => return spliced(path, FieldWriter::Token),
            From::SpliceText(path) => return spliced(path, FieldWriter::Text),
            From::SpliceNumber(path) => return spliced(path, FieldWriter::Number),
            From::SpliceInteger(path) => return spliced(path, FieldWriter::Integer),
            From::SpliceBoolean(path) => return spliced(path, FieldWriter::Boolean),
            From::Occurred => (self.mapped.occurred.as_ref(), Index::Place),
            From::Star(output) => (self.mapped.star.get(output), Index::Place),
            From::Section(section, output) => {
                let at = self.scene.plan.sections.get(section).and_then(|s| s.types.binary_search(&(code as u16)).ok());
                let columns = self.mapped.sections.get(section);
                let base = columns.zip(at).and_then(|(columns, at)| columns.bases.get(at)).copied().unwrap_or_default();
                (columns.and_then(|columns| columns.columns.get(output)), Index::Ranked(base))
            }
        };
        let Some(column) = column else { return FieldWriter::Nothing };
        let writer = match field.ty {
            Type::Text | Type::Null => column.as_string_view_opt().map(|c| FieldWriter::TextColumn(c, index)),
            Type::Number | Type::Duration => column.as_primitive_opt::<Float64Type>().map(|c| FieldWriter::NumberColumn(c, index)),
            Type::Boolean => column.as_boolean_opt().map(|c| FieldWriter::BooleanColumn(c, index)),
            Type::Time => column.as_primitive_opt::<TimestampMicrosecondType>().map(|c| FieldWriter::TimeColumn(c, index)),
        };
        writer.unwrap_or(FieldWriter::Nothing)
    }

    fn push_labels(&self, out: &mut Vec<u8>, row: usize, labels: Labels) {
        let arena = self.scene.arena.bytes();
        let members = self.scene.rows.top_of(row);
        let start = out.len();
        out.extend_from_slice(b",\"labels\":{");
        let empty = out.len();
        let first = row.checked_sub(1).and_then(|before| self.scene.rows.top_ends.get(before)).map_or(0, |end| *end as usize);
        for (number, (key, value)) in members.iter().enumerate() {
            // The decoder knows which keys some expression reads.
            let read = self.scene.rows.top_keys.get(first + number).is_some_and(|known| *known != NO_TOP_KEY);
            if labels == Labels::Unmapped && read || labels == Labels::Mapper && value.kind() == Kind::Null {
                continue;
            }
            // Duplicate keys: the last wins, here too.
            let raw = key.raw(arena);
            if members[number + 1..].iter().any(|(later, _)| later.len() == key.len() && later.raw(arena) == raw) {
                continue;
            }
            if out.len() > empty {
                out.push(b',');
            }
            out.extend_from_slice(key.token(arena));
            out.push(b':');
            if labels == Labels::Mapper {
                push_text(out, arena, *value);
            } else {
                push_token(out, arena, *value);
            }
        }
        if out.len() == empty {
            out.truncate(start);
        } else {
            out.push(b'}');
        }
    }

    fn push_source(&mut self, out: &mut Vec<u8>, row: usize) {
        let message = self.scene.rows.messages.get(row).and_then(|m| self.scene.messages.get(*m as usize));
        let Some(message) = message else { return };
        let number = message.partition as usize;
        if self.sources.len() <= number {
            self.sources.resize(number + 1, Vec::new());
        }
        if self.sources[number].is_empty() {
            let (topic, partition) = self.scene.partitions.name(message.partition);
            let head = &mut self.sources[number];
            head.extend_from_slice(b",\"source\":{\"name\":");
            push_string(head, &self.scene.plan.name);
            head.extend_from_slice(b",\"topic\":");
            push_string(head, topic);
            head.extend_from_slice(b",\"partition\":");
            push_integer(head, i64::from(partition));
            head.extend_from_slice(b",\"offset\":");
        }
        out.extend_from_slice(&self.sources[number]);
        push_integer(out, message.offset);
        out.extend_from_slice(b",\"element\":");
        push_integer(out, i64::from(self.scene.rows.elements.get(row).copied().unwrap_or_default()));
        out.push(b'}');
    }

    fn push_errors(&self, out: &mut Vec<u8>, place: usize, code: usize) {
        let from = self.mapped.errors.partition_point(|(p, _)| (*p as usize) < place);
        let errors = self.mapped.errors[from..].iter().take_while(|(p, _)| *p as usize == place);
        let mut any = false;
        for (_, number) in errors {
            let Some(field) = self.scene.plan.layouts[code].all().nth(*number as usize) else { continue };
            out.extend_from_slice(if any { b"," } else { b",\"_errors\":[" });
            push_string(out, &field.name);
            any = true;
        }
        if any {
            out.push(b']');
        }
    }
}

/// Appends a token of the event; containers on one line.
#[inline(always)]
fn push_token(out: &mut Vec<u8>, arena: &[u8], slot: Slot) {
    match slot.kind() {
        Kind::Missing => out.extend_from_slice(b"null"),
        Kind::Object | Kind::Array => push_raw(out, slot.raw(arena)),
        // With the quotes.
        Kind::String | Kind::StringEscaped => push_padded(out, arena, (slot.start() as usize).saturating_sub(1), slot.len() as usize + 2),
        _ => push_padded(out, arena, slot.start() as usize, slot.len() as usize),
    }
}

/// The value as a JSON string: what is none, in the text of its token.
#[inline(always)]
fn push_text(out: &mut Vec<u8>, arena: &[u8], slot: Slot) {
    if slot.kind().is_string() { push_token(out, arena, slot) } else { push_as_text(out, arena, slot) }
}

#[inline(never)]
fn push_as_text(out: &mut Vec<u8>, arena: &[u8], slot: Slot) {
    out.push(b'"');
    push_escaped(out, slot.raw(arena));
    out.push(b'"');
}

impl Index {
    #[inline(always)]
    fn of(self, place: usize, mapped: &Mapped) -> usize {
        match self {
            Index::Place => place,
            Index::Ranked(base) => (base + mapped.rank[place]) as usize,
        }
    }
}

impl FieldWriter<'_> {
    /// Appends `key` and the value; nothing, and false, where there is no value.
    #[inline]
    #[allow(clippy::too_many_arguments)]
    fn push(&self, out: &mut Vec<u8>, key: &Key<'_>, arena: &[u8], row: usize, place: usize, mapped: &Mapped, times: &mut TimeText) -> bool {
        let slot = |slots: &SlotColumn| slots.get(row);
        match self {
            FieldWriter::Token(slots) => {
                let slot = slot(slots);
                if matches!(slot.kind(), Kind::Missing | Kind::Null) {
                    return false;
                }
                key.push(out);
                push_token(out, arena, slot);
            }
            FieldWriter::Text(slots) => {
                let slot = slot(slots);
                if matches!(slot.kind(), Kind::Missing | Kind::Null) {
                    return false;
                }
                key.push(out);
                push_text(out, arena, slot);
            }
            FieldWriter::Number(slots) => {
                let slot = slot(slots);
                if slot.kind() == Kind::Number {
                    key.push(out);
                    push_token(out, arena, slot);
                } else {
                    let Some(number) = columns::number(arena, slot) else { return false };
                    key.push(out);
                    push_number(out, number);
                }
            }
            FieldWriter::Integer(slots) => {
                let slot = slot(slots);
                // Digits stay as they are: a double would round them.
                if columns::is_integer(arena, slot) {
                    key.push(out);
                    out.extend_from_slice(slot.raw(arena));
                } else {
                    let Some(number) = columns::number(arena, slot) else { return false };
                    key.push(out);
                    push_number(out, number.trunc() + 0.0);
                }
            }
            FieldWriter::Boolean(slots) => {
                let Some(truth) = columns::boolean(arena, slot(slots)) else { return false };
                key.push(out);
                out.extend_from_slice(if truth { b"true" } else { b"false" });
            }
            FieldWriter::TextColumn(column, index) => {
                let at = index.of(place, mapped);
                if column.is_null(at) {
                    return false;
                }
                key.push(out);
                push_string(out, column.value(at));
            }
            FieldWriter::NumberColumn(column, index) => {
                let at = index.of(place, mapped);
                if column.is_null(at) {
                    return false;
                }
                key.push(out);
                push_number(out, column.value(at));
            }
            FieldWriter::BooleanColumn(column, index) => {
                let at = index.of(place, mapped);
                if column.is_null(at) {
                    return false;
                }
                key.push(out);
                out.extend_from_slice(if column.value(at) { b"true" } else { b"false" });
            }
            FieldWriter::TimeColumn(column, index) => {
                let at = index.of(place, mapped);
                if column.is_null(at) {
                    return false;
                }
                key.push(out);
                times.push(out, column.value(at));
            }
            FieldWriter::Nothing => return false,
        }
        true
    }
}
