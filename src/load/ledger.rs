//! The pipeline's own ledger, as its transactions write it to the index topic: what became
//! of the events of which offsets. The audit wants every offset in it exactly once.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::answers::Counts;
use super::audit::EXAMPLES_MAX;

/// Key of ledger records in the index topic.
const KEY: &[u8] = b"ledger";

/// Everything that was read of the ledger.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The sum of all records.
    pub counts: Counts,
    /// Ledger records.
    pub records: u64,
    /// Records that could not be read.
    pub unreadable: u64,
    /// Per partition: what is covered, as begin → end. Neighbours are merged, so it stays small.
    covered: HashMap<(String, i32), BTreeMap<i64, i64>>,
    twice: Vec<String>,
    twice_count: u64,
}

#[derive(Deserialize)]
struct Record {
    offsets: Vec<Range>,
    counts: Named,
}

#[derive(Deserialize)]
struct Range {
    topic: String,
    partition: i32,
    from: i64,
    to: i64,
}

#[derive(Deserialize)]
struct Named {
    events: u64,
    unclassified: u64,
    incidents: ByType,
    filtered: ByFilter,
    dropped: ByRule,
    attached: ByRule,
    closed: ByRule,
    linked: ByRule,
    dead_letters: ByReason,
}

#[derive(Deserialize)]
struct ByType {
    by_type: BTreeMap<String, u64>,
}
#[derive(Deserialize)]
struct ByFilter {
    by_filter: BTreeMap<String, u64>,
}
#[derive(Deserialize)]
struct ByRule {
    by_rule: BTreeMap<String, u64>,
}
#[derive(Deserialize)]
struct ByReason {
    by_reason: BTreeMap<String, u64>,
}

impl Ledger {
    /// A record of the index topic; those that are no ledger are passed over.
    pub fn read(&mut self, key: Option<&[u8]>, payload: &[u8]) {
        if key != Some(KEY) {
            return;
        }
        let Ok(record) = serde_json::from_slice::<Record>(payload) else {
            self.unreadable += 1;
            return;
        };
        self.records += 1;
        for range in record.offsets {
            self.cover(range);
        }
        let Named { events, unclassified, incidents, filtered, dropped, attached, closed, linked, dead_letters } = record.counts;
        self.counts.merge(&Counts {
            events,
            unclassified,
            incidents: incidents.by_type,
            filtered: filtered.by_filter,
            dropped: dropped.by_rule,
            attached: attached.by_rule,
            closed: closed.by_rule,
            linked: linked.by_rule,
            dead_letters: dead_letters.by_reason,
        });
    }

    fn cover(&mut self, range: Range) {
        let Range { topic, partition, from, to } = range;
        if from >= to {
            return;
        }
        let covered = self.covered.entry((topic, partition)).or_default();
        // What touches the range becomes one with it; what overlaps it was counted twice.
        let (mut low, mut high) = (from, to);
        let near: Vec<(i64, i64)> = covered.range(..=to).rev().map(|(f, t)| (*f, *t)).take_while(|(_, t)| *t >= from).collect();
        for (f, t) in near {
            let both = t.min(to) - f.max(from);
            if both > 0 {
                self.twice_count += both as u64;
                if self.twice.len() < EXAMPLES_MAX {
                    self.twice.push(format!("offsets {} to {} of partition {partition}: counted twice", f.max(from), t.min(to)));
                }
            }
            (low, high) = (low.min(f), high.max(t));
            covered.remove(&f);
        }
        covered.insert(low, high);
    }

    /// Offsets that the ledger does not know or counts twice, among these ranges
    /// `(topic, partition, from, to)`: how many, and examples.
    pub fn gaps(&self, ranges: &[(String, i32, i64, i64)]) -> (u64, Vec<String>) {
        let (mut count, mut examples) = (self.twice_count, self.twice.clone());
        let nothing = BTreeMap::new();
        for (topic, partition, from, to) in ranges {
            let mut at = *from;
            let covered = self.covered.get(&(topic.clone(), *partition)).unwrap_or(&nothing);
            let last = [(*to, *to)];
            for (begin, end) in covered.iter().map(|(begin, end)| (*begin, *end)).chain(last) {
                let begin = begin.min(*to);
                if begin > at {
                    count += (begin - at) as u64;
                    if examples.len() < EXAMPLES_MAX {
                        examples.push(format!("{topic}[{partition}]: offsets {at} to {begin} are not in it"));
                    }
                }
                at = at.max(end);
            }
        }
        (count, examples)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn record(partition: i32, from: i64, to: i64) -> Vec<u8> {
        let n = to - from;
        format!(
            r#"{{"ledger":1,"pipeline":"p","pipeline_version":"v","offsets":[{{"topic":"t","partition":{partition},"from":{from},"to":{to}}}],"counts":{{"messages":{n},"events":{n},"incidents":{{"total":1,"by_type":{{"A":1}}}},"filtered":{{"total":0,"by_filter":{{}},"shadow":{{}}}},"unclassified":0,"dropped":{{"total":0,"by_rule":{{}}}},"attached":{{"total":{0},"by_rule":{{"r":{0}}}}},"closed":{{"by_rule":{{}}}},"linked":{{"by_rule":{{}}}},"dead_letters":{{"total":0,"by_reason":{{}}}}}}}}"#,
            n - 1
        )
        .into_bytes()
    }

    fn ledger(records: &[(i32, i64, i64)]) -> Ledger {
        let mut ledger = Ledger::default();
        for (partition, from, to) in records {
            ledger.read(Some(KEY), &record(*partition, *from, *to));
        }
        ledger
    }

    #[test]
    fn records_add_up_in_any_order() {
        let mut ledger = ledger(&[(0, 10, 20), (1, 0, 5), (0, 0, 10), (0, 20, 21)]);
        ledger.read(Some(b"t/0"), b"\x01\x02");
        ledger.read(None, b"x");
        assert_eq!((ledger.records, ledger.unreadable), (4, 0));
        assert_eq!((ledger.counts.events, ledger.counts.total()), (26, 26));
        assert_eq!(ledger.covered[&("t".to_owned(), 0)].len(), 1, "neighbours are one");
        assert_eq!(ledger.gaps(&[("t".into(), 0, 0, 21), ("t".into(), 1, 0, 5)]), (0, vec![]));
    }

    #[test]
    fn gaps_and_overlaps_are_named() {
        let ledger = ledger(&[(0, 0, 10), (0, 12, 20), (0, 18, 22)]);
        let (count, examples) = ledger.gaps(&[("t".into(), 0, 0, 25), ("u".into(), 0, 5, 7)]);
        assert_eq!(count, 2 + 2 + 3 + 2);
        assert_eq!(
            examples,
            [
                "offsets 18 to 20 of partition 0: counted twice",
                "t[0]: offsets 10 to 12 are not in it",
                "t[0]: offsets 22 to 25 are not in it",
                "u[0]: offsets 5 to 7 are not in it"
            ]
        );
    }

    #[test]
    fn what_is_no_ledger_is_counted() {
        let mut ledger = Ledger::default();
        ledger.read(Some(KEY), b"{\"ledger\":1}");
        assert_eq!((ledger.records, ledger.unreadable), (0, 1));
    }
}
