//! Index blocks: what is written is read again, what is damaged is an error, and what is
//! unknown is left out.

#![allow(clippy::unwrap_used)]

use catchment::ingest::decide::block::{Block, BlockError, Header, VERSION, encode};
use catchment::ingest::decide::{Action, Clocks, DecideSpec, Decided, Decider, LinkTo, Mode, Notes, Origin, RuleSpec, Scope, ShardRestore};
use proptest::prelude::*;

use super::decide_reference::{self as reference, Row};

fn rule(key: u64) -> RuleSpec {
    let (action, link_to) = (Action::DropAndUpdate, LinkTo::Oldest);
    RuleSpec { name: "rule".into(), rule_key: key, action, matches: true, has_where: true, within_ms: 1_000, link_to, open_only: false, shadow: false }
}

fn spec(keys: &[u64], scope: Scope) -> DecideSpec {
    DecideSpec {
        mode: Mode::First,
        rules: keys.iter().map(|key| rule(*key)).collect(),
        scope,
        groups: Vec::new(),
        where_key: 77,
        at_least_once: false,
        late_max_ms: 0,
        index_bytes_max: 16 << 20,
    }
}

const HEADER: Header<'_> = Header { pipeline: "soc", version: "1a2b3c", topic: "events", partition: 4, from: 1_000, to: 2_000 };

/// A block of `rows` rows, each with a key of its own.
fn block(spec: &DecideSpec, rows: u16, header: &Header<'_>, first_key: u8) -> Vec<u8> {
    let row = |row: u16| Row {
        origin: Origin { partition: 9, offset: header.from + i64::from(row) / 2, element: row % 2 },
        time: 5_000 + i64::from(row),
        holds: vec![true; spec.rules.len()],
        keys: vec![first_key + row as u8; spec.rules.len()],
        value: 3,
    };
    let rows: Vec<Row> = (0..rows).map(row).collect();
    let (mut out, mut notes, mut bytes) = (Decided::default(), Notes::default(), Vec::new());
    reference::batch(&mut Decider::new(spec.clone()), &rows, &mut out, Some((0, &mut notes)));
    encode(header, spec, &notes, 9, b"a ledger", &mut bytes);
    bytes
}

fn restore(spec: &DecideSpec, bytes: &[u8]) -> Result<catchment::ingest::decide::Restored, BlockError> {
    let mut restore = ShardRestore::new(spec);
    restore.apply(2, bytes)?;
    restore.finish()
}

#[test]
fn what_is_written_is_read_again() {
    for scope in [Scope::Partition, Scope::Process] {
        let spec = spec(&[11, 22], scope);
        let mut bytes = block(&spec, 40, &HEADER, 1);
        let one = bytes.len();
        bytes.extend(block(&spec, 0, &HEADER, 1));
        let (first, rest) = Block::read(&bytes).unwrap();
        assert_eq!((first.header, first.ledger, first.version, first.incidents()), (HEADER, &b"a ledger"[..], VERSION, 40));
        assert_eq!(first.clocks, Some(Clocks { clock_ms: 5_039, row_clock_us: 0 }));
        assert_eq!(bytes.len() - rest.len(), one);
        let (second, rest) = Block::read(rest).unwrap();
        assert_eq!((second.clocks, second.incidents(), rest), (None, 0, &[][..]));
        let restored = restore(&spec, &bytes).unwrap();
        assert_eq!((restored.report.blocks, restored.report.entries, restored.report.bytes), (2, 80, bytes.len() as u64));
        assert_eq!(restored.report.next, [(2, 2_000)]);
        assert_eq!(restored.stats().clock_ms, 5_039);
    }
}

#[test]
fn unknown_rules_and_other_values_are_left_out_and_counted() {
    let bytes = block(&spec(&[11, 22], Scope::Partition), 40, &HEADER, 1);
    let report = restore(&spec(&[33, 22], Scope::Partition), &bytes).unwrap().report;
    assert_eq!((report.entries, report.unknown_rules, report.other_values), (40, 40, 0));
    let other = DecideSpec { where_key: 78, ..spec(&[22, 11], Scope::Partition) };
    let report = restore(&other, &bytes).unwrap().report;
    assert_eq!((report.entries, report.unknown_rules, report.other_values), (80, 0, 40));
}

#[test]
fn what_is_beyond_the_last_horizon_does_not_enter() {
    let spec = spec(&[11], Scope::Partition);
    let bytes = block(&spec, 40, &HEADER, 1);
    for (clock, entries, old) in [(6_000, 40, 0), (6_020, 20, 0), (6_039, 1, 0), (6_040, 0, 1)] {
        let mut restore = ShardRestore::new(&spec);
        restore.ends_at(Clocks { clock_ms: clock, row_clock_us: 5 });
        restore.apply(2, &bytes).unwrap();
        let report = restore.finish().unwrap().report;
        assert_eq!((report.entries, report.old_blocks, report.next), (entries, old, vec![(2, 2_000)]), "at {clock}");
    }
}

#[test]
fn newer_formats_are_refused_or_skipped() {
    let spec = spec(&[11], Scope::Partition);
    let mut bytes = block(&spec, 3, &HEADER, 1);
    // One more section, with a tag that nobody knows.
    let length = u32::from_le_bytes(bytes[6..10].try_into().unwrap());
    bytes.extend_from_slice(&[200, 3, 0, 0, 0, 1, 2, 3]);
    bytes[6..10].copy_from_slice(&(length + 8).to_le_bytes());
    assert!(matches!(Block::read(&bytes), Err(BlockError::Damaged { .. })));
    bytes[5] = VERSION.1 + 1;
    assert_eq!(restore(&spec, &bytes).unwrap().report.entries, 3);
    bytes[4] = VERSION.0 + 1;
    let error = Block::read(&bytes).unwrap_err();
    assert_eq!(error, BlockError::TooNew { found: (VERSION.0 + 1, VERSION.1 + 1), known: VERSION });
    assert!(error.to_string().contains("format 2.1, this build reads up to 1.x"), "{error}");
    assert_eq!(Block::read(b"{\"fact\":1}").unwrap_err(), BlockError::NotABlock);
}

#[test]
fn a_key_takes_few_bytes() {
    let spec = spec(&[11], Scope::Partition);
    let mut without = spec.clone();
    without.rules[0].has_where = false;
    let bytes = block(&without, 250, &HEADER, 1).len() as f64 / 250.0;
    assert!(bytes < 20.0, "{bytes} bytes a key");
}

proptest! {
    #![proptest_config(super::decide_model::config())]

    #[test]
    fn hostile_bytes_are_errors(noise in prop::collection::vec(any::<u8>(), 0..200), process in any::<bool>()) {
        let spec = spec(&[11, 22], if process { Scope::Process } else { Scope::Partition });
        let _ = restore(&spec, &noise);
        let mut headed = b"CTIX\x01\x00".to_vec();
        headed.extend_from_slice(&(noise.len() as u32).to_le_bytes());
        headed.extend_from_slice(&noise);
        let _ = restore(&spec, &headed);
    }

    #[test]
    fn damaged_blocks_do_no_harm(rows in 0u16..60, flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in any::<prop::sample::Index>(), process in any::<bool>()) {
        let spec = spec(&[11, 22], if process { Scope::Process } else { Scope::Partition });
        let whole = block(&spec, rows, &HEADER, 1);
        prop_assert!(restore(&spec, &whole[..cut.index(whole.len())]).is_err() || cut.index(whole.len()) == 0);
        let mut bytes = whole;
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(restored) = restore(&spec, &bytes) {
            prop_assert!(restored.report.entries <= 2 * u64::from(rows) + bytes.len() as u64);
        }
    }
}
