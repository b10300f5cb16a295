//! Owns what every item of a pack has: kind, identity, window, place.

use std::fmt;

use crate::config::source_map::Span;

use super::classifier::Classifier;
use super::field::Field;
use super::incident_type::IncidentType;
use super::integration::Integration;
use super::layout::Layout;
use super::list::List;
use super::mapper::Mapper;
use super::playbook::Playbook;
use super::preprocess::PreprocessRule;
use super::read::{Keys, Reader};
use super::script::Script;
use super::version::Window;

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Event → type.
    Classifier,
    /// Event → type and fields, in one file (up to 5.9.9).
    LegacyClassifier,
    /// Event → fields.
    IncomingMapper,
    /// Incident → fields of a remote system.
    OutgoingMapper,
    /// Drop, update, link, close.
    PreprocessRule,
    /// A type of incident.
    IncidentType,
    /// A field of incidents.
    IncidentField,
    /// A field of indicators or of evidence.
    OtherField,
    /// How incidents are shown.
    Layout,
    /// The same, one view a file (up to 5.9.9).
    OldLayout,
    /// A named text.
    List,
    /// What is done about an incident.
    Playbook,
    /// A playbook that tests others.
    TestPlaybook,
    /// Commands of a remote system.
    Integration,
    /// An automation.
    Script,
    /// None of these, though it stands where one of them should.
    Unknown,
}

impl Kind {
    /// In the order in which reports tell them.
    pub const ALL: [Kind; 16] = [
        Kind::Classifier,
        Kind::LegacyClassifier,
        Kind::IncomingMapper,
        Kind::OutgoingMapper,
        Kind::PreprocessRule,
        Kind::IncidentType,
        Kind::IncidentField,
        Kind::OtherField,
        Kind::Layout,
        Kind::OldLayout,
        Kind::List,
        Kind::Playbook,
        Kind::TestPlaybook,
        Kind::Integration,
        Kind::Script,
        Kind::Unknown,
    ];

    /// One of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Classifier => "classifier",
            Kind::LegacyClassifier => "legacy classifier",
            Kind::IncomingMapper => "incoming mapper",
            Kind::OutgoingMapper => "outgoing mapper",
            Kind::PreprocessRule => "pre-process rule",
            Kind::IncidentType => "incident type",
            Kind::IncidentField => "incident field",
            Kind::OtherField => "other field",
            Kind::Layout => "layout",
            Kind::OldLayout => "old layout",
            Kind::List => "list",
            Kind::Playbook => "playbook",
            Kind::TestPlaybook => "test playbook",
            Kind::Integration => "integration",
            Kind::Script => "script",
            Kind::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An item of a pack.
#[derive(Debug, Clone)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// Who it is.
    pub head: Head,
    /// Its file, a number of the source map.
    pub file: u32,
    /// Its pack, a number of [`super::Content::packs`]; none for a file on its own.
    pub pack: Option<usize>,
    /// What it says; `None` if it could not be read.
    pub body: Option<Body>,
}

/// Identity of an item.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Head {
    /// What others refer to it by; the file's name if it has none.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// For people.
    pub description: String,
    /// The versions it is for.
    pub window: Window,
    /// Nobody should use it any more.
    pub deprecated: bool,
    /// Where its id stands, or its first key.
    pub span: Span,
}

impl Head {
    /// Reads `id`, `name`, `description`, and the window. Of id and name one may be missing.
    pub fn read(keys: &mut Keys<'_>, reader: &mut Reader<'_>) -> Head {
        let id = keys.spanned("id", reader);
        let name = keys.spanned("name", reader);
        let description = keys.text("description", reader);
        let window = Window::read(keys, reader);
        let deprecated = keys.truth("deprecated", reader);
        for key in ["version", "system", "locked", "content", "packID"] {
            keys.entry(key);
        }
        let span = id.as_ref().or(name.as_ref()).map_or(keys.head(), |text| text.span);
        let id = id.map(|text| text.value);
        let name = name.map(|text| text.value);
        let (id, name) = match (id, name) {
            (Some(id), Some(name)) => (id, name),
            (Some(id), None) => (id.clone(), id),
            (None, Some(name)) => (name.clone(), name),
            (None, None) => (String::new(), String::new()),
        };
        Head { id, name, description, window, deprecated, span }
    }
}

/// What an item says.
#[derive(Debug, Clone)]
pub enum Body {
    /// [`Kind::Classifier`]
    Classifier(Box<Classifier>),
    /// [`Kind::LegacyClassifier`]: both halves.
    Legacy(Box<Classifier>, Box<Mapper>),
    /// [`Kind::IncomingMapper`] and [`Kind::OutgoingMapper`]
    Mapper(Box<Mapper>),
    /// [`Kind::PreprocessRule`]
    Rule(Box<PreprocessRule>),
    /// [`Kind::IncidentType`]
    Type(Box<IncidentType>),
    /// [`Kind::IncidentField`] and [`Kind::OtherField`]
    Field(Box<Field>),
    /// [`Kind::Layout`] and [`Kind::OldLayout`]
    Layout(Box<Layout>),
    /// [`Kind::List`]
    List(Box<List>),
    /// [`Kind::Playbook`] and [`Kind::TestPlaybook`]
    Playbook(Box<Playbook>),
    /// [`Kind::Integration`]
    Integration(Box<Integration>),
    /// [`Kind::Script`]
    Script(Box<Script>),
}
