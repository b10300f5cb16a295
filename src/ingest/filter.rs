//! The filters before classification: which events are dropped as noise, and by which name.

use super::ledger::Counts;
use super::plan::Plan;
use super::scene::Scene;

/// Drops rows of the selection `rows`; the first filter that holds counts, and is noted in
/// `dropped`. Rows on which a filter failed are added to `poison`.
pub fn filter(plan: &Plan, scene: &mut Scene<'_>, rows: &mut Vec<u32>, counts: &mut Counts, poison: &mut Vec<u32>, dropped: &mut Vec<(u32, u16)>) {
    if plan.filters.is_empty() || rows.is_empty() {
        return;
    }
    let conditions = &scene.plan.filter;
    let mut failed = Vec::new();
    let held = conditions.prepare(scene, rows, &mut failed);
    let mut keep = vec![true; rows.len()];
    for (number, filter) in plan.filters.iter().enumerate() {
        let hits = conditions.hits(number, &held, scene, rows, &|place| keep[place as usize], &mut failed);
        if filter.shadow {
            counts.filter_shadow[number] += hits.len() as u64;
            continue;
        }
        counts.filtered[number] += hits.len() as u64;
        for place in hits {
            keep[place as usize] = false;
            dropped.push((rows[place as usize], number as u16));
        }
    }
    for place in failed {
        // A row that a filter has dropped by then has ended already.
        if std::mem::replace(&mut keep[place as usize], false) {
            poison.push(rows[place as usize]);
        }
    }
    if keep.iter().any(|kept| !kept) {
        let mut places = keep.iter();
        rows.retain(|_| *places.next().unwrap_or(&true));
        scene.selection_changed();
    }
}
