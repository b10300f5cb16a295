//! Owns the checks that span items: names that must lead somewhere. All are warnings: packs lean
//! on each other, and on what the product brings along.

use std::collections::BTreeMap;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::read::shortened;
use crate::config::source_map::{Span, Spanned};
use crate::config::suggest;

use super::argument::{Expression, OperatorUse};
use super::item::{Body, Item, Kind};
use super::names::{normalise, system_field};
use super::playbook::task::{Action, Automation, Command, Until};
use super::playbook::{Playbook, Task};
use super::{Content, Target, expressions};

/// Types of incidents that every server has.
const SYSTEM_TYPES: [&str; 21] = [
    "Unclassified",
    "Access",
    "Authentication",
    "C2Communication",
    "DoS",
    "Defacement",
    "Exfiltration",
    "Exploit",
    "Hunt",
    "Indicator Feed",
    "Job",
    "Lateral Movement",
    "Malware",
    "Network",
    "Phishing",
    "Policy Violation",
    "Reconnaissance",
    "Simulation",
    "UnknownBinary",
    "Vulnerability",
    "Vulnerability Handling",
];

/// Commands of the product itself.
const BUILTIN_COMMANDS: [&str; 41] = [
    "setIncident",
    "closeInvestigation",
    "appendIndicatorField",
    "createNewIncident",
    "removeIndicatorField",
    "extractIndicators",
    "setIndicator",
    "setIndicators",
    "createNewIndicator",
    "associateIndicatorToIncident",
    "associateIndicatorsToIncident",
    "deleteIndicators",
    "findIndicators",
    "linkIncidents",
    "excludeIndicators",
    "getList",
    "createList",
    "setList",
    "addToList",
    "removeFromList",
    "startTimer",
    "stopTimer",
    "pauseTimer",
    "resetTimer",
    "taskComplete",
    "taskAssign",
    "reopenInvestigation",
    "setOwner",
    "setStage",
    "setPlaybook",
    "delContext",
    "getEntry",
    "getUsers",
    "scheduleEntry",
    "print",
    "createNewRelationship",
    "createRelationship",
    "expireIndicators",
    "unExpireIndicators",
    "send-mail",
    "investigate",
];

/// Automations that every server has.
const STANDARD_SCRIPTS: [&str; 28] = [
    "Set",
    "Exists",
    "SetAndHandleEmpty",
    "Print",
    "AreValuesEqual",
    "SendEmail",
    "IncidentSet",
    "AssignAnalystToIncident",
    "CloseInvestigation",
    "GenerateInvestigationSummaryReport",
    "Sleep",
    "StringContains",
    "IsIPInRanges",
    "commentsToContext",
    "PrintErrorEntry",
    "FileReputation",
    "SetGridField",
    "StopScheduledTask",
    "DeleteContext",
    "FilterByList",
    "IsGreaterThan",
    "FindSimilarIncidents",
    "IsEmailAddressInternal",
    "AddEvidence",
    "CloseInvestigationAsDuplicate",
    "isError",
    "IsIntegrationAvailable",
    "ScheduleGenericPolling",
];

/// Reports what leads nowhere, item by item.
pub fn check(content: &Content, out: &mut Diagnostics) {
    for item in &content.items {
        let Some(body) = &item.body else { continue };
        let mut missing = Missing::default();
        references(content, item, body, &mut missing, out);
        missing.report(content, item, out);
        expressions::check(content, item, body, out);
    }
}

/// What an item names and nobody has: what it is → names with their first place.
#[derive(Default)]
struct Missing {
    found: BTreeMap<&'static str, Vec<(String, Span)>>,
}

impl Missing {
    fn add(&mut self, what: &'static str, name: &Spanned<String>) {
        let names = self.found.entry(what).or_default();
        if !names.iter().any(|(known, _)| *known == name.value) {
            names.push((name.value.clone(), name.span));
        }
    }

    /// A warning for each name, at its first place.
    fn report(self, content: &Content, item: &Item, out: &mut Diagnostics) {
        for (what, names) in self.found {
            let code = match what {
                "field" => "unknown-field",
                "incident type" => "unknown-type",
                "script" => "unknown-script",
                "command" => "unknown-command",
                _ => "dangling",
            };
            for (name, span) in names {
                let span = if span == Span::default() { content.place(item) } else { span };
                let own = content.type_name(&name);
                // Packs name their types with other capitals, too: the same type is meant.
                let (code, message) = if what == "incident type" && own != name {
                    ("other-spelling", format!("the incident type `{}` is `{}` in its own file, which counts", shortened(&name), shortened(own)))
                } else {
                    (code, format!("the {what} `{}` is not in these packs", shortened(&name)))
                };
                out.push(Diagnostic::warning(code, message).at(span));
            }
        }
    }
}

fn references(content: &Content, item: &Item, body: &Body, missing: &mut Missing, out: &mut Diagnostics) {
    let type_named = |name: &Spanned<String>, missing: &mut Missing| {
        if !name.value.is_empty() && content.incident_type(&name.value).is_none() && !SYSTEM_TYPES.contains(&name.value.as_str()) {
            missing.add("incident type", name);
        }
    };
    let script_named = |name: &Spanned<String>, missing: &mut Missing| {
        if !is_script(content, &name.value) {
            missing.add("script", name);
        }
    };
    let field_named = |name: &Spanned<String>, missing: &mut Missing| {
        if !is_field(content, &name.value) {
            missing.add("field", name);
        }
    };
    match body {
        Body::Classifier(classifier) if !classifier.feed => {
            classifier.types.iter().map(|(_, name)| name).chain(&classifier.default_type).for_each(|name| type_named(name, missing));
        }
        Body::Legacy(classifier, mapper) if !classifier.feed => {
            classifier.types.iter().map(|(_, name)| name).chain(&classifier.default_type).for_each(|name| type_named(name, missing));
            mapper_fields(content, mapper, missing, out);
        }
        Body::Mapper(mapper) if !mapper.feed => {
            mapper.sections.iter().filter_map(|section| section.target.as_ref()).for_each(|name| type_named(name, missing));
            if !mapper.outgoing {
                mapper_fields(content, mapper, missing, out);
            }
        }
        Body::Rule(rule) => {
            for atom in rule.new.tests.iter().chain(&rule.existing.tests).flatten() {
                if let crate::expr::xsoar::model::Argument::Simple(name) = &atom.left.value {
                    field_named(&Spanned::new(rule_field(name).to_owned(), rule.span), missing);
                }
            }
            rule.script.iter().for_each(|name| script_named(name, missing));
        }
        Body::Type(incident_type) => {
            if let Some(playbook) = incident_type.playbook.as_ref().filter(|name| content.playbook(&name.value).is_none()) {
                missing.add("playbook", playbook);
            }
            if let Some(layout) = incident_type.layout.as_ref().filter(|name| content.find(&[Kind::Layout], &name.value).is_none()) {
                missing.add("layout", layout);
            }
            incident_type.preprocess_script.iter().chain(&incident_type.closure_script).for_each(|name| script_named(name, missing));
        }
        Body::Field(field) if item.kind == Kind::IncidentField => {
            field.types.iter().filter(|name| !name.value.eq_ignore_ascii_case("all")).for_each(|name| type_named(name, missing));
            field.script.iter().chain(&field.breach_script).for_each(|name| script_named(name, missing));
        }
        Body::Layout(layout) => {
            if layout.group != "indicator" && !layout.views.iter().any(|view| view.kind.starts_with("indicators")) {
                layout.type_name.iter().for_each(|name| type_named(name, missing));
                let sections = layout.views.iter().flat_map(|view| &view.tabs).flat_map(|tab| &tab.sections);
                for section in sections {
                    section.fields.iter().for_each(|name| field_named(name, missing));
                    section.script.iter().for_each(|name| script_named(name, missing));
                }
            }
        }
        Body::Playbook(playbook) => playbook_names(content, playbook, missing),
        Body::Integration(integration) => {
            if let Some(id) = integration.classifier.as_ref().filter(|id| content.classifier(&id.value).is_none()) {
                missing.add("classifier", id);
            }
            if let Some(id) = integration.mapper_in.as_ref().filter(|id| content.mapper(&id.value).is_none()) {
                missing.add("mapper", id);
            }
            if let Some(id) = integration.mapper_out.as_ref().filter(|id| content.find(&[Kind::OutgoingMapper], &id.value).is_none()) {
                missing.add("mapper", id);
            }
        }
        Body::Classifier(_) | Body::Legacy(..) | Body::Mapper(_) | Body::Field(_) | Body::List(_) | Body::Script(_) => {}
    }
}

/// A rule's left side may be written as a context path, or in `${}`.
pub fn rule_field(name: &str) -> &str {
    let name = name.trim().trim_start_matches("${").trim_end_matches('}');
    name.strip_prefix("incident.").unwrap_or(name)
}

fn is_field(content: &Content, name: &str) -> bool {
    // `labels.Email/from` is a part of a field.
    let head = name.split('.').next().unwrap_or(name);
    system_field(name).is_some() || content.field(name).is_some() || system_field(head).is_some() || content.field(head).is_some()
}

fn is_script(content: &Content, name: &str) -> bool {
    content.find(&[Kind::Script], name).is_some()
        || expressions::is_operator(name)
        || STANDARD_SCRIPTS.contains(&name)
        || content.scripts.list.contains_key(name)
}

fn mapper_fields(content: &Content, mapper: &super::mapper::Mapper, missing: &mut Missing, out: &mut Diagnostics) {
    for entry in mapper.sections.iter().flat_map(|section| &section.entries) {
        match content.target(&entry.field.value) {
            Target::System(system) if !system.mappable => {
                let message = format!("`{}` cannot be mapped; the entry is passed over", shortened(&entry.field.value));
                out.push(Diagnostic::warning("not-mappable", message).at(entry.field.span).hint("the product sets this field itself"));
            }
            Target::Unknown(_) => missing.add("field", &entry.field),
            Target::System(_) | Target::Custom(_) => {}
        }
    }
}

fn playbook_names(content: &Content, playbook: &Playbook, missing: &mut Missing) {
    for task in &playbook.tasks {
        match &task.action {
            Action::Script(name) | Action::ConditionBy(Automation::Script(name)) if !is_script(content, &name.value) => missing.add("script", name),
            Action::Command(command) | Action::ConditionBy(Automation::Command(command)) if !is_command(content, command) => {
                missing.add("command", &command.name)
            }
            Action::Playbook(name) if content.playbook(&name.value).is_none() => missing.add("playbook", name),
            _ => {}
        }
        if let Some(Until::Says { script, .. }) = task.repeat.as_ref().map(|repeat| &repeat.until)
            && !is_script(content, &script.value)
        {
            missing.add("script", script);
        }
        fields_of(content, task, missing);
    }
}

fn fields_of(content: &Content, task: &Task, missing: &mut Missing) {
    let timers = task.timers.iter().map(|timer| &timer.field);
    for name in task.field_mapping.iter().map(|(name, _)| name).chain(timers) {
        if !is_field(content, &name.value) {
            missing.add("field", name);
        }
    }
}

/// Commands of brands that no pack here has are not looked for: connectors have them.
fn is_command(content: &Content, command: &Command) -> bool {
    let name = command.name.value.as_str();
    if BUILTIN_COMMANDS.contains(&name) {
        return true;
    }
    match &command.brand {
        Some(brand) if brand == "Builtin" => false,
        Some(brand) => match content.find(&[Kind::Integration], brand).and_then(|item| item.body.as_ref()) {
            Some(Body::Integration(integration)) => integration.commands.iter().any(|known| known.name == name),
            _ => true,
        },
        None => true,
    }
}

/// Says which name was most likely meant, for commands that look an item up.
pub fn nearest(content: &Content, kinds: &[Kind], name: &str) -> Option<String> {
    let of_kind = content.items.iter().filter(|item| kinds.contains(&item.kind));
    let names: Vec<&str> = of_kind.flat_map(|item| [item.head.id.as_str(), item.head.name.as_str()]).collect();
    let exact = names.iter().find(|known| normalise(known) == normalise(name));
    exact.copied().or_else(|| suggest::nearest(name, names)).map(str::to_owned)
}

/// All expressions of an item's body, each with what it is, in the order of the file.
pub fn expressions_of(body: &Body) -> Vec<(String, &Expression)> {
    let mut found = Vec::new();
    match body {
        Body::Classifier(classifier) => found.push(("key".to_owned(), &classifier.key)),
        Body::Legacy(classifier, mapper) => {
            found.push(("key".to_owned(), &classifier.key));
            entries_of(mapper, &mut found);
        }
        Body::Mapper(mapper) => entries_of(mapper, &mut found),
        Body::Playbook(playbook) => {
            found.extend(playbook.inputs.iter().map(|input| (format!("input {}", input.key.value), &input.value)));
            for task in &playbook.tasks {
                found.extend(task.arguments.iter().map(|(name, value)| (format!("{}.{}", task.id, name.value), value)));
                found.extend(task.field_mapping.iter().map(|(name, value)| (format!("{}.{}", task.id, name.value), value)));
            }
        }
        _ => {}
    }
    found
}

fn entries_of<'m>(mapper: &'m super::mapper::Mapper, found: &mut Vec<(String, &'m Expression)>) {
    for section in &mapper.sections {
        for entry in &section.entries {
            found.push((entry.field.value.clone(), &entry.value));
        }
    }
}

/// All operators that an item names.
pub fn operators_of(body: &Body) -> Vec<&OperatorUse> {
    let mut found: Vec<&OperatorUse> = expressions_of(body).into_iter().flat_map(|(_, expression)| &expression.operators).collect();
    match body {
        Body::Rule(rule) => found.extend(rule.new.operators.iter().chain(&rule.existing.operators)),
        Body::Playbook(playbook) => {
            for task in &playbook.tasks {
                if let Action::Condition(branches) = &task.action {
                    found.extend(branches.iter().flat_map(|branch| &branch.when.operators));
                }
                if let Some(Until::Holds(conditions)) = task.repeat.as_ref().map(|repeat| &repeat.until) {
                    found.extend(&conditions.operators);
                }
            }
        }
        _ => {}
    }
    found
}
