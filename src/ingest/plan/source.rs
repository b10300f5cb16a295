//! One source of a pipeline → its [`SourcePlan`]: what is equal is computed once, and every path has a
//! number. Numbers are given in the order of first use, so the order of the steps is part of the plan.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::error::DataFusionError;

use super::build::{Builder, Fields, Parts};
use super::family::Families;
use super::fields::{Definition, How};
use super::imported;
use super::rules::where_fields;
use super::{From, Layout, OutField, Section, SourcePlan};
use crate::config::model;
use crate::expr::path::Path;
use crate::expr::reference::{NoRow, evaluate};
use crate::expr::typed::{Source, Typed};
use crate::expr::value::Type;
use crate::ingest::computed::Computed;
use crate::ingest::conditions::Conditions;
use crate::ingest::decode::{Shape, ShapeOptions};
use crate::ingest::phase::{Inputs, Phase};

impl Builder<'_> {
    /// Plans a source.
    pub(super) fn source(&self, source: &model::Source, fields: &Fields, parts: &Parts) -> Result<SourcePlan, DataFusionError> {
        let mut paths = PathNumbers::default();
        // Outputs over all classified rows; equal ones once.
        let mut star: Vec<Typed> = Vec::new();
        let tenant = parts.tenant.as_ref().map(|typed| output(&mut star, typed));
        let in_rules = self.rule_field_names(parts);
        let own = self.own_outputs(fields, &in_rules);
        let families = Families::new(own.iter().map(|(code, own)| (*code, own.as_slice())), &mut |path| paths.number(path))?;
        let layouts = self.layouts(source, fields, &families, &mut paths, &mut star);
        let rule_fields = self.rule_fields(fields, parts, &in_rules, &families, &mut paths, &mut star);
        let matches = self.matches(parts, &rule_fields, &mut paths);
        let where_fields = where_fields(parts, &rule_fields);
        let (conditions, rule_outputs) = rule_conditions(&parts.whens);

        let plan = |outputs: &[Typed]| Phase::new(outputs, &self.session);
        let occurred = fields.star.iter().find(|d| &*d.name == "occurred");
        let occurred: Vec<Typed> = occurred.filter(|d| d.how == How::Computed).map(|d| (*d.typed).clone()).into_iter().collect();
        let mut filter = Conditions::new(&parts.filters, &self.session)?;
        let mut classify = Conditions::new(&parts.classify, &self.session)?;
        let mut key = plan(&parts.key.clone().into_iter().collect::<Vec<_>>())?;
        let imported_key = fields.imported.key.iter().map(|path| Typed::input(Source::Event(path.clone()), Type::Text));
        let mut imported_key = plan(&imported_key.collect::<Vec<_>>())?;
        let mut arrival = plan(&parts.arrival.clone().into_iter().collect::<Vec<_>>())?;
        let mut occurred = plan(&occurred)?;
        let mut star = plan(&star)?;
        let mut rules = plan(&conditions)?;
        let Families { sections, by_type, .. } = families;
        let mut sections =
            sections.into_iter().map(|(types, outputs)| Ok(Section { types, phase: plan(&outputs)? })).collect::<Result<Vec<_>, DataFusionError>>()?;
        let mut inputs = Inputs::default();
        let mut number = |path: &Path| paths.number(path);
        for phase in [&mut key, &mut imported_key, &mut arrival, &mut occurred, &mut star, &mut rules]
            .into_iter()
            .chain(sections.iter_mut().map(|section| &mut section.phase))
        {
            inputs.bind(phase, &mut number);
        }
        filter.bind(&mut inputs, &mut number);
        classify.bind(&mut inputs, &mut number);
        let (computed, imported_table, imported_default) = self.imported(source, fields, parts, &mut number);
        let top_level = self.pipeline.sink.labels != model::Labels::None;
        let explode = source.explode.as_ref().map(|path| path.value.clone());
        let shape = Shape::new(&paths.paths, ShapeOptions { top_level, explode });
        Ok(SourcePlan {
            name: source.name.value.as_str().into(),
            topics: source
                .topics
                .iter()
                .filter_map(|topic| match &topic.value {
                    model::Topic::Name(name) => Some(name.as_str().into()),
                    model::Topic::Pattern(_) => None,
                })
                .collect(),
            path_numbers: paths.paths.iter().cloned().enumerate().map(|(n, p)| (p, n)).collect(),
            paths: paths.paths,
            inputs,
            shape: Arc::new(shape),
            filter,
            classify,
            key,
            rule_types: self.pipeline.classify.rules.iter().map(|r| self.code(&r.type_name.value)).collect(),
            table: self.pipeline.classify.types.iter().map(|(key, ty)| (key.value.as_str().into(), self.code(&ty.value))).collect(),
            imported_key,
            imported_table,
            imported_default,
            imported_written: imported::classifier(self.pipeline, source).and_then(|found| fields.imported.written_key(found)),
            computed,
            arrival,
            occurred,
            star,
            tenant,
            sections,
            by_type,
            layouts,
            rule_fields,
            rules,
            rule_outputs,
            matches,
            where_fields,
        })
    }

    /// What types compute for themselves. `in_rules`: fields that rules read as columns.
    fn own_outputs(&self, fields: &Fields, in_rules: &BTreeMap<Arc<str>, Type>) -> BTreeMap<u16, Vec<Typed>> {
        let mut own: BTreeMap<u16, Vec<Typed>> = BTreeMap::new();
        for (code, overrides) in &fields.types {
            let own = own.entry(*code).or_default();
            for definition in overrides {
                if definition.how == How::Computed {
                    output(own, &definition.typed);
                }
                if let Some(ty) = in_rules.get(&*definition.name) {
                    output(own, &self.for_rules(&definition.typed, *ty));
                }
            }
        }
        own
    }

    /// What incidents of each type are made of.
    fn layouts(&self, source: &model::Source, fields: &Fields, families: &Families, paths: &mut PathNumbers, star: &mut Vec<Typed>) -> Vec<Layout> {
        let mut layouts = Vec::new();
        for code in 0..self.types.len() as u16 {
            let mut merged: Vec<(&Definition, bool)> = fields.star.iter().map(|d| (d, false)).collect();
            for definition in fields.types.get(&code).into_iter().flatten() {
                match merged.iter_mut().find(|(known, _)| known.name == definition.name) {
                    Some(known) => *known = (definition, true),
                    None => merged.push((definition, true)),
                }
            }
            let mut layout = Layout { labels: imported::labels(self.pipeline, source, &self.types[code as usize]), ..Layout::default() };
            for (definition, own) in merged {
                let from = match definition.splice(&mut |path| paths.number(path)) {
                    Some(splice) => splice,
                    None if own => families.place(&definition.typed, code).unwrap_or(From::Star(0)),
                    None if &*definition.name == "occurred" => From::Occurred,
                    None => From::Star(output(star, &definition.typed)),
                };
                let field = out_field(definition, from, &mut |path| paths.number(path));
                match &*definition.name {
                    "occurred" => layout.occurred = Some(field),
                    "severity" => layout.severity = Some(field),
                    _ => layout.fields.push(field),
                }
            }
            layouts.push(layout);
        }
        layouts
    }

    /// The columns that packs compute; what the classifier of a pack says: its table, and its default.
    fn imported(
        &self,
        source: &model::Source,
        fields: &Fields,
        parts: &Parts,
        number: &mut dyn FnMut(&Path) -> usize,
    ) -> (Computed, HashMap<Box<str>, u16>, Option<u16>) {
        let classifier = imported::classifier(self.pipeline, source);
        let table =
            |found: &model::XsoarClassify| found.types.iter().map(|(key, ty)| (key.as_str().into(), self.code(&ty.value))).collect::<HashMap<Box<str>, u16>>();
        let imported_table = classifier.map(table).unwrap_or_default();
        let default = match &self.pipeline.classify.default {
            model::ClassifyDefault::Type(name) => Some(self.code(&name.value)),
            _ => None,
        };
        let imported_default = classifier.and_then(|found| found.default.as_ref()).map(|name| self.code(&name.value));
        let alone = (classifier.is_some() && self.pipeline.classify.rules.is_empty() && parts.key.is_none())
            .then(|| (imported_table.clone(), imported_default.or(default)));
        let code = |name: &str| self.types.iter().position(|known| **known == *name).map(|code| code as u16);
        let computed = fields.imported.build(self.pipeline.content.clone(), number, &code, alone);
        (computed, imported_table, imported_default)
    }
}

/// Numbers of event paths, in the order in which they are first used.
#[derive(Default)]
pub(super) struct PathNumbers {
    paths: Vec<Path>,
    numbers: HashMap<Path, usize>,
}

impl PathNumbers {
    /// The number of a path, a new one where it has none yet.
    pub(super) fn number(&mut self, path: &Path) -> usize {
        if let Some(number) = self.numbers.get(path) {
            return *number;
        }
        let number = self.paths.len();
        self.paths.push(path.clone());
        self.numbers.insert(path.clone(), number);
        number
    }
}

/// The number of an output; equal ones are one.
pub(super) fn output(outputs: &mut Vec<Typed>, typed: &Typed) -> usize {
    outputs.iter().position(|known| known == typed).unwrap_or_else(|| {
        outputs.push(typed.clone());
        outputs.len() - 1
    })
}

/// The conditions of rules, and per rule which of them is its own.
fn rule_conditions(whens: &[Option<Typed>]) -> (Vec<Typed>, Vec<Option<usize>>) {
    let mut rule_outputs = Vec::new();
    let mut conditions = Vec::new();
    for when in whens {
        rule_outputs.push(when.as_ref().map(|when| {
            conditions.push(when.clone());
            conditions.len() - 1
        }));
    }
    (conditions, rule_outputs)
}

/// The paths that an expression reads, where it reads nothing else and does not fail where they are missing.
fn reads(typed: &Typed, number: &mut impl FnMut(&Path) -> usize) -> Option<Box<[usize]>> {
    let inputs = typed.inputs();
    let paths: Option<Vec<&Path>> = inputs.iter().map(|(source, _)| if let Source::Event(path) = source { Some(path) } else { None }).collect();
    let mut failed = false;
    evaluate(typed, &NoRow, &mut failed);
    paths.filter(|_| !failed).map(|paths| paths.into_iter().map(number).collect())
}

fn out_field(definition: &Definition, from: From, number: &mut impl FnMut(&Path) -> usize) -> OutField {
    let mut key = vec![b','];
    crate::incident::encode::push_string(&mut key, &definition.name);
    key.push(b':');
    OutField {
        name: definition.name.clone(),
        key: key.into(),
        from,
        ty: definition.typed.ty,
        required: definition.required,
        fallible: definition.reads_computed()
            || matches!(from, From::SpliceNumber(_) | From::SpliceInteger(_) | From::SpliceBoolean(_))
            || definition.typed.is_fallible(),
        reads: reads(&definition.typed, number),
        typed: definition.typed.clone(),
        text: definition.text.clone(),
        section: definition.section.clone(),
    }
}
