//! The index alone, at sizes at which its segments grow, are swept, shrink and hit the
//! byte bound, held to a plain hash map.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use catchment::ingest::decide::index::Index;
use catchment::ingest::decide::{Fingerprinter, LinkTo, Origin};

/// The oldest incident of each key within `within` and the horizon: what a rule that drops
/// repeats needs, with the time of each.
struct Plain {
    within: i64,
    reach: i64,
    created: HashMap<u64, Vec<(i64, Origin)>>,
}

impl Plain {
    fn find(&self, key: u64, time: i64, clock: i64) -> Option<Origin> {
        let all = self.created.get(&key)?;
        let near = |e: &&(i64, Origin)| e.0 >= clock - self.reach && (e.0 - time).abs() <= self.within;
        all.iter().find(near).map(|e| e.1)
    }
}

/// A small generator, so that every run sees the same stream.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

fn print(printer: &mut Fingerprinter, key: u64) -> u128 {
    printer.fingerprint(0, [Some(&key.to_le_bytes()[..])])
}

/// Runs `rows` rows over `keys` keys; every 16th is inserted even if it repeats (a chain).
/// Returns how many times the index missed what the map knew.
fn compare(index: &mut Index, rows: u64, keys: u64, within: i64, late: i64, step: impl Fn(u64, &mut Dice) -> i64) -> u64 {
    let mut printer = Fingerprinter::new([1; 16]);
    let mut dice = Dice(0x1234_5678_9abc_def1);
    let mut plain = Plain { within, reach: within + late, created: HashMap::new() };
    let (mut now, mut clock, mut missed) = (0, i64::MIN, 0);
    for row in 0..rows {
        now += step(row, &mut dice);
        let key = dice.below(keys);
        let time = if dice.below(8) == 0 { now - dice.below(1 + late as u64 * 2) as i64 } else { now };
        clock = clock.max(time);
        let fingerprint = print(&mut printer, key);
        index.advance(time);
        if time < clock - within - late {
            assert!(index.is_late(time));
            continue;
        }
        let expected = plain.find(key, time, clock);
        let got = index.find(fingerprint, time, LinkTo::Oldest, |_| Some(true));
        if got.is_some() || expected.is_none() {
            assert_eq!(got.is_some(), expected.is_some(), "row {row}");
        }
        if got != expected {
            missed += 1;
        }
        if got.is_none() || dice.below(16) == 0 {
            let origin = Origin { partition: (row % 3) as u16, offset: (1 << 39) + row as i64, element: (row % 7) as u16 };
            index.insert(fingerprint, time, origin);
            plain.created.entry(key).or_default().push((time, origin));
        }
    }
    missed
}

#[test]
fn growing_and_rolling_over_miss_nothing() {
    for (rows, keys, within, late) in [(300_000, 1_000_000, 1_000_000, 0), (400_000, 50_000, 20_000, 3_000), (300_000, 2_000_000, 30_000, 100)] {
        let mut index = Index::alone(within, late, LinkTo::Oldest, 1 << 30);
        let missed = compare(&mut index, rows, keys, within, late, |_, dice| dice.below(3) as i64);
        assert_eq!((missed, index.evicted()), (0, 0));
        assert_eq!(index.horizon_ms(), within + late);
    }
}

#[test]
fn quiet_times_and_bursts_miss_nothing() {
    let mut index = Index::alone(10_000, 2_000, LinkTo::Oldest, 1 << 30);
    let jump = |row: u64, dice: &mut Dice| match dice.below(30_000) {
        0 => 1_000 * dice.below(20) as i64,
        1 => 1 << (10 + dice.below(30)),
        _ => i64::from(row.is_multiple_of(100)),
    };
    assert_eq!(compare(&mut index, 600_000, 200_000, 10_000, 2_000, jump), 0);
}

#[test]
fn memory_comes_back() {
    let mut printer = Fingerprinter::new([1; 16]);
    let mut index = Index::alone(60_000, 0, LinkTo::Oldest, 1 << 30);
    let mut insert = |index: &mut Index, key: u64, time: i64| {
        let fingerprint = print(&mut printer, key);
        index.insert(fingerprint, time, Origin { partition: 0, offset: key as i64, element: 0 });
    };
    for key in 0..400_000 {
        insert(&mut index, key, key as i64 / 10);
    }
    let full = index.bytes();
    assert!(full <= 400_000 * 33, "{full} bytes for 400,000 keys");
    for key in 0..20_000 {
        insert(&mut index, 1_000_000 + key, 200_000 + key as i64 * 3);
    }
    assert!(index.keys() <= 20_000, "{} keys", index.keys());
    assert!(index.bytes() <= full / 5, "{} bytes of {full} are still held", index.bytes());
}

#[test]
fn the_memory_of_chains_comes_back() {
    let mut printer = Fingerprinter::new([1; 16]);
    let mut index = Index::alone(1_000, 0, LinkTo::Oldest, 1 << 30);
    let mut bytes = Vec::new();
    for round in 0..8 {
        for key in 0..60_000u64 {
            let fingerprint = print(&mut printer, (round << 32) | (key / 3));
            let origin = Origin { partition: 0, offset: ((round << 32) | key) as i64, element: 0 };
            index.insert(fingerprint, (round * 1_000 + key / 60) as i64 + i64::from(key % 3 == 1), origin);
        }
        bytes.push(index.bytes());
    }
    assert!(bytes.iter().all(|now| *now <= bytes[0] * 3 / 2), "{bytes:?}");
}

#[test]
fn the_bound_holds_and_the_newest_are_known() {
    for bytes in [0, 20_000, 100_000, 1_000_000, 4_000_000] {
        let mut printer = Fingerprinter::new([1; 16]);
        let mut index = Index::alone(1_000_000, 0, LinkTo::Oldest, bytes);
        let mut most = 0;
        for key in 0..300_000u64 {
            let fingerprint = print(&mut printer, key);
            index.insert(fingerprint, key as i64, Origin { partition: 0, offset: key as i64, element: 0 });
            most = most.max(index.bytes());
        }
        assert!(most <= bytes, "{most} bytes, allowed are {bytes}");
        let horizon = index.horizon_ms();
        let known = |index: &mut Index, printer: &mut Fingerprinter, key: u64| {
            let fingerprint = print(printer, key);
            index.find(fingerprint, 299_999, LinkTo::Oldest, |_| Some(true)).is_some()
        };
        if bytes >= 100_000 {
            // All within the horizon is known, save what was evicted one by one.
            // A key has 33 bytes; the fullest segment decides, and gives up a sixteenth of it: at least one
            // key, which is much for the handful that each segment holds in the smallest of these bounds.
            let most = if bytes < 1_000_000 { 60 } else { 45 };
            assert!(horizon < 1_000_000 && horizon * most > bytes as i64, "{horizon} ms in {bytes} bytes");
            let lost = (0..=horizon as u64).filter(|back| !known(&mut index, &mut printer, 299_999 - back)).count();
            assert!(lost as u64 <= index.evicted(), "{lost} lost, {} evicted", index.evicted());
        }
    }
}

/// A flood that fills the index within one slice of time, up to one of a single millisecond.
#[test]
fn a_flood_within_one_slice_gives_up_its_oldest() {
    for (bytes, per_ms) in [(100_000, 1), (1_000_000, 7), (1_000_000, 300_000), (4_000_000, 100)] {
        let mut printer = Fingerprinter::new([1; 16]);
        let mut index = Index::alone(1_000_000_000, 0, LinkTo::Oldest, bytes);
        for key in 0..300_000u64 {
            let fingerprint = print(&mut printer, key);
            index.insert(fingerprint, (key / per_ms) as i64, Origin { partition: 0, offset: key as i64, element: 0 });
            assert!(index.bytes() <= bytes, "{} bytes, allowed are {bytes}", index.bytes());
        }
        assert!(index.keys() * 45 > bytes, "{} keys in {bytes} bytes", index.keys());
        let (now, horizon) = ((299_999 / per_ms) as i64, index.horizon_ms());
        let within = |key: &u64| now - (key / per_ms) as i64 <= horizon;
        let lost = (0..300_000u64).filter(within).filter(|key| {
            let fingerprint = print(&mut printer, *key);
            index.find(fingerprint, now, LinkTo::Oldest, |_| Some(true)).is_none()
        });
        let lost = lost.count() as u64;
        assert!(lost <= index.evicted(), "{lost} lost within {horizon} ms, {} evicted", index.evicted());
        // Single ones go only where their time does not tell them apart, or where a segment is but a bucket or two.
        if per_ms < 1000 && bytes >= 1_000_000 {
            assert!(horizon < now && index.evicted() < 40_000, "{horizon} ms of {now}, {} evicted", index.evicted());
        }
    }
}

#[test]
fn a_bound_with_chains_holds() {
    for bytes in [300_000, 1_000_000, 3_000_000] {
        let mut index = Index::alone(50_000, 1_000, LinkTo::Oldest, bytes);
        compare(&mut index, 200_000, 30_000, 50_000, 1_000, |_, dice| dice.below(2) as i64);
        assert!(index.bytes() <= bytes);
        let mut printer = Fingerprinter::new([1; 16]);
        let hot = print(&mut printer, u64::MAX);
        let now = 1_000_000;
        for row in 0..100_000 {
            index.insert(hot, now + row, Origin { partition: 0, offset: row, element: 0 });
            assert!(index.bytes() <= bytes, "{} of {bytes}", index.bytes());
        }
        let newest = index.find(hot, now + 99_999, LinkTo::Newest, |_| Some(true)).unwrap();
        assert_eq!(newest.offset, 99_999);
    }
}

#[test]
fn a_hot_key_keeps_its_order() {
    let mut printer = Fingerprinter::new([1; 16]);
    let hot = print(&mut printer, 1);
    let mut index = Index::alone(1_000, 10_000, LinkTo::Oldest, 64 << 20);
    let origin = |row: i64| Origin { partition: 9, offset: row, element: 1 };
    for row in 0..100_000 {
        index.insert(hot, row, origin(row));
    }
    for time in [90_000, 95_000, 99_999] {
        assert_eq!(index.find(hot, time, LinkTo::Oldest, |_| Some(true)), Some(origin(time - 1_000)));
        assert_eq!(index.find(hot, time, LinkTo::Newest, |_| Some(true)), Some(origin((time + 1_000).min(99_999))));
    }
    let mut asked = 0;
    let third = index.find(hot, 95_000, LinkTo::Oldest, |_| {
        asked += 1;
        Some(asked == 300)
    });
    assert_eq!(third, Some(origin(94_299)));
    assert!(index.bytes() < 30_000 * 24, "{} bytes for 11,000 live links", index.bytes());
}
