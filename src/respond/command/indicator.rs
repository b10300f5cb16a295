//! Owns indicators as far as a run knows them: finding them in text, making them, changing their
//! fields.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::{Args, Builtin, Did, told, wrong};
use crate::expr::xsoar::value::into_list;
use crate::respond::limits::{INDICATORS_MAX, cut};
use crate::respond::run::{Failure, FailureKind, Output, Step};

pub(super) const COMMANDS: &[Builtin] = &[
    Builtin { name: "extractIndicators", required: &[], run: extract },
    Builtin { name: "createNewIndicator", required: &["value", "type"], run: create },
    Builtin { name: "setIndicator", required: &["value"], run: set },
    Builtin { name: "appendIndicatorField", required: &["indicatorsValues", "field", "fieldValue"], run: append_field },
    Builtin { name: "removeIndicatorField", required: &["indicatorsValues", "field", "fieldValue"], run: remove_field },
    Builtin { name: "associateIndicatorToIncident", required: &["value"], run: associate },
    Builtin { name: "excludeIndicators", required: &["indicatorsValues", "reason"], run: exclude },
    Builtin { name: "ExtractIP", required: &["text"], run: extract_ip },
    Builtin { name: "ExtractURL", required: &["text"], run: extract_url },
    Builtin { name: "ExtractHash", required: &["text"], run: extract_hash },
    Builtin { name: "ExtractEmail", required: &["text"], run: extract_email },
];

/// Bytes of a text that is searched.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// Indicators of one type that one text yields (count).
const FOUND_MAX: usize = 500;

/// What indicators look like. None of the patterns can take long: the engine is linear.
const PATTERNS: [(&str, &str); 8] = [
    ("URL", r#"(?i)\b(?:https?|ftp|hxxps?)://[^\s"'<>\\^`{|}]{2,2000}"#),
    ("Email", r"(?i)\b[a-z0-9._%+-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,8}\b"),
    ("IP", r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.|\[\.\])){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b"),
    (
        "Domain",
        r"(?i)\b(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,8}(?:com|net|org|info|biz|io|co|ru|cn|de|uk|fr|nl|eu|us|xyz|top|site|online|club|example|test)\b",
    ),
    ("SHA256", r"(?i)\b[0-9a-f]{64}\b"),
    ("SHA1", r"(?i)\b[0-9a-f]{40}\b"),
    ("MD5", r"(?i)\b[0-9a-f]{32}\b"),
    ("CVE", r"(?i)\bCVE-\d{4}-\d{4,7}\b"),
];

fn patterns() -> &'static [(&'static str, Regex)] {
    static COMPILED: OnceLock<Vec<(&'static str, Regex)>> = OnceLock::new();
    COMPILED.get_or_init(|| PATTERNS.iter().filter_map(|(name, pattern)| Some((*name, Regex::new(pattern).ok()?))).collect())
}

/// Indicators in a text, by type, each once, in their order.
pub fn found_in(text: &str) -> BTreeMap<&'static str, Vec<String>> {
    let text = cut(text, TEXT_BYTES_MAX);
    let mut found: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for (name, pattern) in patterns() {
        let mut seen = std::collections::HashSet::new();
        for hit in pattern.find_iter(text) {
            let value = hit.as_str().trim_end_matches(['.', ',', ';', ')', ']']).replace("[.]", ".");
            if seen.insert(value.clone()) {
                let all = found.entry(name).or_default();
                all.push(value);
                if all.len() >= FOUND_MAX {
                    break;
                }
            }
        }
    }
    found
}

fn extract(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let text = match args.some("text") {
        Some(text) => text,
        None => {
            let ids = args.texts("entryID");
            step.run.recent.iter().filter(|entry| ids.contains(&entry.id)).map(|entry| entry.text.as_str()).collect::<Vec<_>>().join("\n")
        }
    };
    let found = found_in(&text);
    let count: usize = found.values().map(Vec::len).sum();
    let mut known = Vec::new();
    for (name, values) in &found {
        known.extend(values.iter().map(|value| (value.clone(), (*name).to_owned())));
    }
    for (value, kind) in known {
        remember(step, &value, &kind)?;
    }
    let all: Map<String, Value> = found.into_iter().map(|(name, values)| (name.to_owned(), values.into())).collect();
    let contents = Value::Object(all.clone());
    let context = Map::from_iter([("ExtractedIndicators(true)".to_owned(), Value::Object(all))]);
    Ok(Did::Done(Output { context, contents, readable: format!("{count} indicators found"), poll: None }))
}

fn one_kind(args: &Args, kinds: &[&str], key: &str, member: Option<&str>) -> Result<Did, Failure> {
    let mut found = found_in(&args.text("text"));
    let values: Vec<String> = kinds.iter().flat_map(|kind| found.remove(kind).unwrap_or_default()).collect();
    let items: Vec<Value> = values.iter().map(|value| member.map_or_else(|| Value::from(value.clone()), |member| json!({ member: value }))).collect();
    let mut context = Map::new();
    if !items.is_empty() {
        context.insert(key.to_owned(), Value::Array(items));
    }
    Ok(Did::Done(Output { context, contents: values.clone().into(), readable: format!("{} found", values.len()), poll: None }))
}

fn extract_ip(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    one_kind(args, &["IP"], "IP(val.Address && val.Address == obj.Address)", Some("Address"))
}

fn extract_url(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    one_kind(args, &["URL"], "URL(val.Data && val.Data == obj.Data)", Some("Data"))
}

fn extract_email(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    one_kind(args, &["Email"], "Account.Email(val.Address && val.Address == obj.Address)", Some("Address"))
}

fn extract_hash(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    one_kind(args, &["SHA256", "SHA1", "MD5"], "Hashes", None)
}

fn remember<'s>(step: &'s mut Step<'_>, value: &str, kind: &str) -> Result<&'s mut Map<String, Value>, Failure> {
    if !step.run.indicators.contains_key(value) && step.run.indicators.len() >= INDICATORS_MAX {
        return Err(Failure::new(FailureKind::Bound, format!("a run knows at most {INDICATORS_MAX} indicators")));
    }
    let place = step.run.indicators.entry(value.to_owned()).or_insert_with(|| json!({}));
    if !place.is_object() {
        *place = json!({});
    }
    match place {
        Value::Object(members) => {
            if !kind.is_empty() {
                members.entry("type").or_insert_with(|| Value::from(kind));
            }
            Ok(members)
        }
        _ => Err(wrong("the indicator cannot be kept")),
    }
}

fn set(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    for value in args.texts("value") {
        let members = remember(step, &value, &args.text("type"))?;
        for (name, field) in args.all().iter().filter(|(name, _)| !["value", "type", "merge"].contains(&name.as_str())) {
            members.insert(name.clone(), field.clone());
        }
    }
    told("the indicator was set")
}

fn create(step: &mut Step<'_>, frame: u32, task: u32, args: &Args) -> Result<Did, Failure> {
    set(step, frame, task, args)?;
    let made: Vec<Value> = args.texts("value").into_iter().map(|value| json!({ "Value": value, "Type": args.text("type") })).collect();
    let context = Map::from_iter([("CreatedIndicator".to_owned(), Value::Array(made))]);
    Ok(Did::Done(Output { context, readable: "the indicator was created".to_owned(), ..Output::default() }))
}

fn change(step: &mut Step<'_>, args: &Args, how: impl Fn(Vec<Value>, &[Value]) -> Vec<Value>) -> Result<Did, Failure> {
    let (field, values) = (args.text("field"), args.list("fieldValue"));
    let all = args.texts("indicatorsValues");
    for value in &all {
        let members = remember(step, value, "")?;
        let old = members.get_mut(&field).map(Value::take).map(into_list).unwrap_or_default();
        members.insert(field.clone(), Value::Array(how(old, &values)));
    }
    told(format!("field `{field}` of {} indicators changed", all.len()))
}

fn append_field(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    change(step, args, |mut old, new| {
        for value in new {
            if !old.contains(value) {
                old.push(value.clone());
            }
        }
        old
    })
}

fn remove_field(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    change(step, args, |old, gone| old.into_iter().filter(|value| !gone.contains(value)).collect())
}

fn associate(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let incident = args.some("incidentId").unwrap_or_else(|| step.run.incident_id().to_owned());
    for value in args.texts("value") {
        let members = remember(step, &value, "")?;
        let place = members.entry("relatedIncidents").or_insert_with(|| Value::Array(Vec::new()));
        let mut all = into_list(place.take());
        if !all.contains(&Value::from(incident.clone())) {
            all.push(Value::from(incident.clone()));
        }
        *place = Value::Array(all);
    }
    told("the indicator belongs to the incident")
}

fn exclude(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let reason = args.text("reason");
    for value in args.texts("indicatorsValues") {
        let members = remember(step, &value, "")?;
        members.insert("excluded".to_owned(), Value::from(reason.clone()));
    }
    told("the indicators are excluded")
}
