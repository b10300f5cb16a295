//! The filters before classification: which events are dropped as noise, and by which name.

use super::ledger::Counts;
use super::plan::Plan;
use super::scene::{Scene, truths};

/// Drops rows of the selection `rows`; the first filter that holds counts, and is noted in
/// `dropped`. Rows on which a filter failed are added to `poison`.
pub fn filter(plan: &Plan, scene: &mut Scene<'_>, rows: &mut Vec<u32>, counts: &mut Counts, poison: &mut Vec<u32>, dropped: &mut Vec<(u32, u16)>) {
    if plan.filters.is_empty() || rows.is_empty() {
        return;
    }
    let phase = &scene.plan.filter;
    let mut failed = Vec::new();
    let verdicts = scene.evaluate(phase, rows, &mut failed);
    let mut keep = vec![true; rows.len()];
    for place in &failed {
        if std::mem::replace(&mut keep[*place as usize], false) {
            poison.push(rows[*place as usize]);
        }
    }
    for ((number, filter), verdict) in plan.filters.iter().enumerate().zip(&verdicts) {
        let Some(truths) = truths(verdict) else { continue };
        let mut hits = 0;
        for (place, (kept, hit)) in keep.iter_mut().zip(&truths).enumerate() {
            if *kept && *hit {
                hits += 1;
                *kept = filter.shadow;
                if !filter.shadow {
                    dropped.push((rows[place], number as u16));
                }
            }
        }
        if filter.shadow {
            counts.filter_shadow[number] += hits;
        } else {
            counts.filtered[number] += hits;
        }
    }
    if keep.iter().any(|kept| !kept) {
        let mut places = keep.iter();
        rows.retain(|_| *places.next().unwrap_or(&true));
        scene.selection_changed();
    }
}
