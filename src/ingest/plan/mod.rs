//! A compiled pipeline: everything that can be decided before the first event.
//!
//! `config::Pipeline` is what the user wrote; a [`Plan`] is what workers run. One
//! [`SourcePlan`] per source, because each has its own explode path and map.

pub mod build;
mod decide_spec;
pub mod family;
pub mod fields;
pub mod imported;
mod rules;
pub mod scope;
mod source;

use std::collections::HashMap;
use std::sync::Arc;

use super::computed::Computed;
use super::conditions::Conditions;
use super::decide::DecideSpec;
use super::decode::Shape;
use super::phase::{Inputs, Phase};
use crate::config::model::{ClassifyDefault, Labels, Nulls};
use crate::expr::path::Path;
use crate::expr::typed::Typed;
use crate::expr::value::Type;
use family::ByType;

/// A pipeline, ready to run.
#[derive(Debug)]
pub struct Plan {
    /// The pipeline's name.
    pub name: Arc<str>,
    /// First digits of the hash over its files.
    pub version: Arc<str>,
    /// The tenant, where it is the same for all events.
    pub tenant: Option<Arc<str>>,
    /// Incident types; a type code is an index here.
    pub types: Vec<Arc<str>>,
    /// Filters in their order.
    pub filters: Vec<FilterPlan>,
    /// What becomes of events that nothing classifies: a type code, or one of the two others.
    pub default: DefaultPlan,
    /// Per rule: what fingerprints are made of.
    pub rules: Vec<RulePlan>,
    /// What the decider needs.
    pub decide: DecideSpec,
    /// Furthest ahead of its arrival that an event may be dated, in microseconds.
    pub max_skew_us: i64,
    /// Furthest behind its arrival, in microseconds.
    pub late_max_us: i64,
    /// True: rules go by `occurred`; false: by the record's time.
    pub by_occurred: bool,
    /// Which top-level members of the event become labels.
    pub labels: Labels,
    /// Incidents carry the event.
    pub raw: bool,
    /// One plan per source, in the pipeline's order.
    pub sources: Vec<SourcePlan>,
    /// Some expression reads `_headers`.
    pub reads_headers: bool,
    /// The conditions as typed trees and as written, for `explain`.
    pub written: Written,
    /// Lookup tables by name.
    pub tables: scope::Tables,
}

/// An expression, typed and as written.
#[derive(Debug, Clone)]
pub struct WrittenExpr {
    /// The typed tree.
    pub typed: Typed,
    /// The text.
    pub text: Arc<str>,
}

/// Conditions in their order.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// Per filter.
    pub filters: Vec<WrittenExpr>,
    /// Per classification rule.
    pub classify: Vec<WrittenExpr>,
    /// The key of the table.
    pub key: Option<WrittenExpr>,
    /// The tenant, where it is an expression.
    pub tenant: Option<Typed>,
    /// Per rule: `when`.
    pub whens: Vec<Option<WrittenExpr>>,
}

/// A filter's name and mode.
#[derive(Debug, Clone)]
pub struct FilterPlan {
    /// Under which it counts.
    pub name: Arc<str>,
    /// Counts only.
    pub shadow: bool,
}

/// What becomes of events that nothing classifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultPlan {
    /// Counted as unclassified.
    Drop,
    /// A dead letter.
    DeadLetter,
    /// This type.
    Type(u16),
}

/// What the ingest stage needs of a rule beside [`DecideSpec`].
#[derive(Debug, Clone)]
pub struct RulePlan {
    /// The name.
    pub name: Arc<str>,
    /// The fields of `match`.
    pub fields: Vec<Arc<str>>,
    /// A NULL in a match field equals another NULL.
    pub nulls: Nulls,
    /// The condition over the new and the existing incident.
    pub where_: Option<Typed>,
}

/// The plan for one source.
#[derive(Debug)]
pub struct SourcePlan {
    /// The source's name.
    pub name: Arc<str>,
    /// Its topics, as far as they are names.
    pub topics: Vec<Arc<str>>,
    /// Event paths in use; a path number is an index here and into `Rows::columns`.
    pub paths: Vec<Path>,
    /// The inverse of `paths`.
    pub path_numbers: HashMap<Path, usize>,
    /// All inputs of the phases below, numbered.
    pub inputs: Inputs,
    /// For the decoder.
    pub shape: Arc<Shape>,
    /// One condition per filter.
    pub filter: Conditions,
    /// One condition per classification rule.
    pub classify: Conditions,
    /// The key of the table (text); no output where there is none.
    pub key: Phase,
    /// Type code of each classification rule.
    pub rule_types: Vec<u16>,
    /// Key value → type code.
    pub table: HashMap<Box<str>, u16>,
    /// The key of the classifier of a pack (text); no output where there is none.
    pub imported_key: Phase,
    /// Key value → type code, of the classifier of a pack.
    pub imported_table: HashMap<Box<str>, u16>,
    /// The type of what that table does not have; `None`: what the pipeline's default says.
    pub imported_default: Option<u16>,
    /// That key with the classifier's id, for `explain`.
    pub imported_written: Option<WrittenExpr>,
    /// Columns that the expressions of packs compute.
    pub computed: Computed,
    /// In `replay`: the arrival time from an event path (`--arrival`).
    pub arrival: Phase,
    /// The `occurred` of the `"*"` section: no output, or one (time).
    pub occurred: Phase,
    /// Outputs over all classified rows: fields of `"*"`, rule conditions come later.
    pub star: Phase,
    /// The tenant's output in `star`, where it is an expression.
    pub tenant: Option<usize>,
    /// Expressions of certain types only.
    pub sections: Vec<Section>,
    /// Paths and constants in which the types of a section differ.
    pub by_type: Vec<ByType>,
    /// Per type code: what an incident is made of.
    pub layouts: Vec<Layout>,
    /// Incident fields that rules read, as columns over all classified rows.
    pub rule_fields: Vec<RuleField>,
    /// Per rule with `when`: its output in this phase.
    pub rules: Phase,
    /// Output of `rules` per rule; `None` = the rule has no `when`.
    pub rule_outputs: Vec<Option<usize>>,
    /// Per rule: where each match field's value comes from.
    pub matches: Vec<Vec<MatchValue>>,
    /// Fields that `where` reads of the new and the existing incident: numbers in `rule_fields`.
    pub where_fields: Vec<usize>,
}

impl SourcePlan {
    /// All phases.
    pub fn phases(&self) -> impl Iterator<Item = &Phase> {
        let one = [&self.key, &self.imported_key, &self.arrival, &self.occurred, &self.star, &self.rules];
        self.filter.phases().chain(self.classify.phases()).chain(one).chain(self.sections.iter().map(|section| &section.phase))
    }
}

/// Expressions that a set of types has in common, but for the paths and constants in [`SourcePlan::by_type`].
#[derive(Debug)]
pub struct Section {
    /// Type codes, ascending.
    pub types: Vec<u16>,
    /// The expressions.
    pub phase: Phase,
}

/// Where a value of an incident comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The token at a path, as it is.
    Splice(usize),
    /// The token at a path, as JSON text.
    SpliceText(usize),
    /// The token at a path, if it is or holds a number.
    SpliceNumber(usize),
    /// The token at a path, if it is or holds a number; without its fraction.
    SpliceInteger(usize),
    /// The token at a path, if it is or holds a truth value.
    SpliceBoolean(usize),
    /// Output of the `occurred` phase.
    Occurred,
    /// Output of the `star` phase.
    Star(usize),
    /// Output of a section.
    Section(usize, usize),
}

/// One field of an incident.
#[derive(Debug, Clone)]
pub struct OutField {
    /// Its name.
    pub name: Arc<str>,
    /// `,"name":` as it is written.
    pub key: Box<[u8]>,
    /// Where the value comes from.
    pub from: From,
    /// Type of the value, where it is computed.
    pub ty: Type,
    /// Without a value the event is a dead letter.
    pub required: bool,
    /// The computation can fail on a value that is there.
    pub fallible: bool,
    /// Numbers of the paths that it reads, where it reads nothing else and does not fail on nothing: where
    /// the event has none of them there is no need to ask why the value is NULL.
    pub reads: Option<Box<[usize]>>,
    /// The expression (for `explain`, and to find out why a value is NULL); shared by all types that have it.
    pub typed: Arc<Typed>,
    /// The expression as written.
    pub text: Arc<str>,
    /// The section that it stands in.
    pub section: Arc<str>,
}

/// What incidents of one type are made of.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    /// Where `occurred` comes from; `None`: the record's time.
    pub occurred: Option<OutField>,
    /// Where `severity` comes from; `None`: 0.
    pub severity: Option<OutField>,
    /// All other fields, in the order in which they are written.
    pub fields: Vec<OutField>,
    /// Which attributes of the event become labels; [`Labels::Mapper`]: all, as texts.
    pub labels: Labels,
}

impl Layout {
    /// All fields, the two special ones first.
    pub fn all(&self) -> impl Iterator<Item = &OutField> {
        self.occurred.iter().chain(&self.severity).chain(&self.fields)
    }
}

/// A field of the incident as a column over all classified rows.
#[derive(Debug, Clone)]
pub struct RuleField {
    /// The field.
    pub name: Arc<str>,
    /// The column's type.
    pub ty: Type,
    /// How it is put together.
    pub column: FieldColumn,
}

/// How the column of an incident field is put together.
#[derive(Debug, Clone)]
pub enum FieldColumn {
    /// The type's name.
    TypeName,
    /// The tenant's name.
    Tenant,
    /// The record's time.
    Created,
    /// `occurred`, or the record's time.
    Occurred(Spread),
    /// `severity`, or 0.
    Severity(Spread),
    /// One path for all types.
    Path(usize),
    /// Computed; types differ.
    Spread(Spread),
}

/// Where the values of a field come from, type by type.
#[derive(Debug, Clone, Default)]
pub struct Spread {
    /// For types not listed below.
    pub star: Option<From>,
    /// Type code → output of a section.
    pub types: Vec<(u16, From)>,
}

/// Where the value of a match field comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchValue {
    /// The token at a path: no column is built.
    Slot(usize),
    /// A column of `rule_fields`.
    Field(usize),
}

impl From {
    /// The path, if it is one of the splices.
    pub fn path(self) -> Option<usize> {
        match self {
            From::Splice(path) | From::SpliceText(path) | From::SpliceNumber(path) | From::SpliceInteger(path) | From::SpliceBoolean(path) => Some(path),
            _ => None,
        }
    }
}

impl std::convert::From<&ClassifyDefault> for DefaultPlan {
    fn from(default: &ClassifyDefault) -> DefaultPlan {
        match default {
            ClassifyDefault::Drop | ClassifyDefault::Type(_) => DefaultPlan::Drop,
            ClassifyDefault::DeadLetter => DefaultPlan::DeadLetter,
        }
    }
}
