//! Owns what packs make of one event, step by step: type, fields, labels, verdict of the rules.
//! It is obviously right and slow: content tests run on it, and the engine is held equal to it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::expr::xsoar::env::Env;
use crate::expr::xsoar::evaluate::passes;
use crate::expr::xsoar::external::Processes;
use crate::expr::xsoar::model::Place;
use crate::expr::xsoar::prepare::{Mode, Options, prepare, prepare_tests};
use crate::expr::xsoar::prepared::{Prepared, PreparedTests};
use crate::expr::xsoar::value::text_of;

use super::classifier::Classifier;
use super::expressions::prepared;
use super::field::FieldType;
use super::mapper::{Mapper, Section};
use super::preprocess::{Action, LinkTo, PreprocessRule};
use super::value::{convert, severity};
use super::{Body, Content, Kind, Target};

/// The type of incidents that nothing else names.
pub const UNCLASSIFIED: &str = "Unclassified";

/// What an event became.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Made {
    /// Its type.
    pub type_name: String,
    /// Fields by cliName or system name, in the order in which they were mapped.
    pub fields: Map<String, Value>,
    /// Attribute → text.
    pub labels: Map<String, Value>,
    /// Fields whose expression failed or gave what the field cannot hold.
    pub errors: Vec<String>,
}

/// A classifier and a mapper, ready for events.
pub struct Maker<'c> {
    content: &'c Content,
    classify: Option<(&'c Classifier, Prepared)>,
    sections: Vec<(&'c Section, Vec<Field>)>,
    scripts: Processes,
}

struct Field {
    name: String,
    kind: FieldType,
    value: Prepared,
}

impl<'c> Maker<'c> {
    /// Prepares.
    pub fn new(content: &'c Content, classifier: Option<&'c Classifier>, mapper: Option<&'c Mapper>) -> Maker<'c> {
        let classify = classifier.map(|classifier| (classifier, prepared(content, &classifier.key.argument, Place::Event).0));
        let sections = mapper.iter().flat_map(|mapper| &mapper.sections).map(|section| (section, fields(content, section))).collect();
        Maker { content, classify, sections, scripts: Processes::new(content.scripts.clone()) }
    }

    /// What becomes of an event; `fallback` is its type where the classifier knows none. `now_us` is the
    /// time that `now` means in expressions.
    pub fn make(&self, event: &Value, fallback: Option<&str>, now_us: Option<i64>) -> Made {
        let lists = |name: &str| list(self.content, name);
        let env = Env { lists: Some(&lists), now_us, scripts: Some(&self.scripts), ..Env::new(event) };
        let mut made = Made { type_name: self.type_of(&env, fallback), ..Made::default() };
        let own =
            self.sections.iter().find(|(section, _)| section.target.as_ref().is_some_and(|target| self.content.type_name(&target.value) == made.type_name));
        let common = self.sections.iter().find(|(section, _)| section.target.is_none());
        let own_names: Vec<&str> = own.iter().flat_map(|(_, fields)| fields).map(|field| field.name.as_str()).collect();
        let inherited = common.iter().flat_map(|(_, fields)| fields).filter(|field| !own_names.contains(&field.name.as_str()));
        for field in inherited.chain(own.iter().flat_map(|(_, fields)| fields)) {
            env.budget.renew();
            let value = field.value.evaluate(&env);
            match value.ok().map(|value| if field.name == "severity" { severity(value) } else { convert(field.kind, value) }) {
                Some(Ok(Some(value))) => {
                    made.fields.insert(field.name.clone(), value);
                }
                Some(Ok(None)) => {}
                Some(Err(_)) | None => made.errors.push(field.name.clone()),
            }
        }
        let mapped = !self.sections.is_empty();
        if own.or(common).map_or(mapped, |(section, _)| section.labels) {
            made.labels = labels(event);
        }
        made
    }

    fn type_of(&self, env: &Env<'_>, fallback: Option<&str>) -> String {
        let found = self.classify.as_ref().and_then(|(classifier, key)| {
            let key = key.evaluate(env).unwrap_or(Value::Null);
            let key = match key {
                Value::Array(items) => items.into_iter().next().unwrap_or(Value::Null),
                other => other,
            };
            let text = (!key.is_null()).then(|| text_of(&key));
            let hit = text.and_then(|text| classifier.types.iter().find(|(value, _)| value.value == text).map(|(_, name)| name));
            hit.or(classifier.default_type.as_ref()).map(|name| self.content.type_name(&name.value).to_owned())
        });
        found.or_else(|| fallback.map(str::to_owned)).unwrap_or_else(|| default_type(self.content))
    }
}

/// The type that is marked as the default one.
pub fn default_type(content: &Content) -> String {
    let marked =
        content.of_kind(Kind::IncidentType).filter(|item| content.in_window(item)).find(|item| matches!(&item.body, Some(Body::Type(found)) if found.default));
    marked.map_or_else(|| UNCLASSIFIED.to_owned(), |item| item.head.name.clone())
}

/// The text of a list, or its value if it is JSON.
pub fn list(content: &Content, name: &str) -> Option<Value> {
    let (_, list) = content.list(name)?;
    let walkable = if list.json { serde_json::from_str(&list.data).ok() } else { None };
    Some(walkable.unwrap_or_else(|| Value::String(list.data.clone())))
}

fn fields(content: &Content, section: &Section) -> Vec<Field> {
    let mut found: Vec<Field> = Vec::new();
    for entry in section.entries.iter().filter(|entry| !entry.value.argument.is_blank()) {
        let (name, kind) = match content.target(&entry.field.value) {
            Target::System(system) if system.mappable => (system.name.to_owned(), system.kind),
            Target::System(_) => continue,
            Target::Custom(field) => (field.cli_name.clone(), field.kind),
            Target::Unknown(name) => (name, FieldType::Internal),
        };
        let (value, _) = prepared(content, &entry.value.argument, Place::Event);
        // Two spellings of one field: the later entry counts.
        found.retain(|known| known.name != name);
        found.push(Field { name, kind, value });
    }
    found
}

/// Every top-level attribute as a text.
fn labels(event: &Value) -> Map<String, Value> {
    let Value::Object(members) = event else { return Map::new() };
    let text = |value: &Value| match value {
        Value::Array(_) | Value::Object(_) => value.to_string(),
        other => text_of(other),
    };
    members.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.clone(), Value::String(text(value)))).collect()
}

/// What the rules say about a new incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// No rule applies, or one that needs an earlier incident finds none: it is created.
    Created,
    /// By the rule of this id.
    By {
        /// The rule.
        rule: String,
        /// What it does.
        action: Action,
        /// The earlier incident, by its number.
        existing: Option<usize>,
    },
    /// The rule of this id asks a script, which is not run here.
    NeedsScript(String),
}

/// An earlier incident.
#[derive(Debug, Clone)]
pub struct Earlier {
    /// As rules see it.
    pub view: Value,
    /// When it was created, in milliseconds.
    pub created_ms: i64,
    /// It is closed.
    pub closed: bool,
}

/// Rules in their order, and the incidents that they compare with.
pub struct Rules<'c> {
    rules: Vec<Ready<'c>>,
    /// Created incidents, oldest first.
    pub earlier: Vec<Earlier>,
}

struct Ready<'c> {
    id: &'c str,
    rule: &'c PreprocessRule,
    new: PreparedTests,
    existing: Existing,
}

/// Conditions on an earlier incident: their right sides are settled by the new one first.
struct Existing(Vec<Vec<(PreparedTests, Option<Prepared>)>>);

impl<'c> Rules<'c> {
    /// Enabled rules among `chosen`, lower index first.
    pub fn new(chosen: impl IntoIterator<Item = (&'c str, &'c PreprocessRule)>) -> Rules<'c> {
        let mut rules: Vec<Ready<'c>> = chosen
            .into_iter()
            .filter(|(_, rule)| rule.enabled)
            .map(|(id, rule)| Ready {
                id,
                rule,
                new: prepare_tests(&on_incident(&rule.new.tests), Mode::Condition, &Options::default()).0,
                existing: Existing::new(&on_incident(&rule.existing.tests)),
            })
            .collect();
        rules.sort_by_key(|ready| ready.rule.index);
        Rules { rules, earlier: Vec::new() }
    }

    /// The first rule that matches is the only one that counts; a created incident is remembered.
    pub fn decide(&mut self, made: &Made, now_ms: i64) -> Ruling {
        let view = view(made);
        let ruling = self.ruling(&view, now_ms);
        let closed = matches!(&ruling, Ruling::By { action: Action::Close | Action::LinkAndClose, .. });
        let created = !matches!(&ruling, Ruling::By { action: Action::Drop | Action::DropAndUpdate, .. });
        if created {
            self.earlier.push(Earlier { view, created_ms: now_ms, closed });
        }
        ruling
    }

    fn ruling(&self, view: &Value, now_ms: i64) -> Ruling {
        let env = Env::new(view);
        for ready in &self.rules {
            env.budget.renew();
            if !passes(&ready.new, None, &env).unwrap_or(false) {
                continue;
            }
            let rule = ready.rule;
            if rule.action == Action::Script {
                return Ruling::NeedsScript(ready.id.to_owned());
            }
            if !rule.action.needs_existing() {
                return Ruling::By { rule: ready.id.to_owned(), action: rule.action, existing: None };
            }
            let fits = |earlier: &Earlier| {
                (rule.search_closed || !earlier.closed)
                    && rule.period_ms.is_none_or(|period| now_ms.saturating_sub(earlier.created_ms) <= period)
                    && ready.existing.holds(view, &earlier.view)
            };
            let mut fitting = self.earlier.iter().enumerate().filter(|(_, earlier)| fits(earlier)).map(|(number, _)| number);
            let existing = if rule.link_to == LinkTo::Oldest { fitting.next() } else { fitting.next_back() };
            return match existing {
                Some(_) => Ruling::By { rule: ready.id.to_owned(), action: rule.action, existing },
                None => Ruling::Created,
            };
        }
        Ruling::Created
    }
}

impl Existing {
    fn new(tests: &crate::expr::xsoar::model::Tests) -> Existing {
        let one = |test: &crate::expr::xsoar::model::Test| {
            let right = test.right.as_ref().map(|right| {
                let place = if right.from_context { Place::Context } else { Place::Text };
                prepare(&right.value, place, &Options::default()).0
            });
            // The right side is put in as a constant when it is known.
            let mut left_only = test.clone();
            left_only.right = test.right.as_ref().map(|_| crate::expr::xsoar::model::Operand::path("__right"));
            (prepare_tests(&vec![vec![left_only]], Mode::Condition, &Options::default()).0, right)
        };
        Existing(tests.iter().map(|group| group.iter().map(one).collect()).collect())
    }

    fn holds(&self, new: &Value, earlier: &Value) -> bool {
        let new_env = Env::new(new);
        self.0.iter().all(|group| {
            group.is_empty()
                || group.iter().any(|(tests, right)| {
                    let mut context = earlier.clone();
                    let right = right.as_ref().map_or(Ok(Value::Null), |right| right.evaluate(&new_env));
                    let (Ok(right), Value::Object(members)) = (right, &mut context) else { return false };
                    members.insert("__right".to_owned(), right);
                    passes(tests, None, &Env::new(&context)).unwrap_or(false)
                })
        })
    }
}

/// Left sides of rules are fields: paths of the incident, whatever `isContext` says.
fn on_incident(tests: &crate::expr::xsoar::model::Tests) -> crate::expr::xsoar::model::Tests {
    use crate::expr::xsoar::model::{Argument, Operand};
    let mut tests = tests.clone();
    for test in tests.iter_mut().flatten() {
        if let Argument::Simple(name) = &test.left.value {
            test.left = Operand::path(super::check::rule_field(name));
        }
    }
    tests
}

/// The incident as rules see it: fields, `type`, `labels`.
fn view(made: &Made) -> Value {
    let mut members: BTreeMap<String, Value> = made.fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    members.insert("type".to_owned(), Value::String(made.type_name.clone()));
    members.insert("labels".to_owned(), Value::Object(made.labels.clone()));
    Value::Object(members.into_iter().collect())
}
