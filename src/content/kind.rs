//! Owns what tells items apart: their content. The folder only says what a file should have been.

use crate::config::node::{Node, Value};

use super::item::Kind;
use super::layout;

/// What a file's root holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// One item.
    One(Kind),
    /// Many items of a kind, under this key.
    Many(Kind, &'static str),
    /// What describes the pack.
    Metadata,
    /// Something that packs have and that has no part in incidents: a dashboard, a widget.
    Other,
}

/// Folders of a pack and what belongs there.
const FOLDERS: [(&str, Kind); 10] = [
    ("Classifiers", Kind::Classifier),
    ("PreProcessRules", Kind::PreprocessRule),
    ("IncidentTypes", Kind::IncidentType),
    ("IncidentFields", Kind::IncidentField),
    ("Layouts", Kind::Layout),
    ("Lists", Kind::List),
    ("Playbooks", Kind::Playbook),
    ("TestPlaybooks", Kind::TestPlaybook),
    ("Integrations", Kind::Integration),
    ("Scripts", Kind::Script),
];

/// What belongs into a folder of this name.
pub fn folder(name: &str) -> Option<Kind> {
    FOLDERS.iter().find(|(folder, _)| *folder == name).map(|(_, kind)| *kind)
}

/// What a file holds. `file` is its name, `should` what belongs into its folder.
pub fn found(root: &Node, file: &str, should: Option<Kind>) -> Found {
    let Value::Mapping(entries) = &root.value else { return should.map_or(Found::Other, |_| Found::One(Kind::Unknown)) };
    let value = |key: &str| entries.iter().find(|(name, _)| name.value.eq_ignore_ascii_case(key)).map(|(_, node)| node).filter(|node| !node.is_nothing());
    let has = |key: &str| value(key).is_some();
    let word = |key: &str| value(key).and_then(Node::word).unwrap_or_default();
    let mapping = |key: &str| value(key).is_some_and(|node| matches!(node.value, Value::Mapping(_)));
    if file == "pack_metadata.json" || file == "metadata.json" && has("currentVersion") {
        return Found::Metadata;
    }
    for (key, kind) in [("incidentFields", Kind::IncidentField), ("incidentTypes", Kind::IncidentType)] {
        if value(key).is_some_and(|node| matches!(node.value, Value::List(_))) {
            return Found::Many(kind, key);
        }
    }
    let kind = if has("tasks") || has("starttaskid") {
        if should == Some(Kind::TestPlaybook) { Kind::TestPlaybook } else { Kind::Playbook }
    } else if mapping("script") || (has("commonfields") && has("configuration")) {
        Kind::Integration
    } else if has("commonfields") && (has("script") || has("type") || has("args")) {
        Kind::Script
    } else if word("type") == "classification" {
        Kind::Classifier
    } else if word("type") == "mapping-incoming" {
        Kind::IncomingMapper
    } else if word("type") == "mapping-outgoing" {
        Kind::OutgoingMapper
    } else if has("newEventFilters") || has("readyNewEventFilters") || has("existingEventsFilters") || (has("action") && has("linkTo")) {
        Kind::PreprocessRule
    } else if !has("type") && (has("brandName") || (mapping("mapping") && has("keyTypeMap"))) {
        Kind::LegacyClassifier
    } else if mapping("keyTypeMap") {
        Kind::Classifier
    } else if mapping("mapping") {
        Kind::IncomingMapper
    } else if has("cliName") {
        match word("group") {
            "" | "0" => Kind::IncidentField,
            _ => Kind::OtherField,
        }
    } else if has("kind") && has("layout") && has("typeId") {
        Kind::OldLayout
    } else if layout::has_view(has) && (has("group") || has("name")) {
        Kind::Layout
    } else if ["playbookId", "preProcessingScript", "closureScript", "hoursR", "autorun"].into_iter().any(has) && (has("id") || has("name")) {
        Kind::IncidentType
    } else if is_list(should, has("data"), has("allRead") || has("nameLocked") || has("truncated"), word("type")) {
        Kind::List
    } else {
        return should.map_or(Found::Other, |_| Found::One(Kind::Unknown));
    };
    Found::One(kind)
}

fn is_list(should: Option<Kind>, data: bool, list_keys: bool, format: &str) -> bool {
    let known = matches!(format, "plain_text" | "json" | "html" | "markdown" | "css");
    should == Some(Kind::List) && (data || list_keys || known) || data && (list_keys || known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::diagnostic::Diagnostics;

    #[test]
    fn told_by_content() {
        let cases = [
            (r#"{"type":"classification","transformer":{}}"#, Kind::Classifier),
            (r#"{"type":"mapping-incoming","mapping":{}}"#, Kind::IncomingMapper),
            (r#"{"type":"mapping-outgoing","mapping":{}}"#, Kind::OutgoingMapper),
            (r#"{"brandName":"x","mapping":{},"keyTypeMap":{}}"#, Kind::LegacyClassifier),
            (r#"{"id":"x","action":"drop","newEventFilters":[]}"#, Kind::PreprocessRule),
            (r#"{"id":"x","cliName":"x","type":"shortText"}"#, Kind::IncidentField),
            (r#"{"id":"x","cliName":"x","type":"shortText","group":2}"#, Kind::OtherField),
            (r#"{"typeId":"x","kind":"edit","layout":{}}"#, Kind::OldLayout),
            (r#"{"id":"x","group":"incident","detailsV2":{}}"#, Kind::Layout),
            (r#"{"id":"x","name":"x","autorun":true}"#, Kind::IncidentType),
            (r#"{"id":"x","name":"x","type":"plain_text","data":"a"}"#, Kind::List),
            (r#"{"id":"x","tasks":{},"starttaskid":"0"}"#, Kind::Playbook),
            (r#"{"commonfields":{},"script":{"commands":[]}}"#, Kind::Integration),
            (r#"{"commonfields":{},"script":"x","type":"python"}"#, Kind::Script),
        ];
        for (text, kind) in cases {
            let mut out = Diagnostics::new();
            let file = out.add_file("x.json", text);
            let root = super::super::json::read(file, &mut out).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(found(&root, "x.json", None), Found::One(kind), "{text}");
        }
    }
}
