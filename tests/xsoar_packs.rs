//! The DT texts of the packs: found in all files, wherever they stand.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use saphyr_parser::{Event, Parser};
use serde_json::{Map, Value};

use crate::decode_oracle::shared;

/// YAML → JSON, all scalars as text.
pub fn yaml(text: &str) -> Option<Value> {
    enum Open {
        List(Vec<Value>),
        Object(Map<String, Value>, Option<String>),
    }
    let mut stack = vec![Open::List(Vec::new())];
    let put = |stack: &mut Vec<Open>, value: Value| match stack.last_mut() {
        Some(Open::List(items)) => items.push(value),
        Some(Open::Object(members, key)) => match key.take() {
            Some(key) => drop(members.insert(key, value)),
            None => *key = value.as_str().map(str::to_owned),
        },
        None => {}
    };
    for event in Parser::new_from_str(text) {
        match event.ok()?.0 {
            Event::Scalar(text, ..) => put(&mut stack, Value::from(text.as_ref())),
            Event::SequenceStart(..) => stack.push(Open::List(Vec::new())),
            Event::MappingStart(..) => stack.push(Open::Object(Map::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => {
                let value = match stack.pop()? {
                    Open::List(items) => Value::Array(items),
                    Open::Object(members, _) => Value::Object(members),
                };
                put(&mut stack, value);
            }
            _ => {}
        }
    }
    match stack.pop()? {
        Open::List(mut items) => items.pop(),
        Open::Object(..) => None,
    }
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "json" || ext == "yml") {
            found.push(path);
        }
    }
}

/// Every file of the packs as JSON.
pub fn all() -> Vec<(PathBuf, Value)> {
    let Some(dir) = shared("xsoar/content/Packs") else { return Vec::new() };
    let mut found = Vec::new();
    files(&dir, &mut found);
    found.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let value = if path.extension().is_some_and(|ext| ext == "json") { serde_json::from_str(&text).ok() } else { yaml(&text) };
        value.map(|value| (path, value))
    };
    found.into_iter().filter_map(read).collect()
}

/// The DT texts: what stands in `${…}` and has a selector or a mutator, and arguments of the operator DT.
pub fn dt_texts() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, file) in all() {
        walk(&file, &mut found);
    }
    found
}

fn walk(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
        Value::Object(members) => {
            let text = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default();
            // Root and accessor of a DT expression that the editor cut in two.
            let root = text("root");
            if root.starts_with("${") && !root.contains('}') && text("accessor").contains(['=', '(']) {
                found.insert(format!("{}.{}", &root[2..], text("accessor").trim_end_matches('}')));
            }
            if matches!(text("operator"), "DT" | "general.DT") {
                found.extend(value.pointer("/args/dt/value/simple").and_then(Value::as_str).map(str::to_owned));
            }
            members.values().for_each(|member| walk(member, found));
        }
        Value::String(text) => {
            let mut rest = text.as_str();
            while let Some(at) = rest.find("${") {
                rest = &rest[at + 2..];
                let mut depth = 1;
                let end = rest.bytes().position(|byte| {
                    depth += i32::from(byte == b'{') - i32::from(byte == b'}');
                    depth == 0
                });
                let Some(end) = end else { break };
                if rest[..end].contains(['=', '(']) {
                    found.insert(rest[..end].to_owned());
                }
            }
        }
        _ => {}
    }
}
