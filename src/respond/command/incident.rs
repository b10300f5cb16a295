//! Owns commands on incidents: setting fields, closing, linking, making new ones.

use serde_json::{Map, Value};

use super::{Args, Builtin, Did, nothing, told, wrong};
use crate::content::field::FieldType;
use crate::content::names::normalise;
use crate::expr::xsoar::value::{arg_texts, as_number, into_list, text_of};
use crate::respond::run::state::hash;
use crate::respond::run::{Edit, Effect, Failure, Output, Step};

pub(super) const COMMANDS: &[Builtin] = &[
    Builtin { name: "setIncident", required: &[], run: set_incident },
    Builtin { name: "IncidentSet", required: &[], run: incident_set },
    Builtin { name: "setOwner", required: &["owner"], run: set_owner },
    Builtin { name: "setStage", required: &["stage"], run: set_stage },
    Builtin { name: "closeInvestigation", required: &[], run: close },
    Builtin { name: "CloseInvestigation", required: &[], run: close },
    Builtin { name: "CloseInvestigationAsDuplicate", required: &["duplicateId"], run: close_duplicate },
    Builtin { name: "reopenInvestigation", required: &[], run: reopen },
    Builtin { name: "linkIncidents", required: &["linkedIncidentIDs"], run: link },
    Builtin { name: "DemistoLinkIncidents", required: &["linkedIncidentIDs"], run: link },
    Builtin { name: "createNewIncident", required: &[], run: create },
    Builtin { name: "AssignAnalystToIncident", required: &[], run: assign },
    Builtin { name: "SetGridField", required: &["context_path", "grid_id", "columns"], run: grid },
];

/// Arguments of `setIncident` that are no fields.
const NO_FIELDS: [&str; 9] = ["id", "customfields", "replaceplaybook", "deleteemptyfield", "sla", "slafield", "labels", "addlabels", "playbook"];

/// A severity by its name or number.
fn severity(value: &Value) -> Result<Value, Failure> {
    if let Some(number) = as_number(value) {
        if [0.0, 0.5, 1.0, 2.0, 3.0, 4.0].contains(&number) {
            return Ok(crate::expr::xsoar::value::number_value(number));
        }
        return Err(wrong("a severity is 0, 0.5, 1, 2, 3 or 4"));
    }
    Ok(match text_of(value).trim().to_lowercase().as_str() {
        "unknown" => Value::from(0),
        "info" | "informational" => Value::from(0.5),
        "low" => Value::from(1),
        "medium" => Value::from(2),
        "high" => Value::from(3),
        "critical" => Value::from(4),
        _ => return Err(wrong("a severity is unknown, informational, low, medium, high or critical")),
    })
}

/// A value as a field of its type holds it.
fn converted(step: &Step<'_>, name: &str, value: &Value) -> Result<Value, Failure> {
    if name == "severity" {
        return severity(value);
    }
    let kind = step.world.content.as_deref().and_then(|content| content.field(name)).map(|(_, field)| field.kind);
    Ok(match kind {
        Some(FieldType::Number) => as_number(value).map_or(Value::Null, crate::expr::xsoar::value::number_value),
        Some(FieldType::Boolean) => crate::expr::xsoar::value::as_flag(value).map_or(value.clone(), Value::Bool),
        Some(FieldType::MultiSelect | FieldType::TagsSelect) => arg_texts(value).into(),
        Some(FieldType::ShortText | FieldType::LongText | FieldType::SingleSelect | FieldType::Url | FieldType::Markdown | FieldType::Html) => {
            Value::from(text_of(value))
        }
        Some(FieldType::Grid) => match value {
            Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| value.clone()),
            other => other.clone(),
        },
        _ => value.clone(),
    })
}

fn fields(step: &Step<'_>, args: &Args) -> Result<Map<String, Value>, Failure> {
    let deletes = args.flag("deleteEmptyField").unwrap_or(false);
    let mut found = Map::new();
    let mut given: Vec<(String, Value)> =
        args.all().iter().filter(|(name, _)| !NO_FIELDS.contains(&name.to_lowercase().as_str())).map(|(name, value)| (name.clone(), value.clone())).collect();
    match args.value("customFields") {
        Some(Value::Object(custom)) => given.extend(custom.clone()),
        Some(Value::String(text)) if !text.trim().is_empty() => match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(custom)) => given.extend(custom),
            _ => return Err(wrong("`customFields` is no JSON object")),
        },
        _ => {}
    }
    for (name, value) in given {
        let name = step.field_name(&name);
        if nothing(Some(&value)) {
            // An empty argument does not clear a field, unless that is asked for.
            if deletes {
                found.insert(name, Value::Null);
            }
            continue;
        }
        let value = converted(step, &name, &value)?;
        found.insert(name, value);
    }
    Ok(found)
}

fn labels(step: &Step<'_>, args: &Args) -> Option<Value> {
    let read = |name: &str| match args.value(name)? {
        Value::String(text) => serde_json::from_str::<Value>(text).ok(),
        other => Some(other.clone()),
    };
    let (all, added) = (read("labels"), read("addLabels"));
    if all.is_none() && added.is_none() {
        return None;
    }
    let mut found = if all.is_some() {
        Value::Object(Map::new())
    } else {
        step.run.incident.get("labels").cloned().filter(Value::is_object).unwrap_or_else(|| Value::Object(Map::new()))
    };
    for label in all.into_iter().chain(added).flat_map(into_list) {
        if let (Some(name), Some(value), Value::Object(members)) = (label.get("type").and_then(Value::as_str), label.get("value"), &mut found) {
            let place = members.entry(name.to_owned()).or_insert(Value::Null);
            crate::expr::xsoar::context::append(place, "", value.clone());
        }
    }
    Some(found)
}

fn other_incident(step: &Step<'_>, args: &Args, name: &str) -> Option<String> {
    args.some(name).filter(|id| id != step.run.incident_id())
}

fn set_incident(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let mut fields = fields(step, args)?;
    if let Some(labels) = labels(step, args) {
        fields.insert("labels".to_owned(), labels);
    }
    if let (Some(field), Some(minutes)) = (args.some("slaField"), args.number("sla")) {
        let name = step.field_name(&field);
        let (_, risk) = step.world.timer_promise(&name);
        let timer = step.timer_of(&name, -1, risk);
        timer.sla_minutes = (minutes as i64).clamp(-1, 10_000_000);
        fields.insert(name, timer.to_json());
    }
    if let Some(type_name) = fields.get("type").map(text_of)
        && args.flag("replacePlaybook").unwrap_or(false)
    {
        replace_playbook(step, &type_name);
    }
    let count = fields.len();
    match other_incident(step, args, "id") {
        Some(id) => step.effects.push(Effect::Edit(Edit::Set { incident: Some(id), fields })),
        None => step.set_fields(fields),
    }
    told(format!("{count} fields set"))
}

fn replace_playbook(step: &mut Step<'_>, type_name: &str) {
    let found = step
        .world
        .content
        .as_deref()
        .and_then(|content| content.incident_type(type_name))
        .and_then(|(_, found)| found.playbook.as_ref())
        .map(|name| name.value.clone());
    if let Some(name) = found.filter(|name| !name.is_empty()) {
        step.effects.push(Effect::Edit(Edit::Playbook { name }));
    }
}

/// The older script: a change of the type replaces the playbook unless it is told not to.
fn incident_set(step: &mut Step<'_>, frame: u32, task: u32, args: &Args) -> Result<Did, Failure> {
    let mut given: Map<String, Value> = args.all().clone();
    for name in ["customFieldName", "customFieldValue", "updatePlaybookForType", "stage"] {
        given.shift_remove(name);
    }
    if let (Some(name), Some(value)) = (args.some("customFieldName"), args.value("customFieldValue")) {
        given.insert(name, value.clone());
    }
    if let Some(stage) = args.value("stage") {
        given.insert("phase".to_owned(), stage.clone());
    }
    if args.flag("updatePlaybookForType").unwrap_or(true) {
        given.insert("replacePlaybook".to_owned(), Value::from("yes"));
    }
    if let Some(name) = args.some("playbook") {
        step.effects.push(Effect::Edit(Edit::Playbook { name }));
    }
    set_incident(step, frame, task, &Args::new(given))
}

fn one(step: &mut Step<'_>, name: &str, value: Value) -> Result<Did, Failure> {
    step.set_fields(Map::from_iter([(name.to_owned(), value)]));
    told(format!("{name} set"))
}

fn set_owner(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    one(step, "owner", Value::from(args.text("owner")))
}

fn set_stage(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    one(step, "phase", Value::from(args.text("stage")))
}

fn close(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let reason = args.some("closeReason").or_else(|| args.some("reason")).unwrap_or_default();
    let notes = args.some("closeNotes").or_else(|| args.some("notes")).unwrap_or_default();
    let known = ["id", "closereason", "closenotes", "reason", "notes"];
    let others: Map<String, Value> =
        args.all().iter().filter(|(name, _)| !known.contains(&name.to_lowercase().as_str())).map(|(name, value)| (name.clone(), value.clone())).collect();
    // What else the close form has.
    let fields = fields(step, &Args::new(others))?;
    match other_incident(step, args, "id") {
        Some(id) => {
            if !fields.is_empty() {
                step.effects.push(Effect::Edit(Edit::Set { incident: Some(id.clone()), fields }));
            }
            step.effects.push(Effect::Edit(Edit::Close { incident: Some(id), reason, notes }));
            told("the other incident is closed")
        }
        None => {
            step.set_fields(fields);
            Ok(Did::Close { reason, notes })
        }
    }
}

fn close_duplicate(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let this = step.run.incident_id().to_owned();
    step.effects.push(Effect::Edit(Edit::Link { action: "duplicate".to_owned(), incident: args.text("duplicateId"), others: vec![this] }));
    Ok(Did::Close { reason: "Duplicate".to_owned(), notes: format!("duplicate of {}", args.text("duplicateId")) })
}

fn reopen(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let incident = other_incident(step, args, "id");
    if incident.is_none()
        && let Value::Object(members) = &mut step.run.incident
    {
        members.insert("status".to_owned(), Value::from(1));
        members.shift_remove("closed");
    }
    step.effects.push(Effect::Edit(Edit::Reopen { incident }));
    told("the incident is open again")
}

fn link(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let action = args.some("action").unwrap_or_else(|| "link".to_owned()).to_lowercase();
    if !["link", "unlink", "duplicate"].contains(&action.as_str()) {
        return Err(wrong("`action` is link, unlink or duplicate"));
    }
    let incident = args.some("incidentId").unwrap_or_else(|| step.run.incident_id().to_owned());
    let others = args.texts("linkedIncidentIDs");
    let (count, own) = (others.len(), step.run.incident_id().to_owned());
    step.effects.push(Effect::Edit(Edit::Link { action: action.clone(), incident, others: others.clone() }));
    if action == "duplicate" {
        for other in others.into_iter().filter(|other| *other != own) {
            step.effects.push(Effect::Edit(Edit::Close { incident: Some(other), reason: "Duplicate".to_owned(), notes: String::new() }));
        }
    }
    told(format!("{action}: {count} incidents"))
}

fn create(step: &mut Step<'_>, frame: u32, task: u32, args: &Args) -> Result<Did, Failure> {
    let mut fields = fields(step, args)?;
    fields.entry("name".to_owned()).or_insert_with(|| Value::from("incident of a playbook"));
    let attempt = step.run.task(frame, task).map_or(0, |task| task.attempt);
    let id = hash(&[b"incident", step.run.id.as_bytes(), &frame.to_be_bytes(), &task.to_be_bytes(), &attempt.to_be_bytes()]);
    step.effects.push(Effect::Edit(Edit::Create { id: id.clone(), fields }));
    let context = Map::from_iter([("CreatedIncidentID".to_owned(), Value::from(id.clone()))]);
    Ok(Did::Done(Output { context, contents: Value::from(id), readable: "an incident was created".to_owned(), poll: None }))
}

/// Gives the incident to somebody: by name, by address, or to one of those with a role. Which
/// one follows from the run, so that the same run always chooses alike.
fn assign(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    if let Some(name) = args.some("username") {
        return one(step, "owner", Value::from(name));
    }
    let (roles, email, on_call) = (args.texts("roles"), args.some("email"), args.flag("onCall").unwrap_or(false));
    let online = args.text("assignBy") == "online";
    let fits = |user: &&crate::respond::world::User| {
        email.as_ref().is_none_or(|email| user.email.eq_ignore_ascii_case(email))
            && (roles.is_empty() || user.roles.iter().any(|role| roles.contains(role)))
            && (!on_call || user.on_call)
            && (!online || user.online)
    };
    let found: Vec<&str> = step.world.users.iter().filter(fits).map(|user| user.name.as_str()).collect();
    let seed = step.run.id.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
    match found.get(seed.checked_rem(found.len()).unwrap_or(0)) {
        Some(name) => {
            let name = (*name).to_owned();
            one(step, "owner", Value::from(name))
        }
        // As in the product: nobody fits, and the way goes on.
        None => told("nobody fits: the incident keeps its owner"),
    }
}

/// A table of the context into a grid field.
fn grid(step: &mut Step<'_>, frame: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let path = crate::expr::xsoar::path::Dt::plain(&args.text("context_path"));
    let budget = crate::expr::xsoar::fault::Budget::default();
    let items = path.items(step.context_of(frame), &budget).map_err(|fault| wrong(fault.to_string()))?;
    let columns: Vec<String> = args.texts("columns").iter().map(|column| normalise(column)).collect();
    let keys = args.texts("keys");
    let every = keys.is_empty() || keys.iter().any(|key| key == "*");
    let mut rows: Vec<Value> = Vec::new();
    for item in items {
        let values: Vec<Value> = match item {
            Value::Object(members) if every => members.into_iter().map(|(_, value)| value).collect(),
            Value::Object(members) => keys.iter().map(|key| members.get(key).cloned().unwrap_or(Value::Null)).collect(),
            scalar => vec![scalar],
        };
        rows.push(Value::Object(columns.iter().cloned().zip(values).collect()));
    }
    let name = step.field_name(&args.text("grid_id"));
    if !args.flag("overwrite").unwrap_or(false)
        && let Some(Value::Array(old)) = step.run.incident.get(&name)
    {
        rows = old.iter().cloned().chain(rows).collect();
    }
    if let Some(column) = args.some("sort_by").map(|column| normalise(&column)) {
        rows.sort_by_key(|row| row.get(&column).map(text_of).unwrap_or_default());
    }
    one(step, &name, Value::Array(rows))
}
