//! What rules need of a plan: their conditions typed, the incident fields that they read as columns, and
//! where the values come from that they match on.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::build::{Builder, Fields, Parts};
use super::family::Families;
use super::fields::{How, typed};
use super::scope::{FieldInfo, RuleScope, WhereScope};
use super::source::{PathNumbers, output};
use super::{FieldColumn, From, MatchValue, RuleField, Spread};
use crate::config::Diagnostic;
use crate::config::model;
use crate::expr::convert::convert;
use crate::expr::path::Path;
use crate::expr::typed::{Op, Source, Typed};
use crate::expr::value::Type;

impl Builder<'_> {
    /// Types the conditions of rules.
    #[allow(clippy::type_complexity)]
    pub(super) fn rules(&mut self, known: &BTreeMap<String, FieldInfo>) -> (Vec<Option<Typed>>, Vec<Option<Typed>>) {
        let mut whens = Vec::new();
        let mut wheres = Vec::new();
        for rule in &self.pipeline.preprocess.rules {
            let scope = RuleScope { tables: &self.tables, fields: known };
            whens.push(rule.when.as_ref().and_then(|when| typed(when, &scope, Some(Type::Boolean), self.diagnostics)));
            let names: Vec<&str> = known.keys().map(String::as_str).collect();
            for field in rule.matches.iter().filter(|field| !known.contains_key(&field.value)) {
                let hint = crate::config::suggest::hint(&field.value, &names).unwrap_or_else(|| "map it first: match compares incident fields".to_owned());
                self.diagnostics.push(Diagnostic::error("unknown-field", format!("no incident has a field `{}`", field.value)).at(field.span).hint(hint));
            }
            wheres.push(rule.where_.as_ref().and_then(|text| {
                let condition = typed(text, &WhereScope(scope), Some(Type::Boolean), self.diagnostics)?;
                let reads_event = condition.inputs().iter().any(|(source, _)| !matches!(source, Source::New(_) | Source::Existing(_)));
                if reads_event {
                    let diagnostic = Diagnostic::error("bad-expression", "`where` compares two incidents: it cannot read the event or its record");
                    self.diagnostics.push(diagnostic.at(text.span).hint("map what it needs to a field, and write new.field and existing.field"));
                }
                Some(condition)
            }));
        }
        self.check_keyed_by(known);
        (whens, wheres)
    }

    /// Rules remember per input partition: what repeats must come in on one partition.
    fn check_keyed_by(&mut self, known: &BTreeMap<String, FieldInfo>) {
        if self.pipeline.preprocess.scope == model::Scope::Process {
            return;
        }
        let mut rules: Vec<&model::Rule> = Vec::new();
        let mut keys: Vec<String> = Vec::new();
        for rule in self.pipeline.preprocess.rules.iter().filter(|rule| !rule.matches.is_empty()) {
            for source in &self.pipeline.sources {
                let reads = |field: &str, path: &Path| match known.get(field) {
                    Some(FieldInfo::Path(p)) => p == path,
                    _ => self.pipeline.map.iter().chain(&source.map).flat_map(|section| &section.fields).any(|(name, text)| {
                        let mut hit = false;
                        text.expr.visit(&mut |e| hit |= matches!(&e.node, crate::expr::ast::Node::Path { path: p, .. } if p == path));
                        name.value == field && hit
                    }),
                };
                for key in source.keyed_by.iter().filter(|key| !rule.matches.iter().any(|field| reads(&field.value, &key.value))) {
                    let key = format!("{} ({})", source.name.value, key.value);
                    if !keys.contains(&key) {
                        keys.push(key);
                    }
                    if !rules.iter().any(|known| known.name.value == rule.name.value) {
                        rules.push(rule);
                    }
                }
            }
        }
        let Some(first) = rules.first() else { return };
        let names: Vec<&str> = rules.iter().map(|rule| rule.name.value.as_str()).collect();
        let message = format!("these rules do not match on what all sources are keyed by: {}; the sources: {}", names.join(", "), keys.join(", "));
        self.diagnostics.push(Diagnostic::warning("partitioned-rule", message).at(first.name.span).hint(
            "each partition remembers for itself, so repeats on different partitions do not meet: match on the key too, or use scope: process and one member",
        ));
    }

    /// Incident fields that some rule reads as a column, with the column's type.
    pub(super) fn rule_field_names(&self, parts: &Parts) -> BTreeMap<Arc<str>, Type> {
        let mut names = BTreeMap::new();
        let mut add = |name: &str| {
            let ty = match parts.known.get(name) {
                Some(FieldInfo::Typed(ty)) => *ty,
                _ => Type::Text,
            };
            names.insert(Arc::<str>::from(name), ty);
        };
        for (source, _) in parts.whens.iter().chain(&parts.wheres).flatten().flat_map(Typed::inputs) {
            match source {
                Source::Field(name) | Source::New(name) | Source::Existing(name) => add(&name),
                _ => {}
            }
        }
        for field in self.pipeline.preprocess.rules.iter().flat_map(|rule| &rule.matches) {
            if matches!(parts.known.get(&field.value), Some(FieldInfo::Typed(_))) {
                add(&field.value);
            }
        }
        names
    }

    /// A definition as the type that rules see.
    pub(super) fn for_rules(&self, typed: &Typed, ty: Type) -> Typed {
        if typed.ty == ty {
            return typed.clone();
        }
        match &typed.op {
            Op::Input(source) if source.is_dynamic() && matches!(ty, Type::Text | Type::Number | Type::Boolean) => Typed { ty, ..typed.clone() },
            Op::Constant(constant) if constant.0.is_null() => Typed { ty, ..typed.clone() },
            _ => convert(typed.clone(), ty, false),
        }
    }

    /// Incident fields as columns, for rules. `in_rules`: those that some rule reads.
    pub(super) fn rule_fields(
        &self,
        fields: &Fields,
        parts: &Parts,
        in_rules: &BTreeMap<Arc<str>, Type>,
        families: &Families,
        paths: &mut PathNumbers,
        star: &mut Vec<Typed>,
    ) -> Vec<RuleField> {
        let mut rule_fields: Vec<RuleField> = Vec::new();
        let mut names: Vec<(&str, Type)> = in_rules.iter().map(|(name, ty)| (&**name, *ty)).collect();
        if self.pipeline.clock.kind == model::ClockKind::Occurred && !names.iter().any(|(name, _)| *name == "occurred") {
            names.push(("occurred", Type::Time));
        }
        for (name, ty) in names {
            let mut spread = Spread::default();
            if let Some(definition) = fields.star.iter().find(|d| &*d.name == name) {
                spread.star = Some(if name == "occurred" && definition.how == How::Computed {
                    From::Occurred
                } else {
                    From::Star(output(star, &self.for_rules(&definition.typed, ty)))
                });
            }
            for (code, overrides) in &fields.types {
                if let Some(definition) = overrides.iter().find(|d| &*d.name == name) {
                    let typed = self.for_rules(&definition.typed, ty);
                    spread.types.extend(families.place(&typed, *code).map(|from| (*code, from)));
                }
            }
            let column = match (name, parts.known.get(name)) {
                ("type", _) => FieldColumn::TypeName,
                ("tenant", _) => FieldColumn::Tenant,
                ("created", _) => FieldColumn::Created,
                ("occurred", _) => FieldColumn::Occurred(spread),
                ("severity", _) => FieldColumn::Severity(spread),
                (_, Some(FieldInfo::Path(path))) => FieldColumn::Path(paths.number(path)),
                _ => FieldColumn::Spread(spread),
            };
            rule_fields.push(RuleField { name: name.into(), ty, column });
        }
        rule_fields
    }

    /// Per rule: where each match field's value comes from.
    pub(super) fn matches(&self, parts: &Parts, rule_fields: &[RuleField], paths: &mut PathNumbers) -> Vec<Vec<MatchValue>> {
        let mut matches = Vec::new();
        for rule in &self.pipeline.preprocess.rules {
            let values = rule.matches.iter().filter_map(|field| match parts.known.get(&field.value) {
                Some(FieldInfo::Path(path)) => Some(MatchValue::Slot(paths.number(path))),
                _ => number_of(rule_fields, &field.value).map(MatchValue::Field),
            });
            matches.push(values.collect());
        }
        matches
    }
}

/// The fields that `where` reads of the new and the existing incident: numbers in `rule_fields`.
pub(super) fn where_fields(parts: &Parts, rule_fields: &[RuleField]) -> Vec<usize> {
    let mut where_fields = Vec::new();
    for (side, _) in parts.wheres.iter().flatten().flat_map(Typed::inputs) {
        if let Source::New(name) | Source::Existing(name) = side
            && let Some(number) = number_of(rule_fields, &name)
            && !where_fields.contains(&number)
        {
            where_fields.push(number);
        }
    }
    where_fields
}

fn number_of(rule_fields: &[RuleField], name: &str) -> Option<usize> {
    rule_fields.iter().position(|field| &*field.name == name)
}
