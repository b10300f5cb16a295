//! Owns what a pipeline takes from XSOAR content packs: classifiers and mappers, resolved to the
//! names of this pipeline; their expressions are not prepared yet. (Pre-process rules become
//! rules like ours.)

use crate::config::schema::FieldKind;
use crate::config::source_map::{Span, Spanned};
use crate::content::field::FieldType;
use crate::expr::xsoar::model::Argument;

/// A classifier.
#[derive(Debug, Clone)]
pub struct XsoarClassify {
    /// Its id, where the pipeline names it.
    pub id: Spanned<String>,
    /// Evaluated on the event; its text is looked up. Blank: every event is of the default type.
    pub key: Argument,
    /// Where the key stands in its pack.
    pub at: Span,
    /// Key → type. Keys are exact.
    pub types: Vec<(String, Spanned<String>)>,
    /// The type of events whose key is not in the table; `None`: what `classify.default` says.
    pub default: Option<Spanned<String>>,
}

/// A mapper.
#[derive(Debug, Clone)]
pub struct XsoarMap {
    /// Its id, where the pipeline names it.
    pub id: Spanned<String>,
    /// The section for all types first, if there is one.
    pub sections: Vec<XsoarSection>,
}

/// Fields of one type, or of all.
#[derive(Debug, Clone)]
pub struct XsoarSection {
    /// `"*"` or a type.
    pub target: String,
    /// Top-level attributes of the event become labels.
    pub labels: bool,
    /// Its fields.
    pub fields: Vec<XsoarEntry>,
}

/// One field.
#[derive(Debug, Clone)]
pub struct XsoarEntry {
    /// Its name in incidents: a cliName, or a system field's name.
    pub field: String,
    /// What people call it.
    pub title: String,
    /// As `schema/fields.yaml` would declare it; times and severities are converted by it.
    pub kind: Option<FieldKind>,
    /// As its pack declares it: values take its shape (`content::value::convert`).
    pub field_type: FieldType,
    /// Evaluated on the event.
    pub argument: Argument,
    /// Where it stands in its pack.
    pub at: Span,
}

impl XsoarClassify {
    /// The types that it can yield.
    pub fn produced(&self) -> impl Iterator<Item = &Spanned<String>> {
        self.types.iter().map(|(_, name)| name).chain(&self.default)
    }
}
