//! `config::Pipeline` → [`Plan`]: types every expression, numbers every path, plans
//! every phase. All mistakes are reported at once, into the pipeline's diagnostics.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::prelude::SessionContext;

use super::family::Families;
use super::fields::{Definition, How, declared_type, define, infos, merge, typed};
use super::imported::{self, Imported};
use super::scope::{EventScope, FieldInfo, RuleScope, Tables, WhereScope, warn_unmapped};
use super::*;
use crate::config::model::{self, Pipeline, Tenant};
use crate::config::{Diagnostic, Diagnostics};
use crate::expr::convert::convert;
use crate::expr::parse::parse_path;
use crate::expr::reference::{NoRow, evaluate};
use crate::expr::typed::{Op, Source};
use crate::ingest::decide;
use crate::ingest::decode::ShapeOptions;

/// What differs between running on Kafka and replaying files.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `replay`: the time of arrival is this path's, or the mapped `occurred`.
    pub arrival: Option<Arrival>,
}

/// Where the time of arrival comes from when there is no Kafka record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// The mapped `occurred`.
    Occurred,
    /// An event path.
    Path(String),
}

/// Compiles a pipeline. `None` if there are errors in `diagnostics` afterwards.
pub fn build(pipeline: &Pipeline, options: &Options, diagnostics: &mut Diagnostics) -> Option<Plan> {
    let session = SessionContext::new();
    let tables = Tables::new(&pipeline.lookups);
    let types: Vec<Arc<str>> = pipeline.classify.produced().iter().map(|name| name.value.as_str().into()).collect();
    let mut builder = Builder { pipeline, options, session, tables, types, diagnostics };
    let plan = builder.plan();
    if diagnostics.has_errors() { None } else { plan }
}

struct Builder<'a> {
    pipeline: &'a Pipeline,
    options: &'a Options,
    session: SessionContext,
    tables: Tables,
    types: Vec<Arc<str>>,
    diagnostics: &'a mut Diagnostics,
}

/// The fields of one source: those of `"*"`, and what each type overrides.
struct Fields {
    star: Vec<Definition>,
    types: BTreeMap<u16, Vec<Definition>>,
    imported: Imported,
}

impl Builder<'_> {
    fn plan(&mut self) -> Option<Plan> {
        let pipeline = self.pipeline;
        let event = EventScope { tables: &self.tables, occurred: false, mapped: false };
        let filters: Vec<_> = pipeline.filters.iter().map(|f| typed(&f.drop, &event, Some(Type::Boolean), self.diagnostics)).collect();
        let conditions: Vec<_> = pipeline.classify.rules.iter().map(|r| typed(&r.when, &event, Some(Type::Boolean), self.diagnostics)).collect();
        let key = pipeline.classify.key.as_ref().map(|key| typed(key, &event, Some(Type::Text), self.diagnostics));
        let tenant = match &pipeline.tenant {
            Tenant::Word(_) => None,
            Tenant::Expr(text) => Some(typed(text, &event, Some(Type::Text), self.diagnostics)),
        };
        let arrival = match &self.options.arrival {
            Some(Arrival::Path(path)) => match parse_path(path).map(|p| format!("parse_time({p})")).and_then(|text| crate::expr::parse::parse(&text)) {
                Ok(expr) => crate::expr::check::check(&expr, &event, Some(Type::Time)).0,
                Err(error) => {
                    self.diagnostics.push(Diagnostic::error("bad-arrival", format!("--arrival: {error}")).maybe_hint(error.hint));
                    None
                }
            },
            _ => None,
        };
        let per_source: Vec<Fields> = pipeline.sources.iter().map(|source| self.fields(source)).collect();
        let mut known = infos(per_source.iter().flat_map(|fields| fields.star.iter().chain(fields.types.values().flatten())));
        // A rule sees no more than the incident has: where some types do not map a field, the event's value does not stand for it.
        for (name, info) in &mut known {
            let always = per_source.iter().all(|fields| fields.star.iter().any(|definition| *definition.name == **name));
            if matches!(info, FieldInfo::Path(_)) && !always {
                *info = FieldInfo::Typed(Type::Text);
            }
        }
        // A field whose expression is wrong is a field all the same: one mistake, one message.
        for (name, _) in pipeline.map.iter().chain(pipeline.sources.iter().flat_map(|s| &s.map)).flat_map(|section| &section.fields) {
            known.entry(name.value.clone()).or_insert(FieldInfo::Typed(Type::Text));
        }
        // What is declared and never mapped can be named, and has no value.
        let unmapped: Vec<&str> = pipeline.schema.fields.iter().map(|spec| spec.name.as_str()).filter(|name| !known.contains_key(*name)).collect();
        for spec in &pipeline.schema.fields {
            known.entry(spec.name.clone()).or_insert(FieldInfo::Typed(declared_type(spec.kind)));
        }
        let (whens, wheres) = self.rules(&known);
        warn_unmapped(&pipeline.preprocess.rules, &unmapped, &whens, &wheres, self.diagnostics);
        if self.diagnostics.has_errors() {
            return None;
        }
        let filters = filters.into_iter().collect::<Option<Vec<_>>>()?;
        let classify = conditions.into_iter().collect::<Option<Vec<_>>>()?;
        let key = key.map_or(Some(None), |key| key.map(Some))?;
        let tenant = tenant.map_or(Some(None), |t| t.map(Some))?;
        let parts = Parts { filters, classify, key, tenant, arrival, whens, wheres, known };
        let mut sources = Vec::new();
        for (source, fields) in pipeline.sources.iter().zip(&per_source) {
            match self.source(source, fields, &parts) {
                Ok(plan) => sources.push(plan),
                Err(error) => {
                    // Typed expressions always plan; should one not, say which source and stop.
                    let message = format!("the expressions of source `{}` cannot be planned: {}", source.name.value, error.strip_backtrace());
                    self.diagnostics.push(Diagnostic::error("internal", message).at(source.name.span));
                    return None;
                }
            }
        }
        let rules = pipeline.preprocess.rules.iter().zip(&parts.wheres).map(|(rule, where_)| RulePlan {
            name: rule.name.value.as_str().into(),
            fields: rule.matches.iter().map(|field| field.value.as_str().into()).collect(),
            nulls: rule.nulls,
            where_: where_.clone(),
        });
        let default = match &pipeline.classify.default {
            model::ClassifyDefault::Type(name) => DefaultPlan::Type(self.code(&name.value)),
            other => DefaultPlan::from(other),
        };
        let reads_headers = sources.iter().any(reads_headers);
        let where_key = sources.first().map_or(0, where_key);
        Some(Plan {
            name: pipeline.name.value.as_str().into(),
            version: pipeline.version.as_str().into(),
            tenant: match &pipeline.tenant {
                Tenant::Word(word) => Some(word.as_str().into()),
                Tenant::Expr(_) => None,
            },
            types: self.types.clone(),
            filters: pipeline.filters.iter().map(|f| FilterPlan { name: f.name.value.as_str().into(), shadow: f.mode == model::RuleMode::Shadow }).collect(),
            default,
            rules: rules.collect(),
            decide: decide_spec::of(pipeline, where_key),
            max_skew_us: pipeline.clock.max_skew_ms.saturating_mul(1000),
            late_max_us: pipeline.clock.late_max_ms.saturating_mul(1000),
            by_occurred: pipeline.clock.kind == model::ClockKind::Occurred,
            labels: pipeline.sink.labels,
            raw: pipeline.sink.raw,
            sources,
            reads_headers,
            written: written(pipeline, &parts),
            tables: self.tables.clone(),
        })
    }

    fn code(&self, name: &str) -> u16 {
        self.types.iter().position(|t| &**t == name).unwrap_or_default() as u16
    }

    /// The definitions of a source: the pipeline's `"*"`, the source's `"*"`, then
    /// types, each later one overriding.
    fn fields(&mut self, source: &model::Source) -> Fields {
        let mut fields = Fields { star: Vec::new(), types: BTreeMap::new(), imported: imported::read(self.pipeline, source) };
        let label = |section: &model::MapSection| section.target.value.clone();
        let own = |section: &model::MapSection| format!("{} of source {}", section.target.value, source.name.value);
        // What the pipeline writes itself wins over what it takes from packs.
        let imported = std::mem::take(&mut fields.imported.sections);
        let sections = imported.iter().chain(&self.pipeline.map).map(|s| (s, label(s))).chain(source.map.iter().map(|s| (s, own(s))));
        for (section, label) in sections {
            let definitions = define(section, &label, &self.pipeline.schema, &self.tables, self.diagnostics);
            if section.target.value == "*" {
                merge(&mut fields.star, definitions);
            } else if let Some(code) = self.types.iter().position(|t| **t == *section.target.value) {
                merge(fields.types.entry(code as u16).or_default(), definitions);
            }
        }
        fields
    }

    /// Types the conditions of rules.
    #[allow(clippy::type_complexity)]
    fn rules(&mut self, known: &BTreeMap<String, FieldInfo>) -> (Vec<Option<Typed>>, Vec<Option<Typed>>) {
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

    fn source(&self, source: &model::Source, fields: &Fields, parts: &Parts) -> Result<SourcePlan, datafusion::error::DataFusionError> {
        let mut paths = PathNumbers::default();
        // Outputs over all classified rows; equal ones once.
        let mut star: Vec<Typed> = Vec::new();
        let occurred = fields.star.iter().find(|d| &*d.name == "occurred");
        let tenant = parts.tenant.as_ref().map(|typed| output(&mut star, typed));

        // What types compute for themselves.
        let mut own: BTreeMap<u16, Vec<Typed>> = BTreeMap::new();
        let fields_in_rules = self.rule_field_names(parts);
        for (code, overrides) in &fields.types {
            let own = own.entry(*code).or_default();
            for definition in overrides {
                if definition.how == How::Computed {
                    output(own, &definition.typed);
                }
                if let Some(ty) = fields_in_rules.get(&*definition.name) {
                    output(own, &self.for_rules(&definition.typed, *ty));
                }
            }
        }
        let families = Families::new(own.iter().map(|(code, own)| (*code, own.as_slice())), &mut |path| paths.number(path))?;

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
                    None => From::Star(output(&mut star, &definition.typed)),
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

        // Incident fields as columns, for rules.
        let mut rule_fields: Vec<RuleField> = Vec::new();
        let mut names: Vec<(&str, Type)> = fields_in_rules.iter().map(|(name, ty)| (&**name, *ty)).collect();
        if self.pipeline.clock.kind == model::ClockKind::Occurred && !names.iter().any(|(name, _)| *name == "occurred") {
            names.push(("occurred", Type::Time));
        }
        for (name, ty) in names {
            let mut spread = Spread::default();
            if let Some(definition) = fields.star.iter().find(|d| &*d.name == name) {
                spread.star = Some(if name == "occurred" && definition.how == How::Computed {
                    From::Occurred
                } else {
                    From::Star(output(&mut star, &self.for_rules(&definition.typed, ty)))
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
        let number_of = |name: &str| rule_fields.iter().position(|field| &*field.name == name);
        let mut matches = Vec::new();
        let mut where_fields = Vec::new();
        for (rule, where_) in self.pipeline.preprocess.rules.iter().zip(&parts.wheres) {
            let values = rule.matches.iter().filter_map(|field| match parts.known.get(&field.value) {
                Some(FieldInfo::Path(path)) => Some(MatchValue::Slot(paths.number(path))),
                _ => number_of(&field.value).map(MatchValue::Field),
            });
            matches.push(values.collect());
            for (side, _) in where_.iter().flat_map(Typed::inputs) {
                if let Source::New(name) | Source::Existing(name) = side
                    && let Some(number) = number_of(&name)
                    && !where_fields.contains(&number)
                {
                    where_fields.push(number);
                }
            }
        }
        let mut rule_outputs = Vec::new();
        let mut conditions = Vec::new();
        for when in &parts.whens {
            rule_outputs.push(when.as_ref().map(|when| {
                conditions.push(when.clone());
                conditions.len() - 1
            }));
        }

        let plan = |outputs: &[Typed]| Phase::new(outputs, &self.session);
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
        let mut sections = sections
            .into_iter()
            .map(|(types, outputs)| Ok(Section { types, phase: plan(&outputs)? }))
            .collect::<Result<Vec<_>, datafusion::error::DataFusionError>>()?;
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
        let computed = fields.imported.build(self.pipeline.content.clone(), &mut number, &code, alone);
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
            imported_written: classifier.and_then(|found| fields.imported.written_key(found)),
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

    /// Incident fields that some rule reads as a column, with the column's type.
    fn rule_field_names(&self, parts: &Parts) -> BTreeMap<Arc<str>, Type> {
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
    fn for_rules(&self, typed: &Typed, ty: Type) -> Typed {
        if typed.ty == ty {
            return typed.clone();
        }
        match &typed.op {
            Op::Input(source) if source.is_dynamic() && matches!(ty, Type::Text | Type::Number | Type::Boolean) => Typed { ty, ..typed.clone() },
            Op::Constant(constant) if constant.0.is_null() => Typed { ty, ..typed.clone() },
            _ => convert(typed.clone(), ty, false),
        }
    }
}

/// The typed expressions that all sources share.
struct Parts {
    filters: Vec<Typed>,
    classify: Vec<Typed>,
    key: Option<Typed>,
    tenant: Option<Typed>,
    arrival: Option<Typed>,
    whens: Vec<Option<Typed>>,
    wheres: Vec<Option<Typed>>,
    known: BTreeMap<String, FieldInfo>,
}

#[derive(Default)]
struct PathNumbers {
    paths: Vec<Path>,
    numbers: HashMap<Path, usize>,
}

impl PathNumbers {
    fn number(&mut self, path: &Path) -> usize {
        if let Some(number) = self.numbers.get(path) {
            return *number;
        }
        let number = self.paths.len();
        self.paths.push(path.clone());
        self.numbers.insert(path.clone(), number);
        number
    }
}

fn output(outputs: &mut Vec<Typed>, typed: &Typed) -> usize {
    outputs.iter().position(|known| known == typed).unwrap_or_else(|| {
        outputs.push(typed.clone());
        outputs.len() - 1
    })
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

fn reads_headers(plan: &SourcePlan) -> bool {
    let phases = [&plan.key, &plan.arrival, &plan.occurred, &plan.star, &plan.rules];
    let phases = phases.into_iter().chain(plan.filter.phases()).chain(plan.classify.phases());
    let mut inputs = phases.chain(plan.sections.iter().map(|s| &s.phase)).flat_map(|phase| &phase.inputs);
    inputs.any(|(source, _)| matches!(source, Source::Header(_)))
}

fn written(pipeline: &Pipeline, parts: &Parts) -> Written {
    let pair = |typed: &Typed, text: &str| WrittenExpr { typed: typed.clone(), text: text.trim().into() };
    let rules = &pipeline.classify.rules;
    Written {
        filters: parts.filters.iter().zip(&pipeline.filters).map(|(typed, f)| pair(typed, &f.drop.text)).collect(),
        classify: parts.classify.iter().zip(rules).map(|(typed, r)| pair(typed, &r.when.text)).collect(),
        key: parts.key.as_ref().zip(pipeline.classify.key.as_ref()).map(|(typed, key)| pair(typed, &key.text)),
        tenant: parts.tenant.clone(),
        whens: parts
            .whens
            .iter()
            .zip(&pipeline.preprocess.rules)
            .map(|(typed, rule)| typed.as_ref().zip(rule.when.as_ref()).map(|(typed, when)| pair(typed, &when.text)))
            .collect(),
    }
}

/// What tells the layout of captured values: it is the same for all sources.
fn where_key(source: &SourcePlan) -> u64 {
    let fields = source.where_fields.iter().filter_map(|number| source.rule_fields.get(*number));
    decide::where_key(fields.map(|field| (&*field.name, field.ty.name())))
}
