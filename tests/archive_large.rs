//! Compaction of more rows than its memory holds.

use catchment::archive::compact::{Compactor, Ran};
use catchment::archive::ring::Topic;

use super::archive_lake::{Lake, Version, csv};

#[test]
fn archive_compacts_more_than_its_memory() {
    let dir = tempfile::tempdir().unwrap();
    let mut lake = Lake::open(dir.path());
    // Texts of 20 kB that do not compress well: 400 MB, and sorting has 256 MiB.
    let mut seed = 7_u64;
    for id in 1..=20_000u128 {
        let mut host = String::with_capacity(20_016);
        while host.len() < 20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            host.push_str(&format!("{seed:016x}"));
        }
        lake.read(Topic::Facts, &Version { id, version: 1, host, severity: (id % 5) as u8, created: (id * 7_919 % 1_400) as u32 });
        if id % 5_000 == 0 {
            lake.commit();
        }
    }
    let table = lake.runtime.block_on(catchment::archive::work::open_incidents(&lake.location, &lake.schema)).unwrap();
    let mut compactor = Compactor::new(table).unwrap();
    let ran = lake.runtime.block_on(compactor.tail(true)).unwrap();
    assert!(matches!(ran, Ran::Replaced { .. }), "{ran:?}");
    let mut client = lake.client(false);
    assert_eq!(
        csv(&mut client, "SELECT count(*), count(DISTINCT id), sum(length(host)), min(created) FROM incidents"),
        ["20000,20000,400000000,2026-03-01T00:00:00Z"]
    );
}
