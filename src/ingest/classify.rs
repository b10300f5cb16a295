//! Classification: rules first, then the table, then the default.

use std::collections::HashMap;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};

use super::plan::{DefaultPlan, Plan};
use super::scene::Scene;

/// No type yet.
const NONE: u16 = u16::MAX;
/// An expression failed on the row.
const POISON: u16 = u16::MAX - 1;

/// Gives every row of the selection a type code. Rows that nothing classifies leave
/// `rows` and go to `unclassified`; rows on which an expression failed go to `poison`.
pub fn classify(plan: &Plan, scene: &mut Scene<'_>, rows: &mut Vec<u32>, unclassified: &mut Vec<u32>, poison: &mut Vec<u32>) -> Vec<u16> {
    let source = scene.plan;
    let mut failed = Vec::new();
    let mut codes = vec![NONE; rows.len()];
    if !source.classify.is_empty() {
        let held = source.classify.prepare(scene, rows, &mut failed);
        for (number, code) in source.rule_types.iter().enumerate() {
            let hits = source.classify.hits(number, &held, scene, rows, &|place| codes[place as usize] == NONE, &mut failed);
            hits.into_iter().for_each(|place| codes[place as usize] = *code);
        }
    }
    let keys = scene.evaluate(&source.key, rows, &mut failed);
    look_up(keys.first(), &source.table, &mut codes);
    let keys = scene.evaluate(&source.imported_key, rows, &mut failed);
    look_up(keys.first(), &source.imported_table, &mut codes);
    if let Some(default) = source.imported_default {
        codes.iter_mut().filter(|code| **code == NONE).for_each(|code| *code = default);
    }
    if let DefaultPlan::Type(default) = plan.default {
        codes.iter_mut().filter(|code| **code == NONE).for_each(|code| *code = default);
    }
    for place in failed {
        let code = &mut codes[place as usize];
        if std::mem::replace(code, POISON) != POISON {
            poison.push(rows[place as usize]);
        }
    }
    if codes.iter().any(|code| *code >= POISON) {
        unclassified.extend(rows.iter().zip(&codes).filter(|(_, code)| **code == NONE).map(|(row, _)| *row));
        let mut place = 0;
        rows.retain(|_| {
            place += 1;
            codes[place - 1] < POISON
        });
        codes.retain(|code| *code < POISON);
        scene.selection_changed();
    }
    codes
}

/// Gives a type code to those without one whose key is in the table.
fn look_up(keys: Option<&ArrayRef>, table: &HashMap<Box<str>, u16>, codes: &mut [u16]) {
    let Some(keys) = keys.and_then(|keys| keys.as_string_view_opt()) else { return };
    // Events come in runs of one kind: remember the last answer.
    let mut last: (&str, u16) = ("", NONE);
    for (place, found) in codes.iter_mut().enumerate().filter(|(_, found)| **found == NONE) {
        if keys.is_null(place) {
            continue;
        }
        let key = keys.value(place);
        if key != last.0 || last.1 == NONE {
            last = (key, table.get(key).copied().unwrap_or(NONE));
        }
        *found = last.1;
    }
}
