//! Owns what `preprocess` is: rules that deduplicate, link and close.

use crate::config::expr_text::ExprText;
use crate::config::source_map::{Span, Spanned};

use super::RuleMode;

/// Deduplication and linking.
#[derive(Debug, Clone)]
pub struct Preprocess {
    /// How many rules act on one incident.
    pub mode: PreprocessMode,
    /// What remembers together.
    pub scope: Scope,
    /// The rules, in order.
    pub rules: Vec<Rule>,
}

/// How many rules act on one incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreprocessMode {
    /// The first that applies.
    First,
    /// All; the strongest action wins, all updates and links are made.
    All,
}

/// What remembers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Each input partition on its own.
    Partition,
    /// All partitions of this process.
    Process,
}

/// A rule of `preprocess`.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name, under which it counts.
    pub name: Spanned<String>,
    /// Its place as a whole (the first key), for messages about what is missing.
    pub span: Span,
    /// Applies only where this is true.
    pub when: Option<ExprText>,
    /// Applies only if an earlier incident has the same values in these fields.
    pub matches: Vec<Spanned<String>>,
    /// What a field without a value means in `matches`.
    pub nulls: Nulls,
    /// A condition on the new and the earlier incident.
    pub where_: Option<ExprText>,
    /// How far apart the two may be, in milliseconds. Present if `matches` is not empty.
    pub within_ms: Option<i64>,
    /// Which of several earlier incidents.
    pub link_to: LinkTo,
    /// Incidents that were created closed are no earlier incidents for it.
    pub open_only: bool,
    /// What happens.
    pub action: Action,
    /// Enforce, or only count.
    pub mode: RuleMode,
}

/// What a field without a value means in `match`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    /// The rule does not apply.
    Skip,
    /// It equals another one without a value.
    Match,
}

/// Which of several earlier incidents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkTo {
    /// The one created first.
    Oldest,
    /// The one created last.
    Newest,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The event becomes nothing.
    Drop,
    /// The event is attached to the earlier incident.
    DropAndUpdate,
    /// The incident is created and linked to the earlier one.
    Link,
    /// The incident is created closed, and linked to the earlier one.
    LinkAndClose,
    /// The incident is created closed.
    Close,
}

impl Action {
    /// As written in a pipeline.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Drop => "drop",
            Action::DropAndUpdate => "drop_and_update",
            Action::Link => "link",
            Action::LinkAndClose => "link_and_close",
            Action::Close => "close",
        }
    }
}
