//! Owns what a pipeline is once it is read: plain structs, every part with its place,
//! so that whoever compiles it can still point at the text.

use std::path::PathBuf;
use std::sync::Arc;

use crate::content::Content;
use crate::expr::path::Path;

pub use super::expr_text::ExprText;
use super::lookup::{LookupKind, LookupTable};
use super::schema::Schema;
use super::source_map::{SourceMap, Span, Spanned};
pub use rules::*;
pub use xsoar::*;

mod rules;
mod xsoar;

/// A whole pipeline.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The directory that relative paths start from.
    pub dir: PathBuf,
    /// The text of all files, for messages.
    pub files: Arc<SourceMap>,
    /// Twelve hex digits that change with any byte of `pipeline.yaml` or the schema files.
    /// Lookup tables do not count: they reload while the pipeline runs.
    pub version: String,
    /// The name: in ids, topics, headers, every record.
    pub name: Spanned<String>,
    /// Whose incidents these are.
    pub tenant: Tenant,
    /// Declared fields and types; empty if there is no schema directory.
    pub schema: Schema,
    /// The content packs that it imports.
    pub content: Option<Arc<Content>>,
    /// Which time decides.
    pub clock: Clock,
    /// Where events come from; at least one.
    pub sources: Vec<Source>,
    /// Tables for `lookup(…)`.
    pub lookups: Vec<Lookup>,
    /// What is dropped before classification.
    pub filters: Vec<Filter>,
    /// Which event is which type of incident.
    pub classify: Classify,
    /// Which field is computed how.
    pub map: Vec<MapSection>,
    /// The mapper of a content pack, for fields that `map` does not compute.
    pub xsoar_map: Option<XsoarMap>,
    /// Deduplication and linking.
    pub preprocess: Preprocess,
    /// Where incidents go.
    pub sink: Sink,
    /// Playbooks by type.
    pub playbooks: Vec<PlaybookRef>,
    /// Events and what must become of them.
    pub tests: Vec<Test>,
}

impl Pipeline {
    /// True where creating an incident may start a playbook: the pipeline's own, or that of a type
    /// of its content packs.
    pub fn responds(&self) -> bool {
        let of_type = |item: &crate::content::Item| match &item.body {
            Some(crate::content::Body::Type(found)) => found.playbook.is_some() && found.autorun,
            _ => false,
        };
        !self.playbooks.is_empty() || self.content.as_deref().is_some_and(|content| content.items.iter().any(of_type))
    }
}

/// Whose incidents these are.
#[derive(Debug, Clone)]
pub enum Tenant {
    /// One for all.
    Word(String),
    /// Computed from each event.
    Expr(ExprText),
}

/// Which time rules and incidents go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// The time that decides.
    pub kind: ClockKind,
    /// How far ahead of its arrival an event may be dated, in milliseconds.
    pub max_skew_ms: i64,
    /// How far behind its arrival an event may be dated, in milliseconds.
    pub late_max_ms: i64,
}

/// The time that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockKind {
    /// The Kafka record's timestamp.
    Record,
    /// The mapped field `occurred`, kept near the record's timestamp.
    Occurred,
}

/// One stream of events.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name, unique.
    pub name: Spanned<String>,
    /// Topics; at least one.
    pub topics: Vec<Spanned<Topic>>,
    /// How events are written.
    pub format: Format,
    /// The array whose elements are the events.
    pub explode: Option<Spanned<Path>>,
    /// What the producer keys its records by.
    pub keyed_by: Vec<Spanned<Path>>,
    /// Where to begin where no offset is committed.
    pub start: Start,
    /// Sections of `map` that only this source's events see.
    pub map: Vec<MapSection>,
    /// Its own classifier of a content pack, in the place of the pipeline's.
    pub xsoar_classify: Option<XsoarClassify>,
    /// Its own mapper of a content pack, in the place of the pipeline's.
    pub xsoar_map: Option<XsoarMap>,
}

/// A topic, or many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topic {
    /// One, by name.
    Name(String),
    /// All that match; starts with `^`, as librdkafka wants it.
    Pattern(String),
}

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON objects.
    Json,
}

/// Where to begin where no offset is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With what comes next.
    Latest,
    /// With the oldest that is kept.
    Earliest,
    /// With the first record at or after this time, in milliseconds since 1970.
    At(i64),
}

/// A table for `lookup('name', key, 'column')`.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// Its name.
    pub name: Spanned<String>,
    /// The CSV file.
    pub file: PathBuf,
    /// The column that is searched.
    pub key: Spanned<String>,
    /// How it is searched.
    pub kind: LookupKind,
    /// The table.
    pub table: Arc<LookupTable>,
    /// True if it could not be read, which is reported already: the table is empty and its
    /// columns are not known.
    pub broken: bool,
}

/// Drops events before classification.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Its name, under which it counts.
    pub name: Spanned<String>,
    /// Drops an event where this is true.
    pub drop: ExprText,
    /// Why, for the people who read the counters.
    pub reason: Option<String>,
    /// Enforce, or only count.
    pub mode: RuleMode,
}

/// Whether a filter or a rule acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleMode {
    /// It acts.
    Enforce,
    /// It only counts what it would have done.
    Shadow,
}

/// Which event is which type of incident: rules first, then the table, then the default.
#[derive(Debug, Clone)]
pub struct Classify {
    /// Tried in order; the first that holds decides.
    pub rules: Vec<ClassifyRule>,
    /// What the table is searched for.
    pub key: Option<ExprText>,
    /// Key value → type.
    pub types: Vec<(Spanned<String>, Spanned<String>)>,
    /// The classifier of a content pack: asked where neither rules nor the table decide.
    pub xsoar: Option<XsoarClassify>,
    /// Types that classifiers of single sources can yield besides.
    pub of_sources: Vec<Spanned<String>>,
    /// What becomes of the rest.
    pub default: ClassifyDefault,
}

impl Classify {
    /// All types that it can yield, each once, in the order of the file.
    pub fn produced(&self) -> Vec<&Spanned<String>> {
        let default = match &self.default {
            ClassifyDefault::Type(name) => Some(name),
            ClassifyDefault::Drop | ClassifyDefault::DeadLetter => None,
        };
        let all = self.rules.iter().map(|rule| &rule.type_name).chain(self.types.iter().map(|(_, name)| name));
        let imported = self.xsoar.iter().flat_map(XsoarClassify::produced).chain(&self.of_sources);
        let mut seen = std::collections::HashSet::new();
        all.chain(imported).chain(default).filter(|name| seen.insert(name.value.as_str())).collect()
    }
}

/// A condition for a type.
#[derive(Debug, Clone)]
pub struct ClassifyRule {
    /// The type.
    pub type_name: Spanned<String>,
    /// The condition.
    pub when: ExprText,
}

/// What becomes of events that no rule and no entry names.
#[derive(Debug, Clone, PartialEq)]
pub enum ClassifyDefault {
    /// They are dropped, and count as unclassified.
    Drop,
    /// They become dead letters.
    DeadLetter,
    /// They are of this type.
    Type(Spanned<String>),
}

/// Fields of one type, or of all.
#[derive(Debug, Clone)]
pub struct MapSection {
    /// `"*"` or a type.
    pub target: Spanned<String>,
    /// Field → expression.
    pub fields: Vec<(Spanned<String>, ExprText)>,
}

/// Where incidents go, and what of the event they carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sink {
    /// The topic as written; `None`: `<pipeline>.incidents`.
    pub topic: Option<String>,
    /// Which attributes of the event become labels.
    pub labels: Labels,
    /// Whether the event itself is kept.
    pub raw: bool,
}

/// Which top-level attributes of the event become labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Labels {
    /// Those that no expression reads.
    #[default]
    Unmapped,
    /// As the mapper of a content pack says, for each type: all as texts, or none.
    Mapper,
    /// All.
    All,
    /// None.
    None,
}

/// The playbook of a type.
#[derive(Debug, Clone)]
pub struct PlaybookRef {
    /// The type.
    pub type_name: Spanned<String>,
    /// The playbook.
    pub file: Spanned<PathBuf>,
    /// Whether it may act.
    pub mode: PlaybookMode,
}

/// Whether a playbook may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaybookMode {
    /// Commands with an effect wait for a person.
    Ask,
    /// They run.
    Run,
    /// They are told, and do not run.
    Simulate,
}

/// Events and what must become of the last of them.
#[derive(Debug, Clone)]
pub struct Test {
    /// Its name, unique.
    pub name: Spanned<String>,
    /// One or more; all but the last only set the stage.
    pub events: Vec<serde_json::Value>,
    /// Which source they come from; else the first.
    pub source: Option<Spanned<String>>,
    /// What must become of the last one.
    pub expect: Expect,
}

/// What must become of an event.
#[derive(Debug, Clone)]
pub struct Expect {
    /// Its place.
    pub span: Span,
    /// How it must end; `None`: as an incident, unless `rule` names a filter or rule that
    /// says otherwise.
    pub outcome: Option<Spanned<Outcome>>,
    /// The filter or rule that must have decided.
    pub rule: Option<Spanned<String>>,
    /// Incident fields and their values, `type` among them; JSON null: the field must be empty.
    pub fields: Vec<(Spanned<String>, serde_json::Value)>,
}

/// How an event ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// As an incident.
    Incident,
    /// Dropped by a filter.
    Filtered,
    /// Dropped by the default of `classify`.
    Unclassified,
    /// Dropped by a rule.
    Dropped,
    /// Attached to an earlier incident by a rule.
    Attached,
    /// As a dead letter.
    DeadLetter,
}

impl Outcome {
    /// As written in a test.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Incident => "incident",
            Outcome::Filtered => "filtered",
            Outcome::Unclassified => "unclassified",
            Outcome::Dropped => "dropped",
            Outcome::Attached => "attached",
            Outcome::DeadLetter => "dead_letter",
        }
    }
}
