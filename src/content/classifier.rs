//! Owns classifiers: which value of an event names which incident type.

use crate::config::source_map::Spanned;

use super::argument::Expression;
use super::read::{Keys, Reader};

/// A classifier, or the classifying half of a legacy one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Classifier {
    /// Evaluated on the event; gives the key that is looked up. Unset: everything is of the default type.
    pub key: Expression,
    /// Key → name of a type. Keys are exact, case-sensitive.
    pub types: Vec<(Spanned<String>, Spanned<String>)>,
    /// The type of events whose key is not in the table; `None`: what the instance says.
    pub default_type: Option<Spanned<String>>,
    /// It classifies indicators of a feed, not incidents.
    pub feed: bool,
    /// Legacy only: the integration it belongs to.
    pub brand: Option<String>,
}

/// Keys of a classifier that only matter to the product's pages.
const WITHOUT_EFFECT: [&str; 7] = ["custom", "isDefault", "incidentSamples", "indicatorSamples", "unclassifiedCases", "logicMode", "isIncomingMapper"];

impl Classifier {
    /// Reads the parts of a classifier; the caller closes `keys` with [`Classifier::close`].
    pub fn read(keys: &mut Keys<'_>, reader: &mut Reader<'_>) -> Option<Classifier> {
        let key = match keys.get("transformer") {
            Some(node) => Expression::read(node, "`transformer`", reader)?,
            None => Expression::default(),
        };
        let mut types = Vec::new();
        for (value, node) in keys.entries("keyTypeMap", reader) {
            match reader.text(node, "a type in `keyTypeMap`").filter(|name| !name.is_empty()) {
                Some(name) => types.push((value.clone(), Spanned::new(name, node.span))),
                None => reader.warn("missing-value", format!("`{}` names no type", crate::config::read::shortened(&value.value)), value.span),
            }
        }
        let classifier = Classifier {
            key,
            types,
            default_type: keys.spanned("defaultIncidentType", reader),
            feed: keys.truth("feed", reader),
            brand: keys.maybe_text("brandName", reader),
        };
        if classifier.types.is_empty() && classifier.default_type.is_none() && !classifier.feed {
            reader.warn("classifier", "it names no type: neither `keyTypeMap` nor `defaultIncidentType` has one", keys.head());
        }
        Some(classifier)
    }

    /// Ends the mapping.
    pub fn close(keys: Keys<'_>, reader: &mut Reader<'_>) {
        keys.close(&WITHOUT_EFFECT, reader);
    }
}
