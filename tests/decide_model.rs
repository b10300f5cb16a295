//! The decision engine equals the reference model, whatever the rules, the order of
//! times and the cutting into batches; and a tiny byte bound loses nothing.

#![allow(clippy::unwrap_used)]

use catchment::ingest::decide::{Action, DecideSpec, Decided, LinkTo, Mode, Origin, RuleSpec, Scope, Verdict};
use proptest::prelude::*;

use super::decide_reference::{self as reference, Row};

fn rule_spec() -> impl Strategy<Value = RuleSpec> {
    let action = prop::sample::select(vec![Action::Drop, Action::DropAndUpdate, Action::Link, Action::LinkAndClose, Action::Close]);
    let within = prop::sample::select(vec![0i64, 1, 40, 100, 1_000, 10_000]);
    (action, prop::bool::weighted(0.85), prop::bool::weighted(0.3), within, any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.3)).prop_map(
        |(action, matches, has_where, within_ms, newest, shadow, open_only)| RuleSpec {
            name: "rule".into(),
            rule_key: 0,
            action,
            matches,
            has_where: has_where && matches,
            within_ms,
            link_to: if newest { LinkTo::Newest } else { LinkTo::Oldest },
            open_only,
            shadow,
        },
    )
}

/// Any pipeline.
pub fn spec() -> impl Strategy<Value = DecideSpec> {
    (any::<bool>(), prop::collection::vec(rule_spec(), 1..5), any::<bool>(), prop::sample::select(vec![0i64, 5, 300, 3_000])).prop_map(
        |(first, mut rules, partition, late_max_ms)| {
            rules.iter_mut().zip(1..).for_each(|(rule, key)| rule.rule_key = key);
            DecideSpec {
                groups: Vec::new(),
                where_key: 0,
                at_least_once: false,
                mode: if first { Mode::First } else { Mode::All },
                rules,
                scope: if partition { Scope::Partition } else { Scope::Process },
                late_max_ms,
                index_bytes_max: 64 << 20,
            }
        },
    )
}

/// Per row: partition, step of time, lateness, `when` bits, keys, value.
pub type Seed = (u8, i64, i64, u8, [u8; 5], u8);

/// Any stream.
pub fn seeds(rows: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Seed>> {
    let step = prop_oneof![6 => 0i64..3, 3 => 0i64..60, 1 => 0i64..2_000, 1 => prop::sample::select(vec![50_000i64, 10_000_000])];
    let late = prop_oneof![5 => Just(0i64), 3 => 0i64..200, 1 => 0i64..5_000, 1 => 0i64..20_000];
    let key = || prop_oneof![1 => Just(0u8), 6 => 1u8..4, 2 => 1u8..40];
    let when = prop_oneof![3 => Just(0xffu8), 2 => any::<u8>()];
    prop::collection::vec((0u8..3, step, late, when, [key(), key(), key(), key(), key()], 0u8..4), rows)
}

/// The rows of a stream.
pub fn rows(seeds: &[Seed], rules: usize, start: i64) -> Vec<Row> {
    let (mut now, mut offset) = (start, 0i64);
    let mut rows = Vec::new();
    for (partition, step, late, when, keys, value) in seeds {
        now += step;
        // Two elements of one message now and then.
        let element = u16::from(value % 2 == 1 && *step == 0 && offset > 0);
        offset += i64::from(element == 0);
        rows.push(Row {
            origin: Origin { partition: u16::from(*partition), offset, element: element * rows.len() as u16 },
            time: now - late,
            holds: (0..rules).map(|at| when >> at & 1 == 1).collect(),
            keys: keys[..rules].to_vec(),
            value: *value,
        });
    }
    rows
}

/// Cases per property; `PROPTEST_CASES` overrides.
pub fn config() -> ProptestConfig {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 400;
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn equals_the_reference(spec in spec(), seeds in seeds(1..250), cuts in prop::collection::vec(1usize..80, 1..6), start in prop::sample::select(vec![-5_000i64, 0, 1_790_000_000_000])) {
        let rows = rows(&seeds, spec.rules.len(), start);
        let expected = reference::decide(&spec, &rows);
        let (got, _) = reference::engine(&spec, &rows, &cuts);
        prop_assert_eq!(&got, &expected);
        let (one_by_one, _) = reference::engine(&spec, &rows, &[1]);
        prop_assert_eq!(&one_by_one, &expected);
        let (at_once, _) = reference::engine(&spec, &rows, &[rows.len()]);
        prop_assert_eq!(&at_once, &expected);
    }

    #[test]
    fn a_tiny_bound_only_lets_duplicates_pass(mut spec in spec(), seeds in seeds(50..400), bytes in prop::sample::select(vec![0usize, 1_000, 20_000, 80_000]), cut in 1usize..80) {
        spec.index_bytes_max = bytes;
        let rows = rows(&seeds, spec.rules.len(), 0);
        let (got, decider) = reference::engine(&spec, &rows, &[cut]);
        check_targets(&spec, &rows, &got)?;
        let (other, _) = reference::engine(&spec, &rows, &[1 + cut / 3]);
        prop_assert_eq!(&got, &other, "the bound depends on the cutting");
        for (partition, stats) in decider.stats() {
            prop_assert!(stats.bytes <= bytes as u64, "shard {} holds {} bytes of {}", partition, stats.bytes, bytes);
        }
    }
}

/// Every row has a verdict, and every target is an earlier created incident that matches.
pub fn check_targets(spec: &DecideSpec, rows: &[Row], got: &Decided) -> Result<(), TestCaseError> {
    prop_assert_eq!(got.verdicts.len(), rows.len());
    let targets = got.attaches.iter().map(|a| (a.row, a.rule, a.target)).chain(got.links.iter().map(|l| (l.row, l.rule, l.target)));
    for (row, rule, target) in targets {
        let row = row as usize;
        let same_shard = |other: &Row| spec.scope == Scope::Process || other.origin.partition == rows[row].origin.partition;
        let clock = rows[..=row].iter().filter(|r| same_shard(r)).map(|r| r.time).max().unwrap();
        let existing = (0..row).find(|at| rows[*at].origin == target);
        prop_assert!(existing.is_some(), "row {} names an unknown target", row);
        let existing = existing.unwrap();
        let created = matches!(got.verdicts[existing], Verdict::Create { .. });
        prop_assert!(created);
        prop_assert!(same_shard(&rows[existing]));
        prop_assert!(reference::matches(spec, rule as usize, clock, &rows[row], &rows[existing]));
    }
    Ok(())
}
