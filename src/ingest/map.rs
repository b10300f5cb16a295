//! Mapping: the `"*"` section over all kept rows at once, each type's own expressions
//! over that type's rows only.
//!
//! Rows are ordered by type with one counting sort. Types with the same expressions
//! share one evaluation, so that a hundred types do not cost a hundred passes.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::TimestampMicrosecondType;

use super::columns::{self, Arena};
use super::decode::{Kind, Slot};
use super::ledger::Counts;
use super::plan::{From, OutField, Plan, SourcePlan};
use super::scene::{NO_TIME, OfTypes, Scene, SceneRow};
use crate::expr::reference::evaluate;

/// Everything computed for the kept rows. A place is a number among them.
#[derive(Debug, Default)]
pub struct Mapped {
    /// Row number per place, ascending.
    pub rows: Vec<u32>,
    /// Type code per place.
    pub types: Vec<u16>,
    /// `occurred` of the `"*"` section.
    pub occurred: Option<ArrayRef>,
    /// Outputs of the `star` phase, by place.
    pub star: Vec<ArrayRef>,
    /// Outputs per section.
    pub sections: Vec<SectionColumns>,
    /// Rank of each place among those of its type.
    pub rank: Vec<u32>,
    /// Why a place cannot become an incident.
    pub dead: Vec<(u32, Death)>,
    /// Fields per place that are NULL because a function failed: (place, index in `Layout::all`).
    pub errors: Vec<(u32, u16)>,
}

/// Why a classified row becomes a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Death {
    /// An expression failed: a bug of ours.
    Evaluation,
    /// A required field has no value: index in `Layout::all`.
    Required(u16),
}

/// What a section computed.
#[derive(Debug, Default)]
pub struct SectionColumns {
    /// The outputs.
    pub columns: Vec<ArrayRef>,
    /// Per type of the section: where its rows begin in the columns.
    pub bases: Vec<u32>,
}

impl Mapped {
    /// Column and index at which the computed value of a field stands.
    pub fn column(&self, plan: &SourcePlan, from: From, place: usize) -> Option<(&ArrayRef, usize)> {
        match from {
            From::Occurred => self.occurred.as_ref().map(|column| (column, place)),
            From::Star(output) => self.star.get(output).map(|column| (column, place)),
            From::Section(section, output) => {
                let types = &plan.sections.get(section)?.types;
                let at = types.binary_search(self.types.get(place)?).ok()?;
                let columns = self.sections.get(section)?;
                Some((columns.columns.get(output)?, (*columns.bases.get(at)? + self.rank[place]) as usize))
            }
            _ => None,
        }
    }
}

/// Runs the map over the kept rows.
pub fn map(plan: &Plan, scene: &mut Scene<'_>, rows: Vec<u32>, types: Vec<u16>, arrival_is_occurred: bool, counts: &mut Counts) -> Mapped {
    let source = scene.plan;
    let mut poison = Vec::new();
    let occurred = scene.evaluate(&source.occurred, &rows, &mut poison).pop();
    scene.occurred = occurred.clone();
    if arrival_is_occurred && let Some(times) = occurred.as_ref().and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>()) {
        for (place, row) in rows.iter().enumerate().filter(|(place, _)| times.is_valid(*place)) {
            if scene.arrivals[*row as usize] == NO_TIME {
                scene.arrivals[*row as usize] = times.value(place);
            }
        }
    }
    let star = scene.evaluate(&source.star, &rows, &mut poison);

    let (order, starts) = sort_by_type(&types, plan.types.len());
    let mut rank = vec![0; rows.len()];
    for window in 0..plan.types.len() {
        for (n, place) in order[starts[window] as usize..starts[window + 1] as usize].iter().enumerate() {
            rank[*place as usize] = n as u32;
        }
    }
    let mut sections = Vec::with_capacity(source.sections.len());
    for section in &source.sections {
        let mut places: Vec<u32> = Vec::new();
        let mut bases = Vec::with_capacity(section.types.len());
        for code in &section.types {
            bases.push(places.len() as u32);
            places.extend_from_slice(&order[starts[*code as usize] as usize..starts[*code as usize + 1] as usize]);
        }
        if places.is_empty() {
            sections.push(SectionColumns::default());
            continue;
        }
        let selected: Vec<u32> = places.iter().map(|place| rows[*place as usize]).collect();
        let mut failed = Vec::new();
        let columns = scene.evaluate_some(&section.phase, &selected, &OfTypes::new(&places, &bases), &mut failed);
        poison.extend(failed.iter().map(|place| places[*place as usize]));
        sections.push(SectionColumns { columns, bases });
    }
    poison.sort_unstable();
    poison.dedup();
    let dead = poison.into_iter().map(|place| (place, Death::Evaluation)).collect();
    let mut mapped = Mapped { rows, types, occurred, star, sections, rank, dead, errors: Vec::new() };
    inspect(scene, &mut mapped, counts);
    mapped
}

/// Places ordered by type code (stable), and where each code begins.
fn sort_by_type(types: &[u16], count: usize) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![0u32; count + 1];
    for code in types {
        starts[*code as usize + 1] += 1;
    }
    for code in 0..count {
        starts[code + 1] += starts[code];
    }
    let mut next = starts.clone();
    let mut order = vec![0u32; types.len()];
    for (place, code) in types.iter().enumerate() {
        let at = &mut next[*code as usize];
        order[*at as usize] = place as u32;
        *at += 1;
    }
    (order, starts)
}

/// Finds fields that are NULL because a function failed, and required ones without a value.
fn inspect(scene: &Scene<'_>, mapped: &mut Mapped, counts: &mut Counts) {
    let source = scene.plan;
    let mut present = vec![0u32; source.layouts.len()];
    for code in &mapped.types {
        present[*code as usize] += 1;
    }
    let mut errors = Vec::new();
    let mut dead = Vec::new();
    // Columns without a NULL need no look: decided per batch, not per row.
    let mut suspects: Vec<Vec<u16>> = vec![Vec::new(); source.layouts.len()];
    for (code, layout) in source.layouts.iter().enumerate().filter(|(code, _)| present[*code] > 0) {
        for (number, field) in layout.all().enumerate() {
            if (field.fallible || field.required) && may_be_null(scene, mapped, field, code as u16) {
                suspects[code].push(number as u16);
            }
        }
    }
    if suspects.iter().all(Vec::is_empty) {
        return;
    }
    for place in 0..mapped.rows.len() {
        let code = mapped.types[place] as usize;
        for number in &suspects[code] {
            let Some(field) = source.layouts[code].all().nth(*number as usize) else { continue };
            if !is_null(scene, mapped, field, place) {
                continue;
            }
            if field.fallible && failed(scene, mapped, field, place) {
                errors.push((place as u32, *number));
                counts.field_error(&field.name);
            }
            if field.required {
                dead.push((place as u32, Death::Required(*number)));
            }
        }
    }
    mapped.errors = errors;
    mapped.dead.extend(dead);
    mapped.dead.sort_by_key(|(place, _)| *place);
    mapped.dead.dedup_by_key(|(place, _)| *place);
}

fn may_be_null(scene: &Scene<'_>, mapped: &Mapped, field: &OutField, code: u16) -> bool {
    let source = scene.plan;
    let column = match field.from {
        From::Occurred => mapped.occurred.as_ref(),
        From::Star(output) => mapped.star.get(output),
        From::Section(section, output) => {
            let known = source.sections.get(section).is_some_and(|s| s.types.binary_search(&code).is_ok());
            mapped.sections.get(section).filter(|_| known).and_then(|s| s.columns.get(output))
        }
        _ if field.required => return true,
        // Of a computed column it is known whether it failed anywhere.
        From::Splice(path) | From::SpliceText(path) => return has_failed(scene, path),
        From::SpliceNumber(path) | From::SpliceInteger(path) | From::SpliceBoolean(path) => {
            return has_failed(scene, path) || has_unfit(scene, field.from, path);
        }
    };
    column.is_none_or(|column| column.null_count() > 0)
}

fn has_failed(scene: &Scene<'_>, path: usize) -> bool {
    is_computed(scene.plan, path) && scene.rows.failed.contains(&path)
}

/// True when some row has a value that is none of the kind.
fn has_unfit(scene: &Scene<'_>, from: From, path: usize) -> bool {
    let unfit = |slot: Slot| slot.kind() != Kind::Null && !writable(scene.arena, from, slot);
    scene.rows.columns.get(path).is_some_and(|slots| slots.present().any(|(_, slot)| unfit(slot)))
}

fn is_computed(source: &SourcePlan, path: usize) -> bool {
    source.paths.get(path).is_some_and(|path| path.as_computed().is_some())
}

fn is_null(scene: &Scene<'_>, mapped: &Mapped, field: &OutField, place: usize) -> bool {
    match field.from.path() {
        Some(path) => {
            let slot = scene.rows.columns.get(path).map(|slots| slots.get(mapped.rows[place] as usize)).unwrap_or_default();
            !writable(scene.arena, field.from, slot)
        }
        None => mapped.column(scene.plan, field.from, place).is_none_or(|(column, at)| column.is_null(at)),
    }
}

/// True when a spliced token yields a value.
pub fn writable(arena: &Arena, from: From, slot: Slot) -> bool {
    match (from, slot.kind()) {
        (_, Kind::Missing | Kind::Null) => false,
        // Digits are copied as they are, even those that no double can hold.
        (From::SpliceNumber(_), Kind::Number) => true,
        (From::SpliceInteger(_), _) if columns::is_integer(arena.bytes(), slot) => true,
        (From::SpliceNumber(_) | From::SpliceInteger(_), _) => columns::number(arena.bytes(), slot).is_some(),
        (From::SpliceBoolean(_), _) => columns::boolean(arena.bytes(), slot).is_some(),
        _ => true,
    }
}

/// True when the field is NULL although there was something to read.
fn failed(scene: &Scene<'_>, mapped: &Mapped, field: &OutField, place: usize) -> bool {
    let row = mapped.rows[place];
    match field.from.path() {
        Some(path) => {
            let slot = scene.rows.columns.get(path).map(|slots| slots.get(row as usize)).unwrap_or_default();
            // A computed column holds a null only where its computation failed.
            match slot.kind() {
                Kind::Missing => false,
                Kind::Null => is_computed(scene.plan, path),
                _ => true,
            }
        }
        None if field.reads.as_ref().is_some_and(|paths| paths.iter().all(|path| nothing(scene, *path, row))) => false,
        None => {
            let mut failed = false;
            evaluate(&field.typed, &SceneRow { scene, row, place: place as u32 }, &mut failed);
            failed || computation_failed(scene, field, row)
        }
    }
}

/// True where the event has nothing at a path: no value, or a null of its own.
fn nothing(scene: &Scene<'_>, path: usize, row: u32) -> bool {
    let slot = scene.rows.columns.get(path).map(|slots| slots.get(row as usize)).unwrap_or_default();
    // A null in a computed column says that the computation failed.
    slot.is_missing() || slot.kind() == Kind::Null && !is_computed(scene.plan, path)
}

/// True when a computed column that the field reads failed on the row.
fn computation_failed(scene: &Scene<'_>, field: &OutField, row: u32) -> bool {
    !scene.rows.failed.is_empty()
        && field.typed.inputs().iter().any(|(source, _)| match source {
            crate::expr::typed::Source::Event(path) if path.as_computed().is_some() => {
                let slots = scene.plan.path_numbers.get(path).and_then(|number| scene.rows.columns.get(*number));
                slots.is_some_and(|slots| slots.get(row as usize).kind() == Kind::Null)
            }
            _ => false,
        })
}
