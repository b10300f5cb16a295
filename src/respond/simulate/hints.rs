//! Owns what a playbook says about values by comparing them: which paths it reads, and which
//! constants it compares them with. Generated values that know this get into more branches.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::expr::xsoar::path::{Dt, Step};
use crate::expr::xsoar::prepared::{Chain, Left, Piece, Prepared, PreparedTests, Source};
use crate::respond::program::{Ends, Kind, Program};

/// What is known about values.
#[derive(Debug, Default, Clone)]
pub struct Hints {
    /// Paths that are read, with names between dots.
    pub reads: BTreeSet<String>,
    /// Path → constants that it is compared with.
    pub constants: BTreeMap<String, Vec<Value>>,
}

impl Hints {
    /// What a playbook says.
    pub fn of(program: &Program) -> Hints {
        let mut hints = Hints::default();
        for input in &program.inputs {
            hints.value(&input.value);
            hints.reads.insert(format!("inputs.{}", input.key));
        }
        for task in &program.tasks {
            task.arguments.iter().for_each(|(_, value)| hints.value(value));
            task.field_mapping.iter().for_each(|(_, value)| hints.value(value));
            match &task.kind {
                Kind::Condition(branches) => branches.iter().for_each(|(_, tests)| hints.tests(tests, None)),
                Kind::Ask(asked) => [&asked.to, &asked.subject, &asked.body].into_iter().for_each(|value| hints.value(value)),
                _ => {}
            }
            if let Some(Ends::Holds(tests)) = task.repeat.as_ref().map(|repeat| &repeat.until) {
                hints.tests(tests, None);
            }
        }
        hints
    }

    fn value(&mut self, prepared: &Prepared) {
        match prepared {
            Prepared::Path(dt) => self.read(&path_of(dt)),
            Prepared::Template(pieces) => {
                for piece in pieces.iter() {
                    if let Piece::Value(dt) = piece {
                        self.read(&path_of(dt));
                    }
                }
            }
            Prepared::Complex(chain) => self.chain(chain),
            _ => {}
        }
    }

    fn read(&mut self, path: &str) {
        if !path.is_empty() {
            self.reads.insert(path.to_owned());
        }
    }

    fn chain(&mut self, chain: &Chain) {
        match &chain.source {
            Source::Path(dt) => self.read(&path_of(dt)),
            Source::Filtered { root, tests, accessor } => {
                let root = path_of(root);
                self.read(&joined(&root, &path_of(accessor)));
                self.tests(tests, Some(&root));
            }
            Source::Broken(_) => {}
        }
        for step in &chain.steps {
            step.args.iter().for_each(|(_, value)| self.value(value));
        }
    }

    fn tests(&mut self, tests: &PreparedTests, root: Option<&str>) {
        for test in tests.iter().flatten() {
            self.value(&test.right);
            let mut paths: Vec<String> = Vec::new();
            match &test.left {
                Left::Global(prepared) => {
                    self.value(prepared);
                    paths.extend(source_path(prepared));
                }
                Left::Item => paths.extend(root.map(str::to_owned)),
                Left::OfItem(dt) => paths.push(joined(root.unwrap_or_default(), &path_of(dt))),
                Left::ItemOrGlobal(dt) => {
                    paths.push(joined(root.unwrap_or_default(), &path_of(dt)));
                    paths.push(path_of(dt));
                }
            }
            for path in paths.into_iter().filter(|path| !path.is_empty()) {
                self.read(&path);
                if let Prepared::Constant(value) = &test.right {
                    let known = self.constants.entry(path).or_default();
                    // In a list each of its items is one.
                    let text = value.as_str().unwrap_or_default();
                    let parts: Vec<Value> =
                        if text.contains(',') { text.split(',').map(|part| Value::from(part.trim())).collect() } else { vec![value.clone()] };
                    for part in parts.into_iter().chain([value.clone()]) {
                        if known.len() < 50 && !known.contains(&part) {
                            known.push(part);
                        }
                    }
                }
            }
        }
    }
}

/// Where the value of an expression begins.
fn source_path(prepared: &Prepared) -> Option<String> {
    match prepared {
        Prepared::Path(dt) => Some(path_of(dt)),
        Prepared::Complex(chain) => match &chain.source {
            Source::Path(dt) => Some(path_of(dt)),
            Source::Filtered { root, accessor, .. } => Some(joined(&path_of(root), &path_of(accessor))),
            Source::Broken(_) => None,
        },
        _ => None,
    }
}

/// The names of a path.
pub fn path_of(dt: &Dt) -> String {
    let names = dt.steps().iter().filter_map(|step| match step {
        Step::Name(name) => Some(&**name),
        _ => None,
    });
    names.collect::<Vec<_>>().join(".")
}

fn joined(root: &str, rest: &str) -> String {
    match (root.is_empty(), rest.is_empty()) {
        (true, _) => rest.to_owned(),
        (_, true) => root.to_owned(),
        _ => format!("{root}.{rest}"),
    }
}
