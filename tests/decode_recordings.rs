//! Real events of many products: what we read is what serde_json and the oracle read.

use std::io::Read;
use std::path::{Path as File, PathBuf};

use catchment::expr::path::{Path, Step};

use crate::decode_oracle::{Body, Node, compare, events, shared};

/// Events compared per file: the first ones and then every so many.
const EVENTS_PER_FILE: usize = 60;

fn recordings(dir: &File, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("the directory can be read") {
        let path = entry.expect("an entry").path();
        let name = path.to_string_lossy().into_owned();
        if path.is_dir() {
            recordings(&path, found);
        } else if name.ends_with(".ndjson") || name.ends_with(".ndjson.zst") {
            found.push(path);
        }
    }
}

fn read(path: &File) -> Vec<u8> {
    let file = std::fs::File::open(path).expect("a recording");
    let mut text = Vec::new();
    if path.extension().is_some_and(|extension| extension == "zst") {
        zstd::Decoder::new(file).and_then(|mut decoder| decoder.read_to_end(&mut text)).expect("zstd");
    } else {
        std::io::BufReader::new(file).read_to_end(&mut text).expect("a readable recording");
    }
    text
}

/// Some paths of an event: every top-level key and a few ways down.
fn some_paths(node: &Node, before: &[Step], paths: &mut Vec<Path>) {
    let step = |step: Step| before.iter().cloned().chain([step]).collect::<Vec<_>>();
    match &node.body {
        Body::Object(members) => {
            for (key, value) in members {
                let Ok(key) = std::str::from_utf8(key) else { continue };
                let steps = step(Step::Key(key.into()));
                some_paths(value, &steps, paths);
                paths.extend(Path::new(steps));
            }
        }
        Body::Array(elements) => {
            for (i, value) in elements.iter().enumerate().take(2) {
                let steps = step(Step::Index(i as u32));
                some_paths(value, &steps, paths);
                paths.extend(Path::new(steps));
            }
        }
        _ => {}
    }
}

#[test]
fn recorded_events_are_read_right() {
    let Some(dir) = shared("events") else { return };
    let mut files = Vec::new();
    recordings(&dir, &mut files);
    files.sort();
    let mut compared = 0;
    for file in &files {
        let text = read(file);
        let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        let mut paths: Vec<Path> = Vec::new();
        for line in lines.iter().step_by(lines.len() / EVENTS_PER_FILE + 1) {
            // Paths of the events before and of this one, so that many are missing.
            if let Ok(nodes) = events(line) {
                nodes.iter().for_each(|node| some_paths(node, &[], &mut paths));
            }
            let keep = paths.len().saturating_sub(60);
            paths.drain(..keep);
            compare(&paths, line);
            compared += 1;
        }
    }
    assert!(compared > 3000, "{compared} events of {} files", files.len());
}
