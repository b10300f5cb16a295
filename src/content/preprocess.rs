//! Owns pre-process rules in the product's format: which new incidents are dropped, attached,
//! linked, closed or shown to a script, and beside which earlier ones.

use crate::config::node::Node;
use crate::config::source_map::{Span, Spanned};
use crate::config::suggest;

use super::argument::Conditions;
use super::read::{Keys, Reader};

/// A pre-process rule.
#[derive(Debug, Clone, PartialEq)]
pub struct PreprocessRule {
    /// Disabled rules are skipped.
    pub enabled: bool,
    /// Rules with a lower one come first.
    pub index: i64,
    /// Conditions on the new incident; empty: every incident.
    pub new: Conditions,
    /// Conditions on an earlier incident; empty: every one within the period.
    pub existing: Conditions,
    /// What happens.
    pub action: Action,
    /// Which of several earlier incidents.
    pub link_to: LinkTo,
    /// How far back earlier incidents count, in milliseconds; `None`: as the engine can.
    pub period_ms: Option<i64>,
    /// Closed incidents count, too.
    pub search_closed: bool,
    /// The script of [`Action::Script`].
    pub script: Option<Spanned<String>>,
    /// Where the action stands.
    pub span: Span,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The new incident vanishes.
    Drop,
    /// It is attached to an earlier one; without one it is created.
    DropAndUpdate,
    /// It is created and linked to an earlier one.
    Link,
    /// It is created, linked, and closed; without an earlier one it is only created.
    LinkAndClose,
    /// It is created closed.
    Close,
    /// A script says.
    Script,
}

impl Action {
    /// As the file would say it.
    pub fn as_str(self) -> &'static str {
        ACTIONS.iter().find(|(_, action)| *action == self).map_or("", |(word, _)| word)
    }

    /// True if it needs an earlier incident.
    pub fn needs_existing(self) -> bool {
        matches!(self, Action::DropAndUpdate | Action::Link | Action::LinkAndClose)
    }
}

/// Which of several earlier incidents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkTo {
    /// The one created first.
    Oldest,
    /// The one created last.
    Newest,
}

/// Only `drop` is certain; the others are read in any of the spellings that their names allow.
const ACTIONS: [(&str, Action); 6] = [
    ("drop", Action::Drop),
    ("dropAndUpdate", Action::DropAndUpdate),
    ("link", Action::Link),
    ("linkAndClose", Action::LinkAndClose),
    ("close", Action::Close),
    ("script", Action::Script),
];
const OTHER_ACTIONS: [(&str, Action); 8] = [
    ("runscript", Action::Script),
    ("runascript", Action::Script),
    ("update", Action::DropAndUpdate),
    ("dropupdate", Action::DropAndUpdate),
    ("linkclose", Action::LinkAndClose),
    ("linkandcloseincident", Action::LinkAndClose),
    ("closeincident", Action::Close),
    ("dropincident", Action::Drop),
];

/// Milliseconds of the units of a period. A month is 30 days.
const UNITS: [(&str, i64); 6] =
    [("minute", 60_000), ("hour", 3_600_000), ("day", 86_400_000), ("week", 7 * 86_400_000), ("month", 30 * 86_400_000), ("year", 365 * 86_400_000)];

const WITHOUT_EFFECT: [&str; 6] = ["readyNewEventFilters", "readyExistingEventsFilters", "custom", "roles", "simulatedFilters", "useNewContext"];

impl PreprocessRule {
    /// Reads a rule.
    pub fn read(mut keys: Keys<'_>, reader: &mut Reader<'_>) -> Option<PreprocessRule> {
        let enabled = keys.get("enabled").is_none_or(|node| reader.truth(node, "`enabled`").unwrap_or(true));
        let index = keys.whole("index", reader).unwrap_or(0);
        let new = conditions(&mut keys, "newEventFilters", "readyNewEventFilters", reader);
        let existing = conditions(&mut keys, "existingEventsFilters", "readyExistingEventsFilters", reader);
        let action = keys.spanned("action", reader);
        let span = action.as_ref().map_or(keys.head(), |action| action.span);
        let action = match &action {
            Some(word) => read_action(word, reader),
            None => {
                reader.error("missing-key", "a pre-process rule needs `action`", keys.head());
                None
            }
        };
        let link_to = keys.spanned("linkTo", reader).and_then(|word| read_link_to(&word, reader)).unwrap_or(LinkTo::Oldest);
        let period_ms = keys.get("period").and_then(|node| read_period(node, reader));
        let search_closed = keys.truth("searchClosed", reader);
        let script = keys.spanned("scriptName", reader);
        let script = script.or(keys.spanned("scriptID", reader));
        if action == Some(Action::Script) && script.is_none() {
            reader.error("missing-key", "the action `script` needs `scriptName`", span);
        }
        keys.close(&WITHOUT_EFFECT, reader);
        Some(PreprocessRule { enabled, index, new: new?, existing: existing?, action: action?, link_to, period_ms, search_closed, script, span })
    }
}

/// The filters that people wrote; where there are none, the platform's copy of them.
fn conditions(keys: &mut Keys<'_>, key: &'static str, copy: &'static str, reader: &mut Reader<'_>) -> Option<Conditions> {
    let written = keys.get(key);
    match written.or(keys.get(copy)) {
        Some(node) => Conditions::read(node, &format!("`{key}`"), reader),
        None => Some(Conditions::default()),
    }
}

fn folded(word: &str) -> String {
    word.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect()
}

fn read_action(word: &Spanned<String>, reader: &mut Reader<'_>) -> Option<Action> {
    let wanted = folded(&word.value);
    let found = ACTIONS.iter().chain(&OTHER_ACTIONS).find(|(name, _)| folded(name) == wanted).map(|(_, action)| *action);
    if found.is_none() {
        let words: Vec<&str> = ACTIONS.iter().map(|(word, _)| *word).collect();
        let diagnostic = crate::config::Diagnostic::error("bad-value", format!("`{}` is not an action", crate::config::read::shortened(&word.value)));
        reader.out.push(diagnostic.at(word.span).maybe_hint(suggest::hint(&word.value, &words)));
    }
    found
}

fn read_link_to(word: &Spanned<String>, reader: &mut Reader<'_>) -> Option<LinkTo> {
    match folded(&word.value).as_str() {
        "oldest" | "first" => Some(LinkTo::Oldest),
        "youngest" | "newest" | "latest" | "last" => Some(LinkTo::Newest),
        _ => {
            reader.warn("bad-value", "`linkTo` is neither oldest nor newest; the oldest is taken", word.span);
            None
        }
    }
}

/// `{by: days, fromValue: 30}`; also the ranges of the product's date pickers, `byFrom`.
fn read_period(node: &Node, reader: &mut Reader<'_>) -> Option<i64> {
    let mut keys = Keys::open(node, "`period`", reader)?;
    let by = keys.spanned("byFrom", reader);
    let by = keys.spanned("by", reader).or(by);
    let value = keys.whole("fromValue", reader);
    let head = keys.head();
    keys.close(&["byTo", "toValue", "fromDate", "toDate", "fromDateLicense", "field", "period"], reader);
    let by = by?;
    let word = by.value.trim().to_ascii_lowercase();
    let unit = UNITS.iter().find(|(name, _)| word == *name || word.strip_suffix('s') == Some(name)).map(|(_, ms)| *ms);
    let Some(unit) = unit else {
        reader.warn("bad-value", "the period's unit is none of minutes, hours, days, weeks, months, years; no period is taken", by.span);
        return None;
    };
    match value {
        Some(count) if count > 0 => count.checked_mul(unit),
        // The product writes 0 or nothing where no period was chosen.
        Some(0) | None => None,
        Some(_) => {
            reader.warn("bad-value", "a period ends before it begins; no period is taken", head);
            None
        }
    }
}
