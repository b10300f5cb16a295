//! Owns the names of fields: display name → cliName, what incidents have without any pack,
//! and what no mapper may set.

use super::field::FieldType;

/// A display name as a cliName: `Source IP` is `sourceip`.
pub fn normalise(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// A field that every incident has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemField {
    /// Its name in incidents and in expressions.
    pub name: &'static str,
    /// Other names that mean it: display names, and what queries call it.
    pub others: &'static [&'static str],
    /// What it holds.
    pub kind: FieldType,
    /// A mapper may set it.
    pub mappable: bool,
}

const fn system(name: &'static str, others: &'static [&'static str], kind: FieldType) -> SystemField {
    SystemField { name, others, kind, mappable: true }
}

/// Documented as "cannot be mapped".
const fn fixed(name: &'static str, others: &'static [&'static str], kind: FieldType) -> SystemField {
    SystemField { name, others, kind, mappable: false }
}

use FieldType::{Attachments, Boolean, Date, Internal, LongText, MultiSelect, Number, Role, ShortText, TagsSelect, Timer, User};

/// The system fields. `sourceBrand` may be mapped although documentation leaves it out: real
/// packs do.
pub const SYSTEM_FIELDS: [SystemField; 56] = [
    fixed("id", &["dbotid"], ShortText),
    system("name", &[], ShortText),
    fixed("type", &["incident type"], ShortText),
    system("severity", &[], Number),
    fixed("status", &["dbotStatus", "DBot Status"], Number),
    system("owner", &[], User),
    system("details", &["description"], LongText),
    system("occurred", &["occurred time"], Date),
    fixed("created", &["dbotCreated", "DBot Created"], Date),
    fixed("modified", &["dbotModified", "DBot Modified"], Date),
    fixed("closed", &["dbotClosed", "DBot Closed"], Date),
    system("activated", &["dbotActivated"], Date),
    system("dueDate", &["dbotDueDate", "due date"], Date),
    fixed("reminder", &[], Date),
    fixed("closeReason", &["close reason"], ShortText),
    fixed("closeNotes", &["close notes"], LongText),
    fixed("closingUserId", &["close user"], User),
    system("reason", &[], ShortText),
    fixed("openDuration", &["dbotTotalTime", "DBot Total Time"], Number),
    system("phase", &[], ShortText),
    fixed("category", &[], ShortText),
    system("roles", &[], Role),
    fixed("playbookId", &["playbook", "playbook id"], ShortText),
    fixed("investigationId", &[], ShortText),
    fixed("runStatus", &["run status"], ShortText),
    system("sourceBrand", &["source brand"], ShortText),
    fixed("sourceInstance", &["source instance", "dbotSource", "DBot Source"], ShortText),
    system("rawJSON", &[], LongText),
    system("rawName", &[], ShortText),
    system("rawType", &[], ShortText),
    system("rawCategory", &[], ShortText),
    system("rawPhase", &[], ShortText),
    system("rawCloseReason", &[], ShortText),
    fixed("labels", &["label"], Internal),
    system("attachment", &["attachments"], Attachments),
    fixed("linkedIncidents", &[], MultiSelect),
    fixed("linkedCount", &["linked count"], Number),
    fixed("droppedCount", &["dropped count"], Number),
    fixed("sla", &[], Timer),
    system("dbotMirrorId", &[], ShortText),
    system("dbotMirrorInstance", &[], ShortText),
    system("dbotMirrorDirection", &[], ShortText),
    system("dbotMirrorTags", &[], TagsSelect),
    system("dbotMirrorLastSync", &[], Date),
    system("dbotDirtyFields", &[], MultiSelect),
    system("dbotCurrentDirtyFields", &[], MultiSelect),
    fixed("feedBased", &["feed based"], Boolean),
    system("isPlayground", &[], Boolean),
    system("account", &[], ShortText),
    system("parent", &[], ShortText),
    fixed("version", &[], Number),
    fixed("ShardID", &[], Number),
    fixed("autime", &[], Number),
    system("canvases", &[], MultiSelect),
    fixed("lastOpen", &["last open"], Date),
    fixed("CustomFields", &[], Internal),
];

/// The system field that a name means: its own name, one of its others, in any spelling that
/// normalises alike.
pub fn system_field(name: &str) -> Option<&'static SystemField> {
    let exact = SYSTEM_FIELDS.iter().find(|field| field.name == name);
    exact.or_else(|| {
        let wanted = normalise(name);
        let means = |other: &&str| normalise(other) == wanted;
        SYSTEM_FIELDS.iter().find(|field| normalise(field.name) == wanted || field.others.iter().any(means))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::unwrap_used)]
    fn names_lead_to_fields() {
        assert_eq!(normalise("Source IP - v2"), "sourceipv2");
        assert_eq!(system_field("dbotMirrorId").unwrap().name, "dbotMirrorId");
        assert_eq!(system_field("DBot Created").unwrap().name, "created");
        assert!(!system_field("Close Reason").unwrap().mappable);
        assert!(system_field("sourceBrand").unwrap().mappable);
        assert!(system_field("Source IP").is_none());
        for field in SYSTEM_FIELDS {
            assert_eq!(system_field(field.name), Some(&field));
        }
    }
}
