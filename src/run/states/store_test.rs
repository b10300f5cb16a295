//! The store: what it remembers, and that nothing about it is fatal.
#![allow(clippy::unwrap_used)]

use super::*;

fn spec(dir: &Path, identity: &str) -> StoreSpec {
    StoreSpec { what: "things", dir: dir.join("store"), identity: identity.to_owned(), partitions: 3, memory_bytes: 4 << 20 }
}

fn put(store: &mut Store, partition: i32, id: u128, value: &str, next: i64) {
    let mut write = store.write();
    write.put(partition, id, value.as_bytes(), b"facts").unwrap();
    write.filled(partition, next);
    write.commit().unwrap();
}

fn get(store: &mut Store, partition: i32, id: u128) -> Option<String> {
    store.get(partition, id).unwrap().map(|stored| {
        assert_eq!(stored.head(), b"facts");
        String::from_utf8(stored.value().to_vec()).unwrap()
    })
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&spec(dir.path(), "a")).unwrap();
    assert_eq!((store.open_partition(0).unwrap(), store.open_partition(1).unwrap()), (None, None));
    put(&mut store, 0, 1, "one", 10);
    put(&mut store, 0, 1, "two", 20);
    put(&mut store, 1, 1, "other", 5);
    drop(store);
    let mut store = Store::open(&spec(dir.path(), "a")).unwrap();
    assert_eq!((store.open_partition(0).unwrap(), store.open_partition(1).unwrap(), store.open_partition(2).unwrap()), (Some(20), Some(5), None));
    assert_eq!(get(&mut store, 0, 1).as_deref(), Some("two"));
    assert_eq!(get(&mut store, 1, 1).as_deref(), Some("other"));
    assert_eq!(get(&mut store, 2, 1), None);
    let mut write = store.write();
    write.remove(0, 1).unwrap();
    write.commit().unwrap();
    assert_eq!(get(&mut store, 0, 1), None);
    store.clear(1).unwrap();
    assert_eq!((get(&mut store, 1, 1), store.open_partition(1).unwrap()), (None, None));
}

#[test]
fn what_is_not_written_together_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&spec(dir.path(), "a")).unwrap();
    store.open_partition(0).unwrap();
    let mut write = store.write();
    write.put(0, 1, b"x", b"facts").unwrap();
    write.filled(0, 3);
    drop(write);
    assert_eq!((get(&mut store, 0, 1), store.open_partition(0).unwrap()), (None, None));
}

#[test]
fn a_store_of_others_is_wiped() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&spec(dir.path(), "a")).unwrap();
    put(&mut store, 0, 1, "one", 10);
    drop(store);
    let mut store = Store::open(&spec(dir.path(), "b")).unwrap();
    assert_eq!((store.open_partition(0).unwrap(), get(&mut store, 0, 1)), (None, None));
}

#[test]
fn a_store_in_use_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut held = Store::open(&spec(dir.path(), "a")).unwrap();
    put(&mut held, 0, 1, "one", 10);
    assert!(Store::open(&spec(dir.path(), "a")).is_err());
    assert_eq!(get(&mut held, 0, 1).as_deref(), Some("one"));
}

#[test]
fn what_was_kept_too_long_is_filled_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&spec(dir.path(), "a")).unwrap();
    put(&mut store, 0, 1, "one", 10);
    let mut old = 10i64.to_be_bytes().to_vec();
    old.extend_from_slice(&(seconds() - KEPT_MAX.as_secs() - 1).to_be_bytes());
    store.meta.insert(filled_key(0), old).unwrap();
    assert_eq!(store.open_partition(0).unwrap(), None);
    assert_eq!(get(&mut store, 0, 1), None);
}

#[test]
fn a_store_that_failed_is_wiped() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&spec(dir.path(), "a")).unwrap();
    put(&mut store, 0, 1, "one", 10);
    store.distrust();
    drop(store);
    for _ in 0..2 {
        let mut store = Store::open(&spec(dir.path(), "a")).unwrap();
        let filled = store.open_partition(0).unwrap();
        assert!(matches!((filled, get(&mut store, 0, 1).as_deref()), (None, None) | (Some(11), Some("two"))));
        put(&mut store, 0, 1, "two", 11);
    }
}

/// All files under a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn damage_costs_a_refill_at_the_most() {
    let number = |dir: &Path| files(&dir.join("store")).len();
    let fill = |dir: &Path| {
        let mut store = Store::open(&spec(dir, "a")).unwrap();
        store.open_partition(0).unwrap();
        for round in 0..40u128 {
            let mut write = store.write();
            for id in 0..50 {
                write.put(0, id, format!("{round} {}", "x".repeat(600)).as_bytes(), b"facts").unwrap();
            }
            write.filled(0, round as i64);
            write.commit().unwrap();
        }
        store.partitions[&0].rotate_memtable_and_wait().unwrap();
        put(&mut store, 0, 7, "last", 100);
    };
    let whole = tempfile::tempdir().unwrap();
    fill(whole.path());
    for damaged in 0..number(whole.path()) {
        for cut in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            fill(dir.path());
            let Some(path) = files(&dir.path().join("store")).get(damaged).cloned() else { continue };
            let mut bytes = std::fs::read(&path).unwrap();
            if cut {
                bytes.truncate(bytes.len() / 2);
            } else {
                bytes.iter_mut().skip(3).step_by(5).for_each(|byte| *byte ^= 0x55);
            }
            std::fs::write(&path, &bytes).unwrap();
            // It opens; and what it then says is right, or an error that ends in a wipe.
            let mut store = Store::open(&spec(dir.path(), "a")).unwrap();
            let Ok(filled) = store.open_partition(0) else { continue };
            match (filled, store.get(0, 7)) {
                (Some(100), Ok(Some(stored))) => assert_eq!(stored.value(), b"last", "{}", path.display()),
                (Some(100), Ok(None)) => panic!("{}: the record is gone, the position stayed", path.display()),
                _ => {}
            }
        }
    }
}
