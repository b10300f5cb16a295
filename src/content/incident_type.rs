//! Owns incident types.

use crate::config::node::Node;
use crate::config::source_map::Spanned;

use super::read::{Keys, Reader};

/// A type of incident.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct IncidentType {
    /// The type of incidents that nothing else names.
    pub default: bool,
    /// Nobody can choose it.
    pub disabled: bool,
    /// The playbook that answers it, by name or id.
    pub playbook: Option<Spanned<String>>,
    /// The playbook starts at creation.
    pub autorun: bool,
    /// A script that sees incoming incidents of this type.
    pub preprocess_script: Option<Spanned<String>>,
    /// A script that runs at closing; its error keeps the incident open.
    pub closure_script: Option<Spanned<String>>,
    /// Minutes until it must be dealt with; 0: no promise.
    pub sla_minutes: i64,
    /// Minutes before that at which people are reminded; 0: never.
    pub reminder_minutes: i64,
    /// The layout, by id.
    pub layout: Option<Spanned<String>>,
    /// `#rrggbb` or a color word.
    pub color: String,
    /// When indicators are extracted at creation: 0 system default, 1 none, 2 inline, 3 out of band.
    pub extraction: i64,
    /// From which fields indicators are extracted: (cliName); empty: from all.
    pub extract_fields: Vec<String>,
}

const WITHOUT_EFFECT: [&str; 8] = ["readonly", "detached", "autoLinkRules", "onChangeRepAlg", "version", "detachedAt", "isDisabled", "locked"];

impl IncidentType {
    /// Reads a type.
    pub fn read(mut keys: Keys<'_>, reader: &mut Reader<'_>) -> Option<IncidentType> {
        let number = |keys: &mut Keys<'_>, key: &'static str, reader: &mut Reader<'_>| keys.whole(key, reader).unwrap_or(0).clamp(0, 10_000_000);
        let mut minutes = |week: &'static str, day: &'static str, hour: &'static str, plain: &'static str| {
            let sum = number(&mut keys, week, reader) * 7 * 24 * 60 + number(&mut keys, day, reader) * 24 * 60 + number(&mut keys, hour, reader) * 60;
            // Both are kept by the product; the parts are what people filled in.
            let plain = number(&mut keys, plain, reader);
            if sum > 0 { sum } else { plain }
        };
        let sla_minutes = minutes("weeks", "days", "hours", "sla");
        let reminder_minutes = minutes("weeksR", "daysR", "hoursR", "slaReminder");
        let incident_type = IncidentType {
            default: keys.truth("default", reader),
            disabled: keys.truth("disabled", reader),
            playbook: keys.spanned("playbookId", reader),
            autorun: keys.truth("autorun", reader),
            preprocess_script: keys.spanned("preProcessingScript", reader),
            closure_script: keys.spanned("closureScript", reader),
            sla_minutes,
            reminder_minutes,
            layout: keys.spanned("layout", reader),
            color: keys.text("color", reader),
            extraction: keys.whole("reputationCalc", reader).unwrap_or(0),
            extract_fields: keys.get("extractSettings").map(|node| extract_fields(node, reader)).unwrap_or_default(),
        };
        keys.close(&WITHOUT_EFFECT, reader);
        Some(incident_type)
    }
}

fn extract_fields(node: &Node, reader: &mut Reader<'_>) -> Vec<String> {
    let Some(mut keys) = Keys::open(node, "`extractSettings`", reader) else { return Vec::new() };
    let specific = keys.text("mode", reader) == "Specific";
    let fields = keys.entries("fieldCliNameToExtractSettings", reader).iter().map(|(name, _)| name.value.clone()).collect();
    keys.close(&[], reader);
    if specific { fields } else { Vec::new() }
}
