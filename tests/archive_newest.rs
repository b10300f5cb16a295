//! What queries see while versions are read, committed and compacted: against a plain model.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use catchment::archive::compact::{Compactor, Ran};
use catchment::archive::ring::Topic;
use catchment::archive::table::{Committed, Table};
use catchment::serve::sql::client::Client;
use rand::{RngExt, SeedableRng};

use super::archive_lake::{Lake, Version, csv};

/// What there is.
#[derive(Default)]
struct Model {
    newest: BTreeMap<u128, Version>,
    versions: Vec<(u128, u64)>,
}

impl Model {
    fn note(&mut self, version: &Version) {
        self.versions.push((version.id, version.version));
        match self.newest.get(&version.id) {
            Some(known) if known.version >= version.version => {}
            _ => drop(self.newest.insert(version.id, version.clone())),
        }
    }

    fn check(&mut self, lake: &Lake, what: &str) {
        for live in [true, false] {
            // The directory alone lacks what was not committed; the step before has committed all.
            let mut client = lake.client(live);
            let found = csv(&mut client, "SELECT id, version, host, fields['extra'] FROM incidents ORDER BY id");
            let wanted: Vec<String> = self.newest.values().map(|v| format!("{:032x},{},{},e{}", v.id, v.version, v.host, v.version)).collect();
            assert_eq!(found, wanted, "{what}, live: {live}");
            let found = csv(&mut client, "SELECT id, version FROM incident_versions ORDER BY id, version");
            self.versions.sort();
            let wanted: Vec<String> = self.versions.iter().map(|(id, version)| format!("{id:032x},{version}")).collect();
            assert_eq!(found, wanted, "{what}, live: {live}");
            let wanted = self.newest.values().filter(|v| v.severity == 3 && v.host.ends_with('1')).count();
            let found = csv(&mut client, "SELECT count(*) FROM incidents WHERE severity = 3 AND host LIKE '%1'");
            assert_eq!(found, [wanted.to_string()], "{what}, live: {live}");
            let wanted = self.newest.values().filter(|v| v.host.starts_with('h') && v.host.ends_with('1')).count();
            let found = csv(&mut client, "SELECT count(*) FROM incidents WHERE host LIKE 'h%1'");
            assert_eq!(found, [wanted.to_string()], "{what}, live: {live}");
            self.groups(&mut client, what);
            self.points(&mut client, what);
            if let Some(last) = self.newest.values().next_back() {
                let found = csv(&mut client, &format!("SELECT version FROM incidents WHERE id = '{:032x}'", last.id));
                assert_eq!(found, [last.version.to_string()], "{what}, live: {live}");
            }
        }
    }

    /// Aggregations over all layers at once.
    fn groups(&self, client: &mut Client, what: &str) {
        let mut groups: BTreeMap<(&str, u8), (u64, u64)> = BTreeMap::new();
        for v in self.newest.values() {
            let group = groups.entry((&v.host, v.severity)).or_default();
            *group = (group.0 + 1, group.1.max(v.version));
        }
        let wanted: Vec<String> = groups.iter().map(|((host, severity), (count, version))| format!("{host},{severity}.0,{count},{version}")).collect();
        let found = csv(client, "SELECT host, severity, count(*), max(version) FROM incidents GROUP BY host, severity ORDER BY host, severity");
        assert_eq!(found, wanted, "{what}");
    }

    /// Questions for a few incidents, in whichever layer they are, and for some that are nowhere.
    fn points(&self, client: &mut Client, what: &str) {
        for some in self.newest.values().collect::<Vec<_>>().chunks(40) {
            let ids: Vec<String> = some.iter().map(|v| format!("'{:032x}'", v.id)).collect();
            let wanted: Vec<String> = some.iter().map(|v| format!("{:032x},{}", v.id, v.version)).collect();
            let sql = format!("SELECT id, version FROM incidents WHERE id IN ('{:032x}', {}) ORDER BY id", 7, ids.join(", "));
            assert_eq!(csv(client, &sql), wanted, "{what}");
            let Some(one) = some.first() else { continue };
            let mut wanted: Vec<u64> = self.versions.iter().filter(|(id, _)| *id == one.id).map(|(_, version)| *version).collect();
            wanted.sort();
            let sql = format!("SELECT version FROM incident_versions WHERE id = '{:032x}' ORDER BY version", one.id);
            assert_eq!(csv(client, &sql), wanted.iter().map(u64::to_string).collect::<Vec<_>>(), "{what}");
        }
        assert!(csv(client, "SELECT id FROM incidents WHERE id = 'nobody'").is_empty(), "{what}");
    }
}

#[test]
fn archive_newest_wins_whatever_was_compacted() {
    for seed in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        let mut lake = Lake::open(dir.path());
        let mut model = Model::default();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let table = lake.runtime.block_on(Table::open(&lake.location, "incident_versions", None)).unwrap();
        let mut compactor = Compactor::new(table).unwrap();
        let mut late: Vec<Version> = Vec::new();
        for step in 0..7 {
            for _ in 0..rng.random_range(1..40) {
                let id = rng.random::<u128>();
                let first = Version {
                    id,
                    version: 1,
                    host: format!("h{}", rng.random_range(0..20)),
                    severity: rng.random_range(0..5),
                    created: rng.random_range(0..4000),
                };
                // Facts and states come from two topics: one may be ahead of the other.
                if rng.random_bool(0.2) {
                    let second = Version { version: 2, host: "ahead".into(), ..first.clone() };
                    lake.read(Topic::States, &second);
                    model.note(&second);
                    late.push(first);
                } else {
                    lake.read(Topic::Facts, &first);
                    model.note(&first);
                }
            }
            for version in model.newest.values().filter(|_| rng.random_bool(0.2)).cloned().collect::<Vec<_>>() {
                let next = Version { version: version.version + rng.random_range(1..3), host: format!("n{}", rng.random_range(0..20)), ..version };
                lake.read(Topic::States, &next);
                model.note(&next);
            }
            if rng.random_bool(0.5) {
                for version in late.drain(..) {
                    lake.read(Topic::Facts, &version);
                    model.note(&version);
                }
            }
            lake.cut();
            let live = csv(&mut lake.client(true), "SELECT count(*), count(DISTINCT id), sum(version) FROM incidents");
            let sum: u64 = model.newest.values().map(|v| v.version).sum();
            assert_eq!(live, [format!("{0},{0},{sum}", model.newest.len())], "seed {seed}, step {step}, live");
            assert!(matches!(lake.commit(), Committed::Yes));
            model.check(&lake, &format!("seed {seed}, step {step}, committed"));
            if rng.random_bool(0.5) {
                let ran = lake.runtime.block_on(compactor.tail(true)).unwrap();
                assert!(matches!(ran, Ran::Replaced { .. } | Ran::Nothing), "{ran:?}");
                lake.refresh();
                model.check(&lake, &format!("seed {seed}, step {step}, compacted"));
            }
        }
        let layers = lake.table.pinned().unwrap();
        assert!(layers.layer("base").count() > 0 && layers.layer("older").count() > 0, "seed {seed}: nothing was compacted");
    }
}

#[test]
fn archive_queries_while_it_is_written_see_every_row_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut lake = Lake::open(dir.path());
    let done = AtomicBool::new(false);
    let rings = lake.rings.clone();
    let catalog = catchment::serve::sql::catalog::Catalog::new(&lake.location, Some(&*rings), &lake.schema);
    let read = std::sync::atomic::AtomicU64::new(0);
    let asked = std::thread::scope(|scope| {
        let asker = scope.spawn(|| {
            let engine = catchment::serve::sql::session::Engine::new(catalog, None, super::archive_lake::BOUNDS).unwrap();
            let mut client = catchment::serve::sql::client::Client::here(&engine).unwrap();
            let mut asked = 0;
            while !done.load(Ordering::Acquire) {
                let before = read.load(Ordering::Acquire);
                let found =
                    csv(&mut client, "SELECT count(*), count(DISTINCT id), max(record_offset) + 1 FROM incidents WHERE record_kind = 'created'").remove(0);
                let numbers: Vec<u64> = found.split(',').map(|n| n.parse().unwrap_or(0)).collect();
                // No row twice, and every offset up to the last one: none is missing.
                assert_eq!((numbers[0], numbers[0]), (numbers[1], numbers[2]), "after {asked} queries");
                assert!(numbers[0] >= before, "{} of {before} that were visible before the query", numbers[0]);
                asked += 1;
            }
            asked
        });
        for step in 0..60u128 {
            for number in 0..50u128 {
                let id = step * 50 + number + 1;
                lake.read(
                    Topic::Facts,
                    &Version { id: id.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835), version: 1, host: "h".into(), severity: 1, created: 5 },
                );
            }
            lake.cut();
            read.store(step as u64 * 50 + 50, Ordering::Release);
            if step % 3 == 2 {
                assert!(matches!(lake.commit(), Committed::Yes));
            }
            if step % 20 == 19 {
                let table = lake.runtime.block_on(Table::open(&lake.location, "incident_versions", None)).unwrap();
                let ran = lake.runtime.block_on(Compactor::new(table).unwrap().tail(true)).unwrap();
                assert!(matches!(ran, Ran::Replaced { .. }));
                lake.refresh();
            }
        }
        done.store(true, Ordering::Release);
        asker.join().unwrap()
    });
    assert!(asked > 5, "{asked} queries");
}

#[test]
fn archive_a_version_is_seen_once_however_often_it_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut lake = Lake::open(dir.path());
    let version = |id: u128, version: u64| Version { id, version, host: "h".into(), severity: 1, created: 5 };
    let check = |lake: &Lake, live: bool, wanted: &[&str], what: &str| {
        let found = csv(&mut lake.client(live), "SELECT version, count(*), count(DISTINCT id) FROM incident_versions GROUP BY version ORDER BY version");
        assert_eq!(found, wanted, "{what}");
        let found = csv(&mut lake.client(live), "SELECT count(*), count(DISTINCT id), sum(version) FROM incidents");
        assert_eq!(found, ["5,5,6"], "{what}");
        // Without the columns that tell them apart, too.
        assert_eq!(csv(&mut lake.client(live), "SELECT count(host) FROM incident_versions"), ["6"], "{what}");
    };
    let table = lake.runtime.block_on(Table::open(&lake.location, "incident_versions", None)).unwrap();
    let mut compactor = Compactor::new(table).unwrap();
    (1..=5).for_each(|id| lake.read(Topic::Facts, &version(id, 1)));
    let wanted = ["1,5,5", "2,1,1"];
    for round in 0..3 {
        // An edit that is refused says the state again; where delivery is at least once, so may ingest.
        lake.read(Topic::States, &version(1, 2));
        lake.read(Topic::States, &version(1, 2));
        if round == 0 {
            lake.read(Topic::Facts, &version(3, 1));
            lake.read(Topic::Facts, &version(1, 1));
        }
        lake.cut();
        check(&lake, true, &wanted, &format!("round {round}, live"));
        assert!(matches!(lake.commit(), Committed::Yes));
        for live in [true, false] {
            check(&lake, live, &wanted, &format!("round {round}, committed, live: {live}"));
        }
        if round == 2 {
            // Such a fact beside the base is gone with the next compaction.
            lake.read(Topic::Facts, &version(3, 1));
            lake.read(Topic::Facts, &version(1, 1));
            assert!(matches!(lake.commit(), Committed::Yes));
        }
        lake.runtime.block_on(compactor.tail(true)).unwrap();
        lake.refresh();
        check(&lake, true, &wanted, &format!("round {round}, compacted"));
        // Nor does anyone see more who reads the files.
        let rows: u64 = lake.table.pinned().unwrap().files.iter().filter_map(|file| file.rows).sum();
        assert_eq!(rows, 6, "round {round}");
    }
}
