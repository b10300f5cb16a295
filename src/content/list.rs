//! Owns lists: named texts that playbooks and expressions read as `lists.<name>`.

use super::read::{Keys, Reader};

/// A list.
#[derive(Debug, Clone, PartialEq)]
pub struct List {
    /// Whether it can be walked into.
    pub json: bool,
    /// How the product shows it: `plain_text`, `json`, `html`, `markdown`, `css`.
    pub format: String,
    /// The text.
    pub data: String,
    /// The data stand in a file beside, which the loader reads.
    pub data_beside: bool,
}

const WITHOUT_EFFECT: [&str; 12] = [
    "truncated",
    "nameLocked",
    "allRead",
    "allReadWrite",
    "dbotCreatedBy",
    "hasRole",
    "previousAllRead",
    "previousAllReadWrite",
    "previousRoles",
    "xsoarHasReadOnlyRole",
    "xsoarPreviousReadOnlyRoles",
    "xsoarReadOnlyRoles",
];

impl List {
    /// Reads a list.
    pub fn read(mut keys: Keys<'_>, reader: &mut Reader<'_>) -> Option<List> {
        let format = keys.maybe_text("type", reader).unwrap_or_else(|| "plain_text".to_owned());
        let data = keys.get("data");
        // Newer exports keep the text in a file of its own and write a dash here.
        let data_beside = data.is_none_or(|node| reader.text_of(node).as_deref() == Some("-"));
        let data = match data {
            // A JSON list whose data were written as JSON, not as its text.
            Some(node) if reader.text_of(node).is_none() => node.to_json().to_string(),
            Some(node) => reader.text(node, "`data`").unwrap_or_default(),
            None => String::new(),
        };
        for key in ["tags", "roles", "display_name"] {
            keys.entry(key);
        }
        keys.close(&WITHOUT_EFFECT, reader);
        Some(List { json: format.eq_ignore_ascii_case("json"), format, data, data_beside })
    }
}
