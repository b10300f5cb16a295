//! Which expression reads which path: the other half of coverage.

use std::collections::HashMap;
use std::sync::Arc;

use super::profile::canonical;
use crate::expr::path::{Path, Step};
use crate::expr::typed::{Source, Typed};
use crate::ingest::plan::{OutField, Plan};

/// Who reads a path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uses {
    /// Incident fields.
    pub fields: Vec<Arc<str>>,
    /// `filter`, `classify`, `rules`.
    pub others: Vec<&'static str>,
}

/// The readers of all paths, for events of one source and type.
#[derive(Debug, Default)]
pub struct Usage {
    paths: HashMap<String, Uses>,
    /// The fields of the type, with their expressions.
    pub fields: Vec<Field>,
}

/// A mapped field.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name.
    pub name: Arc<str>,
    /// The expression as written.
    pub text: Arc<str>,
    /// The event paths that it reads, in canonical form.
    pub paths: Vec<String>,
}

impl Usage {
    /// For a type code of a source; `None`: events without a type, which see what the
    /// `"*"` sections would map.
    pub fn new(plan: &Plan, source: usize, code: Option<usize>) -> Usage {
        let mut usage = Usage::default();
        let Some(source) = plan.sources.get(source) else { return usage };
        match code {
            Some(code) => source.layouts.get(code).into_iter().flat_map(|layout| layout.all()).for_each(|field| usage.field(field)),
            None => {
                let all = source.layouts.iter().flat_map(|layout| layout.all()).filter(|field| field.section.starts_with('*'));
                for field in all {
                    if !usage.fields.iter().any(|known| known.name == field.name) {
                        usage.field(field);
                    }
                }
            }
        }
        let written = &plan.written;
        written.filters.iter().for_each(|written| usage.reader(&written.typed, "filter"));
        written.classify.iter().chain(&written.key).for_each(|written| usage.reader(&written.typed, "classify"));
        written.whens.iter().flatten().for_each(|written| usage.reader(&written.typed, "rules"));
        usage
    }

    fn field(&mut self, field: &OutField) {
        let paths = event_paths(&field.typed);
        for path in &paths {
            let uses = self.paths.entry(path.clone()).or_default();
            if !uses.fields.contains(&field.name) {
                uses.fields.push(field.name.clone());
            }
        }
        self.fields.push(Field { name: field.name.clone(), text: field.text.clone(), paths });
    }

    fn reader(&mut self, typed: &Typed, word: &'static str) {
        for path in event_paths(typed) {
            let uses = self.paths.entry(path).or_default();
            if !uses.others.contains(&word) {
                uses.others.push(word);
            }
        }
    }

    /// Who reads the path, or an object or array that it lies in.
    pub fn of(&self, path: &str) -> Uses {
        let mut uses = Uses::default();
        let ends = path.char_indices().filter(|(_, c)| matches!(c, '.' | '[')).map(|(at, _)| at).chain([path.len()]);
        for found in ends.filter_map(|end| path.get(..end)).filter_map(|part| self.paths.get(part)) {
            found.fields.iter().for_each(|field| {
                if !uses.fields.contains(field) {
                    uses.fields.push(field.clone());
                }
            });
            found.others.iter().for_each(|other| {
                if !uses.others.contains(other) {
                    uses.others.push(other);
                }
            });
        }
        uses
    }
}

fn event_paths(typed: &Typed) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    for (source, _) in typed.inputs() {
        if let Source::Event(path) = source {
            let path = canonical_path(&path);
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    paths
}

fn canonical_path(path: &Path) -> String {
    canonical(path.steps().iter().map(|step| match step {
        Step::Key(key) | Step::Member(key) => Some(&**key),
        Step::Index(_) | Step::Computed(_) => None,
    }))
}
