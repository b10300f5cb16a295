//! A state directory without room: the keeper's cache cannot be written, and nothing else is
//! affected. `/readyz` says so, ingest goes on, and when there is room again states catch up.
//!
//! The disk is made full by a library that is preloaded into the process (`full_disk.c`, Linux),
//! which needs no privileges; with `CATCHMENT_LONG=1`, where mounting is allowed, by a real tmpfs too.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::exactly_once::{DRAIN, Scene};
use super::faults::{long, under_load};
use super::keeper::Place;
use super::process::{Catchment, Home};
use super::require_kafka;

/// How the state directory of a home can run out of room.
enum Disk {
    /// A file system of its own.
    Tmpfs(PathBuf),
    /// Writes are refused while the flag exists.
    Preloaded { library: PathBuf, state: PathBuf, flag: PathBuf },
}

impl Disk {
    /// A small file system at the state directory; `None` where mounting is not allowed.
    fn tmpfs(home: &Home) -> Option<Disk> {
        let state = home.path().join("state");
        std::fs::create_dir_all(&state).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(&state).stderr(Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then_some(Disk::Tmpfs(state))
    }

    /// Compiles the library; `None` where that cannot be done.
    fn preloaded(home: &Home) -> Option<Disk> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/full_disk.c");
        let library = home.path().join("full_disk.so");
        let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl").status();
        let (state, flag) = (home.path().join("state"), home.path().join("full"));
        (cfg!(target_os = "linux") && compiled.is_ok_and(|status| status.success())).then_some(Disk::Preloaded { library, state, flag })
    }

    fn variables(&self) -> Vec<(&str, &str)> {
        match self {
            Disk::Tmpfs(_) => Vec::new(),
            Disk::Preloaded { library, state, flag } => {
                vec![("LD_PRELOAD", library.to_str().unwrap()), ("FULL_DISK_DIR", state.to_str().unwrap()), ("FULL_DISK_FLAG", flag.to_str().unwrap())]
            }
        }
    }

    fn fill(&self) {
        match self {
            Disk::Preloaded { flag, .. } => std::fs::write(flag, "").unwrap(),
            Disk::Tmpfs(state) => {
                let mut file = std::fs::File::create(state.join("ballast")).unwrap();
                let full = std::io::copy(&mut std::io::repeat(7), &mut file).unwrap_err();
                assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
            }
        }
    }

    fn make_room(&self) {
        match self {
            Disk::Preloaded { flag, .. } => std::fs::remove_file(flag).unwrap(),
            Disk::Tmpfs(state) => std::fs::remove_file(state.join("ballast")).unwrap(),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Disk::Tmpfs(state) = self {
            let _ = Command::new("umount").arg("-l").arg(state).status();
        }
    }
}

fn start(home: &Home, disk: &Disk) -> Catchment {
    home.spawn("run", &["run", "pipeline.yaml", "--log", "info"], &disk.variables())
}

/// What it says about its cache names the directory and the reason.
fn until_full(member: &mut Catchment) {
    let why = member.until_troubled("the cache of incident states", DRAIN);
    println!("a full disk: {why}");
    assert!(why.contains("keeper:") && why.contains("a.keeper"), "{why}");
    member.until_said("No space left on device", DRAIN);
}

fn goes_on(disk: fn(&Home) -> Option<Disk>) -> Option<()> {
    let kafka = require_kafka()?;
    let scene = Scene::new(kafka, "full");
    let home = scene.home("a");
    let disk = disk(&home)?;
    kafka.produce(&scene.source, (0..5_000).map(Scene::event));
    let mut member = start(&home, &disk);
    member.until_ready(DRAIN);
    let place = Place::of(kafka, &scene.name);
    under_load(&scene, 5_000, 2_000, || {
        disk.fill();
        until_full(&mut member);
        // Events go on to become facts: more of them are committed than were there before.
        let before: i64 = kafka.committed(&scene.group(), &scene.source).values().sum();
        super::until("ingest goes on", DRAIN, || kafka.committed(&scene.group(), &scene.source).values().sum::<i64>() > before + 2_000);
        disk.make_room();
        member.until_ready(DRAIN);
        std::thread::sleep(Duration::from_secs(1));
        // It begins on a full disk, too.
        disk.fill();
        member.stop(DRAIN);
        member = start(&home, &disk);
        until_full(&mut member);
        disk.make_room();
        member.until_ready(DRAIN);
    });
    scene.drained();
    place.until_read();
    member.stop(DRAIN);
    scene.check();
    let (incidents, _) = place.audit();
    println!("{} incidents: facts and states agree", incidents.len());
    Some(())
}

#[test]
fn real_fault_a_full_disk_costs_no_fact_and_no_state() {
    if require_kafka().is_some() && goes_on(Disk::preloaded).is_none() {
        assert!(std::env::var("CI").is_err(), "CI needs a C compiler and Linux");
        eprintln!("SKIPPED: no C compiler, or not Linux: the disk cannot be made full");
    }
    if long() && goes_on(Disk::tmpfs).is_none() {
        eprintln!("SKIPPED: no file system may be mounted here");
    }
}
