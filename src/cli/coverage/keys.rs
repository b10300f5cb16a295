//! What could tell unclassified events apart: the value of the pipeline's own key, or the
//! well-known field that names the kind of event in its product, or at last whatever
//! top-level texts have few values.

use std::collections::{BTreeMap, HashMap};

use super::json::{content, members, string};
use super::shape::Look;
use super::words::title;
use crate::cli::text::visible;
use crate::expr::path::{Path, Step};

/// Different keys that are counted one by one (count); later ones are summed up.
pub const KEYS_MAX: usize = 10_000;
/// Characters of a value that can be a key; longer ones are prose.
pub const KEY_CHARS_MAX: usize = 120;
/// Top-level text fields of events without any key that are watched (count).
const FIELDS_MAX: usize = 256;
/// Different values per watched field (count): a field with more of them tells no kinds apart.
const VALUES_MAX: usize = 64;
/// Values of a watched field whose look is examined (count): addresses and times are no kinds.
const LOOKED_AT: usize = 4;
/// Watched fields that are shown (count).
const FIELDS_SHOWN: usize = 3;

/// Paths that name the kind of an event, lower case, best first. What is before `+` must be
/// there too: numbers of events mean something only beside the log they stand in.
const KINDS: [&[&str]; 45] = [
    &["channel", "eventid"],
    &["log_name", "event_id"],
    &["eventlog", "eventid"],
    &["winlog.channel", "winlog.event_id"],
    &["event.provider", "event.code"],
    &["sourcename", "eventid"],
    &["source_name", "event_id"],
    &["eventid"],
    &["eventsource", "eventname"],
    &["protopayload.servicename", "protopayload.methodname"],
    &["objectref.resource", "verb"],
    &["operationname"],
    &["activitydisplayname"],
    &["workload", "operation"],
    &["actiontype"],
    &["event_type_id"],
    &["event_simplename"],
    &["event.event_simplename"],
    &["externalapitype"],
    &["event.action"],
    &["event_type", "alert.category"],
    &["eventtype"],
    &["event_type"],
    &["event_key"],
    &["servicename", "actionname"],
    &["event.category"],
    &["@stream"],
    &["_path"],
    &["detail-type"],
    &["operation"],
    &["action"],
    &["eventname"],
    &["event"],
    &["type"],
    &["category"],
    &["kind"],
    &["logtype"],
    &["log_type"],
    &["p_log_type"],
    &["method"],
    &["activity"],
    &["class"],
    &["program"],
    &["name"],
    &["msg"],
];

/// A way to tell an event by, and how to write it into a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// The value of the pipeline's `classify.key`.
    Own(String),
    /// A condition, and the words that it turns on.
    When {
        /// The condition, as an expression.
        when: String,
        /// The values in it, as a name.
        name: String,
    },
    /// Nothing was found.
    None,
}

impl Key {
    /// As shown in lists.
    pub fn shown(&self) -> String {
        match self {
            Key::Own(value) => visible(value).into_owned(),
            Key::When { when, .. } => visible(when).into_owned(),
            Key::None => "(no field tells its kind)".to_owned(),
        }
    }

    /// A name for an incident type.
    pub fn type_name(&self) -> String {
        match self {
            Key::Own(value) => title(value),
            Key::When { name, .. } => title(name),
            Key::None => String::new(),
        }
    }
}

/// How often a key was seen, and where first.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Events.
    pub events: u64,
    /// `file:line` of the first of them.
    pub first: String,
}

/// All keys of unclassified events.
#[derive(Debug, Default)]
pub struct Keys {
    seen: HashMap<Key, Seen>,
    /// Events of keys that found no room.
    pub lost: u64,
    fields: BTreeMap<Box<str>, Values>,
    /// Events without any key.
    pub without: u64,
}

/// Events per value.
type Counts = BTreeMap<Box<str>, u64>;

/// Values of a watched field; `None`: too many.
#[derive(Debug, Default)]
struct Values {
    events: u64,
    counts: Option<Counts>,
}

impl Keys {
    /// Counts a key; `place` is asked at first sight.
    pub fn add(&mut self, key: &Key, event: &[u8], place: impl FnOnce() -> String) {
        if *key == Key::None {
            self.without += 1;
            self.watch(event);
        }
        if let Some(seen) = self.seen.get_mut(key) {
            seen.events += 1;
        } else if self.seen.len() < KEYS_MAX {
            self.seen.insert(key.clone(), Seen { events: 1, first: place() });
        } else {
            self.lost += 1;
        }
    }

    /// All keys, the most frequent first.
    pub fn sorted(&self) -> Vec<(&Key, &Seen)> {
        let mut keys: Vec<(&Key, &Seen)> = self.seen.iter().collect();
        keys.sort_by(|a, b| b.1.events.cmp(&a.1.events).then_with(|| a.0.cmp(b.0)));
        keys
    }

    fn watch(&mut self, event: &[u8]) {
        for (key, value) in members(event) {
            let Some(text) = string(value).filter(|text| !text.is_empty()) else { continue };
            let key = content(key);
            if !self.fields.contains_key(&*key) {
                if self.fields.len() >= FIELDS_MAX {
                    continue;
                }
                self.fields.insert((&*key).into(), Values { events: 0, counts: Some(BTreeMap::new()) });
            }
            let Some(field) = self.fields.get_mut(&*key) else { continue };
            field.events += 1;
            let Some(counts) = &mut field.counts else { continue };
            if let Some(count) = counts.get_mut(&*text) {
                *count += 1;
            } else if counts.len() >= VALUES_MAX || text.chars().count() > KEY_CHARS_MAX {
                field.counts = None;
            } else {
                counts.insert((&*text).into(), 1);
            }
        }
    }

    /// Of the events without any key: top-level texts with few values, the most telling
    /// first, each with its values and their counts.
    pub fn telling(&self) -> Vec<(String, Vec<(String, u64)>)> {
        let mut fields: Vec<(f64, &str, &Counts)> = self
            .fields
            .iter()
            .filter_map(|(name, values)| {
                let counts = values.counts.as_ref()?;
                // Values that come once each name single events, not kinds.
                let kinds = !counts.keys().take(LOOKED_AT).any(|value| {
                    matches!(
                        Look::of_text(value),
                        Look::Ip | Look::Time | Look::Epoch | Look::Uuid | Look::Mail | Look::Mac | Look::Sha256 | Look::Json | Look::Path | Look::Number
                    )
                });
                let repeated = values.events > counts.len() as u64 || values.events < 4;
                (kinds && repeated && values.events * 5 >= self.without).then(|| (values.events as f64 * entropy(counts, values.events), &**name, counts))
            })
            .collect();
        fields.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        fields
            .into_iter()
            .take(FIELDS_SHOWN)
            .map(|(_, name, counts)| {
                let mut values: Vec<(String, u64)> = counts.iter().map(|(value, count)| (value.to_string(), *count)).collect();
                values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
                (Path::key(name).to_string(), values)
            })
            .collect()
    }
}

/// Bits that a field tells about an event, and a little for being there at all.
fn entropy(counts: &Counts, all: u64) -> f64 {
    let share = |count: &u64| *count as f64 / all.max(1) as f64;
    0.1 + counts.values().map(|count| -share(count) * share(count).log2()).sum::<f64>().min(4.0)
}

/// The key of an event for which the pipeline has none.
pub fn would_be(event: &[u8]) -> Key {
    let mut fields: Vec<(String, String, Vec<&str>, Vec<u8>)> = Vec::new();
    for (key, value) in members(event) {
        let key = content(key);
        let lower = key.to_lowercase();
        if value.starts_with(b"{") {
            for (inner, value) in members(value) {
                let inner = content(inner);
                let name = format!("{lower}.{}", inner.to_lowercase());
                if KINDS.iter().any(|paths| paths.contains(&name.as_str())) {
                    let steps = vec![Step::Key((&*key).into()), Step::Key((&*inner).into())];
                    fields.push((name, Path::new(steps).map_or_else(String::new, |path| path.to_string()), Vec::new(), value.to_vec()));
                }
            }
        }
        if KINDS.iter().any(|paths| paths.contains(&lower.as_str())) {
            fields.push((lower, Path::key(&key).to_string(), Vec::new(), value.to_vec()));
        }
    }
    let found = KINDS.iter().find_map(|paths| {
        let parts: Option<Vec<(String, String)>> = paths
            .iter()
            .map(|path| {
                let (_, path, _, token) = fields.iter().rev().find(|(name, ..)| name == path)?;
                Some((path.clone(), scalar(token)?))
            })
            .collect();
        parts
    });
    match found {
        Some(parts) => {
            let when = parts.iter().map(|(path, value)| format!("{path} = {value}")).collect::<Vec<_>>().join(" AND ");
            let name = parts.iter().map(|(_, value)| value.trim_matches('\'')).collect::<Vec<_>>().join(" ");
            Key::When { when, name }
        }
        None => Key::None,
    }
}

/// A value as a literal; `None` where it cannot name a kind.
fn scalar(token: &[u8]) -> Option<String> {
    if let Some(text) = string(token) {
        let good = !text.trim().is_empty() && text.chars().count() <= KEY_CHARS_MAX;
        return good.then(|| format!("'{}'", text.replace('\'', "''")));
    }
    let text = std::str::from_utf8(token).ok()?;
    text.parse::<i64>().is_ok().then(|| text.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn when(event: &str) -> String {
        would_be(event.as_bytes()).shown()
    }

    #[test]
    fn the_best_known_field_names_the_kind() {
        assert_eq!(when(r#"{"EventID":4624,"Channel":"Security","action":"x"}"#), "Channel = 'Security' AND EventID = 4624");
        assert_eq!(when(r#"{"EventID":"17"}"#), "EventID = '17'");
        assert_eq!(when(r#"{"eventName":"Get's","eventSource":"s3.amazonaws.com"}"#), "eventSource = 's3.amazonaws.com' AND eventName = 'Get''s'");
        assert_eq!(when(r#"{"event":{"action":"logon"}}"#), "event.action = 'logon'");
        assert_eq!(when(r#"{"detail-type":"x"}"#), "\"detail-type\" = 'x'");
        assert_eq!(when(r#"{"type":null,"a":"b"}"#), "(no field tells its kind)");
        assert_eq!(would_be(br#"{"type":"user.login"}"#).type_name(), "User Login");
    }

    #[test]
    fn fields_with_few_values_are_found_where_nothing_is_known() {
        let mut keys = Keys::default();
        for n in 0..100 {
            let event = format!(r#"{{"lvl":"{}","text":"message {n}","same":"x"}}"#, ["low", "mid", "high"][n % 3]);
            let key = would_be(event.as_bytes());
            keys.add(&key, event.as_bytes(), || format!("f:{n}"));
        }
        let telling = keys.telling();
        assert_eq!(telling[0].0, "lvl");
        assert_eq!(telling[0].1[0], ("low".to_owned(), 34));
        assert!(telling.iter().all(|(name, _)| name != "text"));
        assert_eq!(keys.sorted()[0].1.first, "f:0");
    }
}
