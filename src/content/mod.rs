//! Room: XSOAR content packs, as they are, become the model that the rest of the program works
//! with. What their expressions mean is known in [`crate::expr::xsoar`].
//!
//! text → tree ([`json`], `config::yaml`) → `marketplace` → `kind` (told by content) → one file
//! per kind of item → [`Content`], in which items are found by id or name → [`check`] (what spans
//! items). Mistakes are collected at their places; an item with an error has no body, and every
//! other item is as good as ever.

pub mod argument;
pub mod check;
pub mod classifier;
pub mod expressions;
pub mod external;
pub mod field;
pub mod files;
pub mod incident;
pub mod incident_type;
pub mod integration;
pub mod item;
mod json;
mod kind;
pub mod layout;
pub mod list;
mod load;
pub mod mapper;
mod marketplace;
pub mod names;
pub mod playbook;
pub mod preprocess;
pub mod read;
pub mod report;
pub mod script;
pub mod text;
pub mod trial;
pub mod value;
pub mod version;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

pub use item::{Body, Head, Item, Kind};
pub use load::{load, playbook_of};
pub use version::Version;

use crate::expr::xsoar::external::Programs;
use classifier::Classifier;
use field::Field;
use incident_type::IncidentType;
use list::List;
use mapper::Mapper;
use names::{SystemField, normalise, system_field};
use playbook::Playbook;
use preprocess::PreprocessRule;

/// Everything that was loaded.
#[derive(Debug, Clone, Default)]
pub struct Content {
    /// The version of the product that is meant; `None`: the newest. Items for other versions are
    /// there, and found only if there is no other of their name.
    pub server: Option<Version>,
    /// Packs, in the order in which they were found.
    pub packs: Vec<Pack>,
    /// All items, file by file.
    pub items: Vec<Item>,
    /// Files that were looked at and have no part in incidents.
    pub others: usize,
    /// A user's own operators.
    pub scripts: Arc<Programs>,
    /// Id, and name → items.
    by_id: HashMap<String, Vec<usize>>,
    by_name: HashMap<String, Vec<usize>>,
    /// cliName, normalised names and aliases → incident fields.
    fields: HashMap<String, Vec<usize>>,
}

/// A pack.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pack {
    /// Its directory.
    pub dir: PathBuf,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Who supports it.
    pub support: String,
    /// Who wrote it.
    pub author: String,
}

/// What a mapper's entry writes.
#[derive(Debug, Clone, PartialEq)]
pub enum Target<'c> {
    /// A field that every incident has.
    System(&'static SystemField),
    /// A field of a pack.
    Custom(&'c Field),
    /// A field that nobody declares; it is kept under this name.
    Unknown(String),
}

impl Content {
    /// True if an item is for the version that is meant.
    pub fn in_window(&self, item: &Item) -> bool {
        item.head.window.holds(self.server)
    }

    /// The item of one of some kinds that an id or a name means: by id before by name, one for
    /// this version before others.
    pub fn find(&self, kinds: &[Kind], name: &str) -> Option<&Item> {
        let of = |index: &HashMap<String, Vec<usize>>| -> Option<usize> { self.best(index.get(name)?, kinds) };
        let at = match (of(&self.by_id), of(&self.by_name)) {
            (Some(id), Some(other)) => {
                let inside = |at: usize| self.items.get(at).is_some_and(|item| self.in_window(item));
                if inside(id) || !inside(other) { id } else { other }
            }
            (found, other) => found.or(other)?,
        };
        self.items.get(at)
    }

    /// The first inside the window; without one, the one for the newest version.
    fn best(&self, places: &[usize], kinds: &[Kind]) -> Option<usize> {
        let of_kind = || places.iter().copied().filter(|&at| self.items.get(at).is_some_and(|item| kinds.contains(&item.kind) && item.body.is_some()));
        let inside = of_kind().find(|&at| self.items.get(at).is_some_and(|item| self.in_window(item)));
        inside.or_else(|| of_kind().max_by_key(|&at| (self.items.get(at).and_then(|item| item.head.window.to), std::cmp::Reverse(at))))
    }

    /// A classifier, or a legacy one.
    pub fn classifier(&self, name: &str) -> Option<(&Item, &Classifier)> {
        let item = self.find(&[Kind::Classifier, Kind::LegacyClassifier], name)?;
        match item.body.as_ref()? {
            Body::Classifier(classifier) | Body::Legacy(classifier, _) => Some((item, classifier)),
            _ => None,
        }
    }

    /// An incoming mapper, or the half of a legacy classifier.
    pub fn mapper(&self, name: &str) -> Option<(&Item, &Mapper)> {
        let item = self.find(&[Kind::IncomingMapper, Kind::LegacyClassifier], name)?;
        match item.body.as_ref()? {
            Body::Mapper(mapper) | Body::Legacy(_, mapper) => Some((item, mapper)),
            _ => None,
        }
    }

    /// A pre-process rule.
    pub fn rule(&self, name: &str) -> Option<(&Item, &PreprocessRule)> {
        let item = self.find(&[Kind::PreprocessRule], name)?;
        match item.body.as_ref()? {
            Body::Rule(rule) => Some((item, rule)),
            _ => None,
        }
    }

    /// A type of incident.
    pub fn incident_type(&self, name: &str) -> Option<(&Item, &IncidentType)> {
        let item = self.find(&[Kind::IncidentType], name)?;
        match item.body.as_ref()? {
            Body::Type(incident_type) => Some((item, incident_type)),
            _ => None,
        }
    }

    /// The name of a type as its own file has it: content names types with other capitals, too.
    pub fn type_name<'n>(&'n self, name: &'n str) -> &'n str {
        if self.incident_type(name).is_some() {
            return name;
        }
        let alike = self.of_kind(Kind::IncidentType).map(|item| item.head.name.as_str()).find(|known| known.eq_ignore_ascii_case(name));
        alike.unwrap_or(name)
    }

    /// A playbook.
    pub fn playbook(&self, name: &str) -> Option<(&Item, &Playbook)> {
        let item = self.find(&[Kind::Playbook, Kind::TestPlaybook], name)?;
        match item.body.as_ref()? {
            Body::Playbook(playbook) => Some((item, playbook)),
            _ => None,
        }
    }

    /// A list.
    pub fn list(&self, name: &str) -> Option<(&Item, &List)> {
        let item = self.find(&[Kind::List], name)?;
        match item.body.as_ref()? {
            Body::List(list) => Some((item, list)),
            _ => None,
        }
    }

    /// An incident field, by its display name, cliName, id, or alias.
    pub fn field(&self, name: &str) -> Option<(&Item, &Field)> {
        let bare = name.strip_prefix("incident_").unwrap_or(name);
        let places = self.fields.get(&normalise(bare))?;
        let item = self.items.get(self.best(places, &[Kind::IncidentField])?)?;
        match item.body.as_ref()? {
            // An alias writes the field that it stands for.
            Body::Field(field) => match &field.alias_to {
                Some(target) if normalise(target) != field.cli_name => self.field_itself(target).or(Some((item, field))),
                _ => Some((item, field)),
            },
            _ => None,
        }
    }

    fn field_itself(&self, name: &str) -> Option<(&Item, &Field)> {
        let item = self.items.get(self.best(self.fields.get(&normalise(name))?, &[Kind::IncidentField])?)?;
        match item.body.as_ref()? {
            Body::Field(field) => Some((item, field)),
            _ => None,
        }
    }

    /// The field of incidents that a mapper's entry writes.
    pub fn target(&self, name: &str) -> Target<'_> {
        let system = system_field(name);
        if let Some(system) = system.filter(|system| system.name == name) {
            return Target::System(system);
        }
        match (self.field(name), system) {
            (Some((_, field)), _) => Target::Custom(field),
            (None, Some(system)) => Target::System(system),
            (None, None) => Target::Unknown(normalise(name)),
        }
    }

    /// All incident fields.
    pub fn incident_fields(&self) -> impl Iterator<Item = (&Item, &Field)> {
        self.items.iter().filter_map(|item| match (&item.kind, item.body.as_ref()?) {
            (Kind::IncidentField, Body::Field(field)) => Some((item, &**field)),
            _ => None,
        })
    }

    /// Items of a kind.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| item.kind == kind)
    }

    /// Makes items findable.
    fn index(&mut self) {
        self.by_id.clear();
        self.by_name.clear();
        self.fields.clear();
        for (at, item) in self.items.iter().enumerate() {
            self.by_id.entry(item.head.id.clone()).or_default().push(at);
            if item.head.name != item.head.id {
                self.by_name.entry(item.head.name.clone()).or_default().push(at);
            }
            if let (Kind::IncidentField, Some(Body::Field(field))) = (item.kind, &item.body) {
                let mut names: Vec<String> = vec![field.cli_name.clone(), normalise(&item.head.name)];
                names.extend(field.aliases.iter().map(|alias| normalise(alias)));
                names.sort();
                names.dedup();
                for name in names.into_iter().filter(|name| !name.is_empty()) {
                    self.fields.entry(name).or_default().push(at);
                }
            }
        }
    }
}
