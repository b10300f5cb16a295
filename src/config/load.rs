//! Owns the way from a path to a pipeline: finding the file, reading it within bounds,
//! running all checks.

use std::hash::Hasher;
use std::io::Read;
use std::path::{Path, PathBuf};

use siphasher::sip128::{Hasher128, SipHasher13};

use super::check;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::limits::YAML_BYTES_MAX;
use super::model::Pipeline;
use super::node::Node;
use super::sections::read_pipeline;
use super::source_map::{SourceMap, Span};
use super::suggest;
use super::yaml;

/// The name of the file in a pipeline's directory.
const PIPELINE_FILE: &str = "pipeline.yaml";

/// Reads a pipeline: a directory with a `pipeline.yaml`, or such a file itself. All
/// mistakes are collected. There may be a pipeline in spite of errors, with what could not
/// be read left out, so that its other parts can be checked; whoever wants to run it looks
/// at [`Diagnostics::has_errors`] first.
pub fn load(path: &Path) -> (Option<Pipeline>, Diagnostics) {
    let mut out = Diagnostics::new();
    let pipeline = find(path, &mut out).and_then(|file| {
        let node = read_yaml_file(&file, &mut out)?;
        let dir = match file.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        finish(&node, dir, &mut out)
    });
    (pipeline, out)
}

/// Reads a pipeline from text; `name` stands for the file in messages, `dir` is where
/// relative paths start.
pub fn load_text(name: &str, text: &str, dir: &Path) -> (Option<Pipeline>, Diagnostics) {
    let mut out = Diagnostics::new();
    let file = out.add_file(name, text);
    let pipeline = yaml::read(file, &mut out).and_then(|node| finish(&node, dir, &mut out));
    (pipeline, out)
}

fn finish(node: &Node, dir: &Path, out: &mut Diagnostics) -> Option<Pipeline> {
    let mut pipeline = read_pipeline(node, dir, out)?;
    pipeline.files = out.files().clone();
    pipeline.version = version(&pipeline.files);
    check::check(&pipeline, out);
    Some(pipeline)
}

/// Twelve hex digits over the bytes of all files, in the order in which they are read.
/// The key is fixed: the same files have the same version everywhere.
fn version(files: &SourceMap) -> String {
    let mut hasher = SipHasher13::new_with_keys(0x6361_7463_686d_656e, 0x7470_6970_656c_696e);
    for file in files.files() {
        // The length in front keeps two files from being read as another pair.
        hasher.write_u64(file.text.len() as u64);
        hasher.write(file.text.as_bytes());
    }
    let hash = hasher.finish128();
    format!("{:016x}", hash.h1).chars().take(12).collect()
}

/// The file that a path means.
fn find(path: &Path, out: &mut Diagnostics) -> Option<PathBuf> {
    // Not only regular files: `check <(…)` is a pipe.
    if path.exists() && !path.is_dir() {
        return Some(path.to_owned());
    }
    if !path.is_dir() {
        let diagnostic = Diagnostic::error("missing-file", format!("{} does not exist", path.display()));
        let near = similar(path).map(|near| format!("did you mean {}?", near.display()));
        out.push(diagnostic.hint(near.unwrap_or_else(|| "name the directory of a pipeline, or its pipeline.yaml".to_owned())));
        return None;
    }
    let file = path.join(PIPELINE_FILE);
    if file.is_file() {
        return Some(file);
    }
    let other = path.join("pipeline.yml");
    if other.is_file() {
        return Some(other);
    }
    let yaml_files: Vec<String> = names(path).into_iter().filter(|name| name.ends_with(".yaml") || name.ends_with(".yml")).collect();
    let hint = match yaml_files.as_slice() {
        [] => format!("a pipeline is a directory with a {PIPELINE_FILE}"),
        [one] => format!("rename {one} to {PIPELINE_FILE}, or name the file itself"),
        _ => format!("name one of its files: {}", yaml_files.join(", ")),
    };
    out.push(Diagnostic::error("missing-file", format!("{} has no {PIPELINE_FILE}", path.display())).hint(hint));
    None
}

fn similar(path: &Path) -> Option<PathBuf> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let names = names(parent);
    let near = suggest::nearest(path.file_name()?.to_str()?, names.iter().map(String::as_str))?;
    Some(if parent == Path::new(".") { PathBuf::from(near) } else { parent.join(near) })
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Reads a YAML file into the source map and into a tree; mistakes are reported.
pub(super) fn read_yaml_file(path: &Path, out: &mut Diagnostics) -> Option<Node> {
    read_yaml_file_as(path, |text| text, out)
}

/// The same, with a change to the text before anything else sees it.
pub(super) fn read_yaml_file_as(path: &Path, change: fn(String) -> String, out: &mut Diagnostics) -> Option<Node> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(YAML_BYTES_MAX + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        out.push(Diagnostic::error("missing-file", format!("cannot read {name}: {error}")));
        return None;
    }
    if bytes.len() as u64 > YAML_BYTES_MAX {
        let size = super::units::format_bytes(YAML_BYTES_MAX);
        out.push(Diagnostic::error("too-large", format!("{name} is larger than {size}")));
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => {
            let file = out.add_file(name, change(text));
            yaml::read(file, out)
        }
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let file = out.add_file(name, change(String::from_utf8_lossy(error.as_bytes()).into_owned()));
            out.push(Diagnostic::error("yaml", "the file is not UTF-8").at(Span::new(file, at, at)).hint("save it as UTF-8; some editors call it \"Unicode\""));
            None
        }
    }
}
