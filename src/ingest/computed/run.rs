//! Computes the columns of one batch.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use serde_json::Value;

use super::column::Column;
use super::kernel::{Outcome, Scratch};
use super::plan::{Computed, Counters, Node, Part, Prefix, When};
use super::{cell, external, fan};
use crate::content::incident::list;
use crate::expr::xsoar::clock;
use crate::expr::xsoar::env::{Env, Lists, Scripts};
use crate::expr::xsoar::evaluate::{keep, reads_beyond};
use crate::expr::xsoar::external::Processes;
use crate::expr::xsoar::fault::Fault;
use crate::expr::xsoar::prepared::Source;
use crate::expr::xsoar::value::{into_list, text_of};
use crate::ingest::decode::{Kind, Rows, Slot};

/// Computes batches; keeps its memory.
#[derive(Debug, Default)]
pub struct Runner {
    columns: Vec<Column>,
    scratch: Scratch,
    /// The events of rows that the reference evaluator needs, parsed once a row.
    parsed: Vec<Option<Option<Value>>>,
    /// Processes of a user's scripts.
    scripts: Option<Processes>,
}

/// The time that `now` means for a row, in microseconds since 1970; `None` where none is known.
pub type Times<'t> = dyn Fn(u32) -> Option<i64> + 't;

/// What nodes see beside their columns.
struct Around<'a> {
    rows: &'a Rows,
    times: &'a Times<'a>,
    lists: &'a Lists<'a>,
    scripts: Option<&'a dyn Scripts>,
}

impl<'a> Around<'a> {
    fn env<'e>(&'e self, context: &'e Value) -> Env<'e> {
        Env { lists: Some(self.lists), scripts: self.scripts, ..Env::new(context) }
    }
}

impl Runner {
    /// Fills the computed columns of `rows`. What is made is appended to the arena.
    pub fn fill(&mut self, computed: &Computed, arena: &mut Vec<u8>, rows: &mut Rows, times: &Times<'_>) {
        let count = rows.len();
        self.columns.resize_with(computed.nodes.len(), Column::default);
        self.scratch.begin();
        self.parsed.clear();
        self.parsed.resize(count, None);
        let all: Vec<u32> = (0..count as u32).collect();
        let lists = |name: &str| computed.content.as_ref().and_then(|content| list(content, name));
        let scripts = self.scripts(computed);
        let around = Around { rows, times, lists: &lists, scripts: scripts.as_ref().map(|scripts| scripts as &dyn Scripts) };
        let nodes = |first: bool| {
            let when = computed.node_when.iter().enumerate();
            when.filter(move |(_, when)| (**when == When::First) == first)
        };
        for (number, _) in nodes(true) {
            self.node(computed, number, arena, &around, &all);
        }
        let types = self.types(computed, arena, around.rows);
        // The rows of a set of types, found once.
        let mut selections: Vec<(&[u16], Vec<u32>)> = Vec::new();
        for (number, when) in nodes(false) {
            let (When::Types(codes), Some(types)) = (when, &types) else {
                self.node(computed, number, arena, &around, &all);
                continue;
            };
            let at = selections.iter().position(|(known, _)| known == codes).unwrap_or_else(|| {
                let of_these = all.iter().copied().filter(|row| types.get(*row as usize).is_some_and(|code| codes.contains(code)));
                selections.push((codes, of_these.collect()));
                selections.len() - 1
            });
            if let Some((_, selected)) = selections.get(at) {
                self.node(computed, number, arena, &around, selected);
            }
        }
        self.scripts = scripts;
        self.publish(computed, rows);
    }

    /// The processes of a user's scripts; they stay from batch to batch.
    fn scripts(&mut self, computed: &Computed) -> Option<Processes> {
        let programs = &computed.content.as_ref()?.scripts;
        if programs.list.is_empty() {
            return None;
        }
        Some(self.scripts.take().filter(|known| known.are_of(programs)).unwrap_or_else(|| Processes::new(programs.clone())))
    }

    /// The type of each row, where the classifier decides alone.
    fn types(&mut self, computed: &Computed, arena: &[u8], rows: &Rows) -> Option<Vec<u16>> {
        let table = computed.table.as_ref()?;
        let key = computed.outputs.iter().find(|output| output.when == When::First)?;
        let column = self.columns.get_mut(key.node)?;
        column.settle(rows);
        let slots = &column.slots;
        let default = computed.default.unwrap_or(u16::MAX);
        // Events come in runs of one kind.
        let mut last: (Slot, u16) = (Slot::MISSING, default);
        let code = |slot: &Slot| {
            let same = slot.kind() == last.0.kind() && slot.raw(arena) == last.0.raw(arena);
            if !same {
                let found = cell::text(arena, *slot).and_then(|text| table.get(&*text).copied());
                last = (*slot, found.unwrap_or(default));
            }
            last.1
        };
        let mut types: Vec<u16> = slots.iter().map(code).collect();
        types.resize(rows.len(), default);
        Some(types)
    }

    fn node(&mut self, computed: &Computed, number: usize, arena: &mut Vec<u8>, around: &Around<'_>, selected: &[u32]) {
        let rows = around.rows;
        let mut column = std::mem::take(&mut self.columns[number]);
        column.begin(selected.len());
        if let Some(same) = self.same(&computed.nodes[number], rows, selected) {
            column.same = Some(same);
            self.columns[number] = column;
            return;
        }
        column.slots.resize(rows.len(), Slot::MISSING);
        for input in computed.nodes[number].inputs() {
            if let Some(input) = self.columns.get_mut(input) {
                input.settle(rows);
            }
        }
        let mut env = around.env(&Value::Null);
        match &computed.nodes[number] {
            Node::Constant(value) => {
                let slot = cell::put_json(arena, value).unwrap_or(Slot::MISSING);
                selected.iter().for_each(|row| column.slots[*row as usize] = slot);
            }
            Node::Path { leaf, prefixes } => self.path(*leaf, prefixes, arena, rows, selected, &mut column),
            Node::Template(parts) => {
                let mut text = String::new();
                for row in selected {
                    text.clear();
                    for part in parts {
                        match part {
                            Part::Text(piece) => text.push_str(piece),
                            Part::Node(node) => {
                                let slot = self.columns.get(*node).and_then(|column| column.slots.get(*row as usize)).copied().unwrap_or(Slot::MISSING);
                                match cell::text(arena, slot) {
                                    Some(piece) => text.push_str(&piece),
                                    None => text.push_str(&cell::value(arena, slot).map(|value| text_of(&value)).unwrap_or_default()),
                                }
                            }
                        }
                    }
                    column.slots[*row as usize] = cell::put_text(arena, &text).unwrap_or(Slot::MISSING);
                }
            }
            Node::Kernel(input, kernel) => {
                let Some(from) = self.columns.get(*input) else { return };
                let clock = kernel.reads_clock();
                column.each(from, selected, |slot, row| {
                    if kernel.passes(slot) {
                        return Some(slot);
                    }
                    env.budget.renew();
                    if clock {
                        env.now_us = (around.times)(row);
                    }
                    match kernel.apply(arena, &mut self.scratch, slot, &env) {
                        Outcome::Slot(slot) => Some(slot),
                        Outcome::Fault(_) => None,
                    }
                });
            }
            Node::Filtered(input, chain) => {
                let Some(from) = self.columns.get(*input) else { return };
                let Source::Filtered { tests, accessor, .. } = &chain.source else { return };
                let mut beyond = Vec::new();
                let clock = clock::tests(tests);
                column.each(from, selected, |slot, row| {
                    env.budget.renew();
                    if clock {
                        env.now_us = (around.times)(row);
                    }
                    let items = into_list(cell::value(arena, slot)?);
                    if reads_beyond(&items, tests, &env) {
                        beyond.push(row);
                        return Some(Slot::MISSING);
                    }
                    cell::put_json(arena, &keep(items, tests, accessor, &env).ok()?)
                });
                let start = Instant::now();
                for row in &beyond {
                    let found = self.event(arena, rows, *row).and_then(|event| {
                        let env = Env { now_us: (around.times)(*row), ..around.env(event) };
                        chain.source.evaluate(&env).ok()
                    });
                    match found.and_then(|value| cell::put_json(arena, &value)) {
                        Some(slot) => column.slots[*row as usize] = slot,
                        None => column.failed.push(*row),
                    }
                }
                column.failed.sort_unstable();
                column.fallback += beyond.len() as u64;
                column.fallback_ns += if beyond.is_empty() { 0 } else { start.elapsed().as_nanos() as u64 };
            }
            Node::External(input, step) => {
                let Some(from) = self.columns.get(*input) else { return };
                external::fill(step, from, &mut column, arena, selected, around.scripts);
            }
            Node::Reference(prepared) => {
                let start = Instant::now();
                for row in selected {
                    let result = match self.event(arena, rows, *row) {
                        Some(event) => prepared.evaluate(&Env { now_us: (around.times)(*row), ..around.env(event) }),
                        None => Err(Fault::Cast { operator: "event", wanted: "JSON that doubles can hold" }),
                    };
                    match result.ok().and_then(|value| cell::put_json(arena, &value)) {
                        Some(slot) => column.slots[*row as usize] = slot,
                        None => column.failed.push(*row),
                    }
                }
                column.fallback = selected.len() as u64;
                column.fallback_ns = start.elapsed().as_nanos() as u64;
            }
        }
        self.columns[number] = column;
    }

    /// The column of the event that a node is, nulls aside: of a path where nothing stands on its way, and of a kernel
    /// that leaves everything as it is. Most are, and cost no more than this question.
    fn same(&self, node: &Node, rows: &Rows, selected: &[u32]) -> Option<usize> {
        // Rows that are not asked for have no value.
        if selected.len() < rows.len() {
            return None;
        }
        match node {
            Node::Path { leaf, prefixes } => rows.columns.get(*leaf).filter(|slots| prefixes.is_empty() || slots.len() == rows.len()).map(|_| *leaf),
            Node::Kernel(input, kernel) => self.columns.get(*input)?.same.filter(|leaf| rows.columns.get(*leaf).is_some_and(|slots| kernel.keeps(slots))),
            _ => None,
        }
    }

    /// The event of a row, parsed.
    fn event(&mut self, arena: &[u8], rows: &Rows, row: u32) -> Option<&Value> {
        let place = self.parsed.get_mut(row as usize)?;
        if place.is_none() {
            *place = Some(rows.events.get(row as usize).and_then(|event| serde_json::from_slice(event.raw(arena)).ok()));
        }
        place.as_ref()?.as_ref()
    }

    fn path(&self, leaf: usize, prefixes: &[Prefix], arena: &mut Vec<u8>, rows: &Rows, selected: &[u32], column: &mut Column) {
        let mut missing = Vec::new();
        if let Some(slots) = rows.columns.get(leaf) {
            let mut slots = slots.cursor();
            for row in selected {
                match slots.get(*row) {
                    slot if slot.is_missing() => missing.push(*row),
                    slot if slot.kind() == Kind::Null => {}
                    slot => column.slots[*row as usize] = slot,
                }
            }
        }
        if missing.is_empty() || prefixes.is_empty() {
            return;
        }
        // Where nothing was found a list may stand on the way.
        let mut start = None;
        for prefix in prefixes {
            let Some(slots) = rows.columns.get(prefix.column) else { continue };
            if slots.is_empty() {
                continue;
            }
            let mut cursor = slots.cursor();
            let mut kept = Vec::with_capacity(missing.len());
            for row in missing {
                let slot = cursor.get(row);
                let leaves = match slot.kind() {
                    Kind::Missing | Kind::Null => false,
                    Kind::Array => !prefix.index_next,
                    _ => prefix.index_next,
                };
                if !leaves {
                    kept.push(row);
                    continue;
                }
                if let Some(found) = fan::follow(arena, slot, prefix.rest.steps()) {
                    column.slots[row as usize] = found;
                    continue;
                }
                start.get_or_insert_with(Instant::now);
                column.fallback += 1;
                let context = Value::Null;
                let env = Env::new(&context);
                let found = cell::value(arena, slot).and_then(|value| prefix.rest.evaluate(&value, &env.budget).ok());
                match found.and_then(|value| cell::put_json(arena, &value)) {
                    Some(slot) => column.slots[row as usize] = slot,
                    None => column.failed.push(row),
                }
            }
            missing = kept;
        }
        column.failed.sort_unstable();
        column.fallback_ns += start.map_or(0, |start| start.elapsed().as_nanos() as u64);
    }

    /// Puts the columns of outputs where the decoder's are, and counts.
    fn publish(&self, computed: &Computed, rows: &mut Rows) {
        for output in &computed.outputs {
            let Some(column) = self.columns.get(output.node) else { continue };
            if let Some(same) = column.same {
                rows.copy(same, output.column);
                count(&output.counters, column);
                continue;
            }
            let Some(to) = rows.columns.get_mut(output.column) else { continue };
            to.clear();
            if column.failed.is_empty() {
                to.fill(&column.slots);
                count(&output.counters, column);
                continue;
            }
            let mut failed = column.failed.iter().copied().peekable();
            for (row, slot) in column.slots.iter().enumerate() {
                // A null says that the computation failed.
                if failed.next_if_eq(&(row as u32)).is_some() {
                    to.push(row, Slot::new(Kind::Null, 0, 0));
                } else if !slot.is_missing() {
                    to.push(row, *slot);
                }
            }
            if !rows.failed.contains(&output.column) {
                rows.failed.push(output.column);
            }
            count(&output.counters, column);
        }
    }
}

fn count(counters: &Counters, column: &Column) {
    counters.columnar.fetch_add(column.rows.saturating_sub(column.fallback), Relaxed);
    counters.fallback.fetch_add(column.fallback, Relaxed);
    counters.faults.fetch_add(column.failed.len() as u64, Relaxed);
    counters.fallback_ns.fetch_add(column.fallback_ns, Relaxed);
}
