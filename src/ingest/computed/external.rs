//! A user's script over a column: what differs among its values is one batch of calls.

use std::collections::HashMap;

use serde_json::Value;

use super::cell;
use super::column::Column;
use crate::expr::xsoar::columnar::ExternalStep;
use crate::expr::xsoar::env::Scripts;
use crate::expr::xsoar::external::apply;
use crate::ingest::decode::{Kind, Slot};

/// Fills `column` with what the script makes of `from`.
pub fn fill(step: &ExternalStep, from: &Column, column: &mut Column, arena: &mut Vec<u8>, selected: &[u32], scripts: Option<&dyn Scripts>) {
    let mut numbers: HashMap<(Kind, Vec<u8>), usize> = HashMap::new();
    let mut values: Vec<Option<Value>> = Vec::new();
    for row in selected {
        let slot = from.slots.get(*row as usize).copied().unwrap_or(Slot::MISSING);
        numbers.entry(key(arena, slot)).or_insert_with(|| {
            values.push(cell::value(arena, slot));
            values.len() - 1
        });
    }
    let known: Vec<&Value> = values.iter().flatten().collect();
    let mut answers = scripts.map(|scripts| apply(scripts, &step.name, step.whole, &known, &step.args)).unwrap_or_default().into_iter();
    let slots: Vec<Option<Slot>> = values
        .iter()
        .map(|value| {
            let answer = value.as_ref().and_then(|_| answers.next())?;
            cell::put_json(arena, &answer.ok()?)
        })
        .collect();
    let made: HashMap<(Kind, Vec<u8>), Option<Slot>> = numbers.into_iter().map(|(key, number)| (key, slots.get(number).copied().flatten())).collect();
    column.each(from, selected, |slot, _| made.get(&key(arena, slot)).copied().flatten());
}

fn key(arena: &[u8], slot: Slot) -> (Kind, Vec<u8>) {
    (slot.kind(), slot.raw(arena).to_vec())
}
