//! Classification: rules first, then the table, then the default.

use datafusion::arrow::array::{Array, AsArray};

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
    if let Some(keys) = keys.first().and_then(|keys| keys.as_string_view_opt()) {
        // Events come in runs of one kind: remember the last answer.
        let mut last: (&str, u16) = ("", NONE);
        for (place, found) in codes.iter_mut().enumerate().filter(|(_, found)| **found == NONE) {
            if keys.is_null(place) {
                continue;
            }
            let key = keys.value(place);
            if key != last.0 || last.1 == NONE {
                last = (key, source.table.get(key).copied().unwrap_or(NONE));
            }
            *found = last.1;
        }
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
