//! `config::Pipeline` → [`Plan`]: types every expression, then plans source after source (`source`; what
//! rules need is in `rules`). All mistakes are reported at once, into the pipeline's diagnostics.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::prelude::SessionContext;

use super::fields::{Definition, declared_type, define, infos, merge, typed};
use super::imported::{self, Imported};
use super::scope::{EventScope, FieldInfo, Tables, warn_unmapped};
use super::*;
use crate::config::model::{self, Pipeline, Tenant};
use crate::config::{Diagnostic, Diagnostics};
use crate::expr::parse::parse_path;
use crate::expr::typed::Source;
use crate::ingest::decide;

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

/// What is at hand while a pipeline is compiled.
pub(super) struct Builder<'a> {
    pub(super) pipeline: &'a Pipeline,
    options: &'a Options,
    pub(super) session: SessionContext,
    pub(super) tables: Tables,
    pub(super) types: Vec<Arc<str>>,
    pub(super) diagnostics: &'a mut Diagnostics,
}

/// The fields of one source: those of `"*"`, and what each type overrides.
pub(super) struct Fields {
    pub(super) star: Vec<Definition>,
    pub(super) types: BTreeMap<u16, Vec<Definition>>,
    pub(super) imported: Imported,
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

    /// The code of a type that is known to be one.
    pub(super) fn code(&self, name: &str) -> u16 {
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
}

/// The typed expressions that all sources share.
pub(super) struct Parts {
    pub(super) filters: Vec<Typed>,
    pub(super) classify: Vec<Typed>,
    pub(super) key: Option<Typed>,
    pub(super) tenant: Option<Typed>,
    pub(super) arrival: Option<Typed>,
    pub(super) whens: Vec<Option<Typed>>,
    pub(super) wheres: Vec<Option<Typed>>,
    pub(super) known: BTreeMap<String, FieldInfo>,
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
