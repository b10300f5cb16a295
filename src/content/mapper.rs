//! Owns mappers: which field of an incident (or of a remote system) is computed how.

use crate::config::read::shortened;
use crate::config::source_map::{Span, Spanned};

use super::argument::Expression;
use super::read::{Keys, Reader};

/// The section that is for every type.
pub const ALL_TYPES: &str = "dbot_classification_incident_type_all";

/// A mapper, or the mapping half of a legacy classifier.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mapper {
    /// Incident → remote system; else event → incident.
    pub outgoing: bool,
    /// It maps indicators of a feed, not incidents.
    pub feed: bool,
    /// In the order of the file.
    pub sections: Vec<Section>,
}

impl Mapper {
    /// The section for every type.
    pub fn common(&self) -> Option<&Section> {
        self.sections.iter().find(|section| section.target.is_none())
    }

    /// The section of a type.
    pub fn section(&self, type_name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.target.as_ref().is_some_and(|target| target.value == type_name))
    }
}

/// What is mapped for one type, or for all.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Section {
    /// The type; `None`: all.
    pub target: Option<Spanned<String>>,
    /// Attributes of the event become labels as well (`dontMapEventToLabels: false`).
    pub labels: bool,
    /// Field → value, in the order of the file. Fields are named as people do: `Source IP`.
    pub entries: Vec<Entry>,
    /// Its place.
    pub span: Span,
}

/// One field.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The field's display name, or a system field's own name.
    pub field: Spanned<String>,
    /// How its value is computed.
    pub value: Expression,
}

impl Mapper {
    /// Reads `mapping`.
    pub fn read(keys: &mut Keys<'_>, outgoing: bool, reader: &mut Reader<'_>) -> Option<Mapper> {
        let mut mapper = Mapper { outgoing, feed: keys.truth("feed", reader), sections: Vec::new() };
        keys.entry("defaultIncidentType");
        keys.entry("incidentSamples");
        keys.entry("indicatorSamples");
        for (target, node) in keys.entries("mapping", reader) {
            let Some(mut section) = Keys::open(node, "a section of `mapping`", reader) else { continue };
            let mut entries = Vec::new();
            for (field, node) in section.entries("internalMapping", reader) {
                if field.value.trim().is_empty() {
                    reader.warn("missing-value", "an entry without the name of a field; passed over", node.point());
                    continue;
                }
                // One entry that cannot be read must not cost the others; the item fails as a whole,
                // with all its mistakes told.
                if let Some(value) = Expression::read(node, &format!("`{}`", shortened(&field.value)), reader) {
                    entries.push(Entry { field: Spanned::new(field.value.trim().to_owned(), field.span), value });
                }
            }
            let labels = !section.truth("dontMapEventToLabels", reader);
            let span = target.span;
            section.close(&["interfaces"], reader);
            let target = (target.value != ALL_TYPES).then(|| target.clone());
            mapper.sections.push(Section { target, labels, entries, span });
        }
        Some(mapper)
    }
}
