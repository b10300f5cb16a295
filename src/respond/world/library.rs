//! Owns the playbooks that runs can use: by name or id for new runs, by version for those that
//! are pinned.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::source_map::SourceMap;
use crate::content::{Body, Content, Kind};
use crate::respond::program::Program;

/// Playbooks.
#[derive(Debug, Default, Clone)]
pub struct Library {
    by_name: HashMap<String, Arc<Program>>,
    by_version: HashMap<String, Arc<Program>>,
}

impl Library {
    /// All playbooks of some packs. `files` holds the texts that they were read from.
    pub fn of(content: &Content, files: &SourceMap) -> Library {
        let mut library = Library::default();
        // Later ones do not take the place of earlier ones; those for this version come first.
        let (inside, outside): (Vec<_>, Vec<_>) = content.items.iter().partition(|item| content.in_window(item));
        for item in inside.into_iter().chain(outside) {
            if let (Kind::Playbook | Kind::TestPlaybook, Some(Body::Playbook(playbook))) = (item.kind, &item.body) {
                let text = files.file(item.file).map_or("", |file| file.text.as_str());
                library.add(Arc::new(Program::compile(&item.head, playbook, text)));
            }
        }
        library
    }

    /// Adds a playbook; one that has the name or id already stays.
    pub fn add(&mut self, program: Arc<Program>) {
        self.by_version.entry(program.version.clone()).or_insert_with(|| program.clone());
        for name in [&program.id, &program.name] {
            self.by_name.entry(name.clone()).or_insert_with(|| program.clone());
        }
    }

    /// Adds a version that runs are pinned to; new runs do not use it.
    pub fn add_pinned(&mut self, program: Arc<Program>) {
        self.by_version.entry(program.version.clone()).or_insert(program);
    }

    /// The newest of a name or id.
    pub fn find(&self, name: &str) -> Option<&Arc<Program>> {
        self.by_name.get(name)
    }

    /// A version that a run is pinned to.
    pub fn version(&self, version: &str) -> Option<&Arc<Program>> {
        self.by_version.get(version)
    }

    /// All, in the order of their names.
    pub fn all(&self) -> Vec<&Arc<Program>> {
        let mut all: Vec<&Arc<Program>> = self.by_version.values().collect();
        all.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        all
    }
}
