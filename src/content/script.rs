//! Owns automations: their names, arguments and outputs. Their code is not run.

use super::integration::Parameter;
use super::read::{Keys, Reader};

/// An automation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Script {
    /// `python`, `javascript`, `powershell`.
    pub language: String,
    /// What it may be used for: `transformer`, `filter`, `entirelist`, `preProcessing`, `condition`, …
    pub tags: Vec<String>,
    /// What it takes.
    pub arguments: Vec<Parameter>,
    /// The context paths it writes.
    pub outputs: Vec<String>,
}

const WITHOUT_EFFECT: [&str; 24] = [
    "script",
    "subtype",
    "comment",
    "enabled",
    "scripttarget",
    "runonce",
    "runas",
    "timeout",
    "dockerimage",
    "dockerimage45",
    "alt_dockerimages",
    "nativeimage",
    "tests",
    "dependson",
    "important",
    "engineinfo",
    "commonfields",
    "releaseNotes",
    "compliantpolicies",
    "polling",
    "skipprepare",
    "visualscript",
    "prettyname",
    "searchableName",
];

impl Script {
    /// Reads an automation.
    pub fn read(mut keys: Keys<'_>, reader: &mut Reader<'_>) -> Option<Script> {
        let script = Script {
            language: keys.text("type", reader),
            tags: keys.texts("tags", reader),
            arguments: keys.list("args", reader).iter().filter_map(|node| Parameter::read(node, reader)).collect(),
            outputs: output_paths(&mut keys, reader),
        };
        keys.close(&WITHOUT_EFFECT, reader);
        Some(script)
    }
}

/// The context paths under `outputs`.
pub fn output_paths(keys: &mut Keys<'_>, reader: &mut Reader<'_>) -> Vec<String> {
    let mut paths = Vec::new();
    for node in keys.list("outputs", reader) {
        if let Some(mut output) = Keys::open(node, "an output", reader) {
            paths.extend(output.maybe_text("contextPath", reader));
        }
    }
    paths
}
